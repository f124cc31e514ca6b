//! Tables that fit a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Blanks between two columns.
pub(super) const GAP: usize = 2;

/// A column of text is shortened to this width, and no further.
pub(super) const MIN_TEXT: usize = 12;

/// What stands for the rest of a shortened text.
const ELLIPSIS: char = '…';

/// Digits of an OpenPGP fingerprint, and of the key id that is its end.
const FINGERPRINT: usize = 40;
const KEY_ID: usize = 16;

/// Cells under headings, without control characters.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// How a table is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A line for each row.
    Rows {
        /// The line above the rows.
        headings: String,
        /// The rows.
        rows: Vec<String>,
    },
    /// The rows don't fit: names and values under one another, for each row.
    Records(Vec<Vec<(String, String)>>),
}

impl Table {
    pub(super) fn new(headings: &[&str], rows: Vec<Vec<String>>) -> Self {
        Self { headings: headings.iter().map(|&heading| heading.to_owned()).collect(), rows }
    }

    /// Shortens what can be shortened until the table fits: first fingerprints, to key ids, which name the same keys;
    /// then texts, the longest first. The first column, times and ids stay whole.
    pub(super) fn layout(mut self, columns: Option<usize>) -> Layout {
        let mut widths = self.widths();
        if let Some(columns) = columns {
            if total(&widths) > columns {
                self.shorten_fingerprints();
                widths = self.widths();
            }
            let texts: Vec<bool> = (0..widths.len()).map(|column| column > 0 && self.is_text(column)).collect();
            let full = widths.clone();
            while total(&widths) > columns {
                let longest = widths.iter_mut().zip(&texts).filter(|(width, is_text)| **is_text && **width > MIN_TEXT);
                match longest.map(|(width, _)| width).max_by_key(|width| **width) {
                    Some(width) => *width -= 1,
                    None => return Layout::Records(self.records()),
                }
            }
            self.shorten_texts(&full, &widths);
        }
        Layout::Rows {
            headings: aligned(&self.headings, &widths),
            rows: self.rows.iter().map(|row| aligned(row, &widths)).collect(),
        }
    }

    fn widths(&self) -> Vec<usize> {
        let column = |(number, heading): (usize, &String)| {
            let cells = self.rows.iter().filter_map(|row| row.get(number)).map(|cell| width(cell));
            cells.chain([width(heading)]).max().unwrap_or(0)
        };
        self.headings.iter().enumerate().map(column).collect()
    }

    fn column(&self, number: usize) -> impl Iterator<Item = &String> {
        self.rows.iter().filter_map(move |row| row.get(number))
    }

    fn is_text(&self, column: usize) -> bool {
        self.column(column).any(|cell| cell.contains(' '))
    }

    fn shorten_fingerprints(&mut self) {
        for number in 0..self.headings.len() {
            let is_fingerprint =
                |cell: &String| cell.len() == FINGERPRINT && cell.chars().all(|digit| digit.is_ascii_hexdigit());
            if !self.column(number).all(is_fingerprint) {
                continue;
            }
            if let Some(heading) = self.headings.get_mut(number) {
                "KEY ID".clone_into(heading);
            }
            for cell in self.rows.iter_mut().filter_map(|row| row.get_mut(number)) {
                cell.drain(..FINGERPRINT - KEY_ID);
            }
        }
    }

    fn shorten_texts(&mut self, full: &[usize], widths: &[usize]) {
        for row in &mut self.rows {
            for ((cell, full), width) in row.iter_mut().zip(full).zip(widths) {
                if width < full {
                    *cell = shortened(cell, *width);
                }
            }
        }
    }

    fn records(self) -> Vec<Vec<(String, String)>> {
        let names: Vec<String> = self.headings.iter().map(|heading| heading.to_lowercase()).collect();
        self.rows.into_iter().map(|row| names.iter().cloned().zip(row).collect()).collect()
    }
}

/// The columns that a text takes in a terminal.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text with blanks up to this width.
pub(super) fn padded(text: &str, to: usize) -> String {
    format!("{text}{:blanks$}", "", blanks = to.saturating_sub(width(text)))
}

/// Lines of at most this width, broken at blanks. A longer word has a line of its own.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

fn shortened(text: &str, to: usize) -> String {
    if width(text) <= to {
        return text.to_owned();
    }
    let mut taken = 0;
    let fits = |character: &char| {
        taken += character.width().unwrap_or(0);
        taken < to
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.truncate(kept.trim_end().len());
    kept.push(ELLIPSIS);
    kept
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| padded(cell, *width)).collect();
    cells.join("  ").trim_end().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "93CF2C45C7A3A7EA4ED0A5A1C52DAF8E5B1D9C07";

    fn keys() -> Table {
        let row = |name: &str, user_id: &str| {
            [name, "release", "ed25519", FINGERPRINT, user_id, "2028-11-27"].map(str::to_owned).to_vec()
        };
        Table::new(
            &["NAME", "PROJECT", "ALGORITHM", "FINGERPRINT", "USER ID", "EXPIRES"],
            vec![row("tags", "Release Tags <tags@example.org>"), row("rpm", "発行 パッケージ <rpm@example.org>")],
        )
    }

    fn lines(layout: Layout) -> Vec<String> {
        match layout {
            Layout::Rows { headings, rows } => [vec![headings], rows].concat(),
            Layout::Records(records) => panic!("{records:?}"),
        }
    }

    #[test]
    fn nothing_is_shortened_without_a_terminal() {
        let lines = lines(keys().layout(None));
        assert!(lines.get(1).unwrap().contains(FINGERPRINT), "{lines:?}");
    }

    #[test]
    fn a_terminal_of_80_columns_gets_key_ids_and_short_texts() {
        let lines = lines(keys().layout(Some(80)));
        assert!(lines.iter().all(|line| width(line) <= 80), "{lines:#?}");
        assert!(lines.first().unwrap().contains("KEY ID") && lines.get(1).unwrap().contains(" C52DAF8E5B1D9C07 "));
        assert!(lines.get(1).unwrap().contains('…') && lines.get(1).unwrap().ends_with("2028-11-27"), "{lines:#?}");
    }

    #[test]
    fn wide_characters_shift_no_column() {
        let lines = lines(keys().layout(None));
        let end = |number: usize| width(lines.get(number).unwrap().split("2028").next().unwrap());
        assert_eq!(end(1), end(2));
    }

    #[test]
    fn rows_that_can_t_fit_become_records() {
        let Layout::Records(records) = keys().layout(Some(40)) else { panic!("rows of 40 columns") };
        assert_eq!(records.first().unwrap().first().unwrap(), &("name".to_owned(), "tags".to_owned()));
    }

    #[test]
    fn lines_have_no_blanks_at_their_end() {
        let lines = lines(Table::new(&["A", "B"], vec![vec!["ä".to_owned(), String::new()]]).layout(None));
        assert_eq!(lines, ["A  B", "ä"]);
    }

    #[test]
    fn long_values_are_broken_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap(FINGERPRINT, 7), [FINGERPRINT]);
        assert_eq!(wrap("", 7), [""]);
    }
}
