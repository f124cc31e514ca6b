//! What a page shows of a terminal, compared with a terminal.

/// Alone, any number of lines; in a line, any text.
const ELLIPSIS: &str = "…";

/// The ids in these lines, in order.
pub(crate) fn ids(lines: &[&str]) -> Vec<String> {
    let words = lines.iter().flat_map(|line| line.split_whitespace());
    words.filter(|word| is_id(word)).map(str::to_owned).collect()
}

fn is_id(word: &str) -> bool {
    word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

/// Lines with a letter for what differs at each run: ids, fingerprints, dates and times.
pub(crate) fn normalized(lines: &[&str]) -> Vec<String> {
    let word = |word: &str| {
        let bare = word.trim_matches(['(', ')', ':', ',', '.']);
        let numeric = |c: char| c.is_ascii_digit() || ['-', ':', 'T', 'Z'].contains(&c);
        let is_time = bare.len() >= 8 && bare.chars().all(numeric) && bare.matches(['-', ':']).count() >= 2;
        let is_fingerprint = bare.len() == 40 && bare.chars().all(|c| c.is_ascii_hexdigit());
        let letter = match (is_id(bare), is_fingerprint, is_time) {
            (true, ..) => "I",
            (_, true, _) => "F",
            (.., true) => "T",
            _ => return word.to_owned(),
        };
        word.replace(bare, letter)
    };
    lines.iter().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect()
}

/// Whether lines of a terminal are those that a page shows.
pub(crate) fn matches(told: &[String], real: &[String]) -> bool {
    match told.split_first() {
        None => real.is_empty(),
        Some((first, rest)) if first == ELLIPSIS => (0..=real.len()).any(|skipped| matches(rest, &real[skipped..])),
        Some((first, rest)) => {
            real.split_first().is_some_and(|(line, real)| line_matches(first, line) && matches(rest, real))
        }
    }
}

fn line_matches(told: &str, real: &str) -> bool {
    match told.split_once(ELLIPSIS) {
        None => told == real,
        Some((start, end)) => real.strip_prefix(start).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_matches(end, &rest[at..]))
        }),
    }
}
