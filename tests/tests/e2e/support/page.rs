//! Pages of the handbook, whose commands the tests run.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

/// The width of a reader's terminal.
pub(crate) const COLUMNS: usize = 80;

/// Alone, any number of lines; at the end of a line, any end.
const ELLIPSIS: &str = "…";

/// A page's text.
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Reads `docs/NAME`.
    pub(crate) fn read(name: &str) -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Self { text })
    }

    /// What is below a heading of the second level.
    pub(crate) fn section(&self, heading: &str) -> Result<&str> {
        let (_, rest) = self.text.split_once(&format!("\n## {heading}\n")).with_context(|| format!("no {heading}"))?;
        Ok(rest.split("\n## ").next().unwrap_or_default())
    }

    /// The first block of a language below a heading.
    pub(crate) fn block(&self, heading: &str, language: &str) -> Result<String> {
        let block = blocks(self.section(heading)?, language).next();
        Ok(block.with_context(|| format!("no {language} below {heading}"))?.to_owned())
    }

    /// The commands of the console blocks below a heading.
    pub(crate) fn commands(&self, heading: &str) -> Result<Vec<String>> {
        let lines = blocks(self.section(heading)?, "console").flat_map(str::lines);
        let commands: Vec<String> = lines.filter_map(|line| line.strip_prefix("$ ")).map(ToOwned::to_owned).collect();
        ensure!(!commands.is_empty(), "no commands below {heading}");
        Ok(commands)
    }

    /// The page as pieces: prose and blocks, in order.
    pub(crate) fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = vec![Piece { info: None, text: &self.text }];
        while let Some(Piece { info: None, text }) = pieces.pop() {
            let Some((prose, info, block, rest)) = first_block(text) else {
                pieces.push(Piece { info: None, text });
                break;
            };
            pieces.extend([Piece { info: None, text: prose }, Piece { info: Some(info), text: block }]);
            pieces.push(Piece { info: None, text: rest });
        }
        pieces
    }

    /// The console blocks with the headings of the second level above them, in order.
    pub(crate) fn console_sections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.split("\n## ").skip(1).flat_map(|section| {
            let heading = section.lines().next().unwrap_or_default();
            blocks(section, "console").map(move |block| (heading, block))
        })
    }

    /// All console blocks, in order.
    pub(crate) fn consoles(&self) -> impl Iterator<Item = &str> {
        blocks(&self.text, "console")
    }
}

/// Prose, or the inside of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// What is behind the first fence of a block, such as `console`.
    pub(crate) info: Option<&'a str>,
    pub(crate) text: &'a str,
}

/// What is before the first block with its fence, what is behind the fence, what is in the block, and the rest.
fn first_block(text: &str) -> Option<(&str, &str, &str, &str)> {
    let fence = if text.starts_with("```") { 0 } else { text.find("\n```")? + 1 };
    let begin = fence + text.get(fence..)?.find('\n')? + 1;
    let end = begin + text.get(begin..)?.find("```\n")?;
    Some((text.get(..begin)?, text.get(fence + 3..begin)?.trim(), text.get(begin..end)?, text.get(end + 4..)?))
}

fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<usize> = text.match_indices(&fence).map(|(at, _)| at + fence.len()).collect();
    starts.into_iter().filter_map(|start| text.get(start..)?.split("```\n").next())
}

/// The commands of a console block, each with what the page shows below it.
pub(crate) fn commands(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, Vec::new())),
            (None, Some((_, shown))) => shown.push(line),
            (None, None) => {}
        }
    }
    commands
}

/// Compares what the page shows with what the terminal shows, but for what differs each time.
pub(crate) fn compare(command: &str, page: &[&str], terminal: &str) -> Result<()> {
    let real: Vec<String> = terminal.lines().map(|line| normalized(line.trim_end())).collect();
    let told: Vec<String> = page.iter().map(|line| normalized(line.trim_end())).collect();
    for line in page.iter().copied().chain(terminal.lines()) {
        let fits = line.chars().count() <= COLUMNS || line.trim().len() == 95;
        ensure!(fits, "`{command}`: a line does not fit into {COLUMNS} columns: {line}");
    }
    ensure!(matches(&told, &real), "`{command}`: the page shows\n{}\nthe terminal\n{terminal}", page.join("\n"));
    Ok(())
}

fn matches(told: &[String], real: &[String]) -> bool {
    match told.split_first() {
        None => real.is_empty(),
        Some((first, rest)) if first == ELLIPSIS => (0..=real.len()).any(|skipped| matches(rest, &real[skipped..])),
        Some((first, rest)) => real.split_first().is_some_and(|(line, real)| {
            let same = first.strip_suffix(ELLIPSIS).map_or(line == first, |start| line.starts_with(start));
            same && matches(rest, real)
        }),
    }
}

/// A line with a letter for each word that differs at each run: hashes, passwords, times and numbers.
fn normalized(line: &str) -> String {
    if let Some((before, _)) = line.split_once("Signature made ") {
        return format!("{before}Signature made");
    }
    line.split(' ').map(normalized_word).collect::<Vec<_>>().join(" ")
}

fn normalized_word(word: &str) -> String {
    let bare = word.trim_matches(['.', ',', '(', ')', ':', '"']);
    let is_hex = bare.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
    let is_number = bare.chars().any(|c| c.is_ascii_digit())
        && bare.chars().all(|c| c.is_ascii_digit() || ['-', ':', '+', 'T', 'Z'].contains(&c));
    let letter = match bare.len() {
        16 | 32 | 40 | 95 if is_hex => "H",
        36 if bare.matches('-').count() == 4 => "I",
        _ if is_one_time(bare) => "P",
        _ if is_number => "N",
        _ => return word.to_owned(),
    };
    word.replace(bare, letter)
}

/// Whether it looks like a one-time password.
pub(crate) fn is_one_time(word: &str) -> bool {
    let groups: Vec<&str> = word.split('-').collect();
    let is_group = |group: &&str| group.len() == 4 && group.chars().all(|c| matches!(c, 'a'..='z' | '2'..='7'));
    groups.len() == 4 && groups.iter().all(is_group)
}
