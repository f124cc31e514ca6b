//! The one place that writes to the terminal. Colours appear only there.

use std::{fmt::Write as _, io::Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// For what matters most.
pub(super) const BOLD: Style = Style::new().bold();
/// For what is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// For what needs a look.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// For what is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For what may be skipped.
pub(super) const DIM: Style = Style::new().dimmed();

/// A line of the command's result, on standard output.
pub(super) fn line(text: impl AsRef<str>) {
    // A reader that went away (`| head`) is no error of ours.
    let _ = writeln!(anstream::stdout(), "{}", text.as_ref());
}

/// What is going on, or needs a look, on standard error.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
}

/// Something that needs a look.
pub(super) fn warn(text: impl AsRef<str>) {
    note(format!("{WARN}warning:{WARN:#} {}", text.as_ref()));
}

/// The result for programs: one JSON document.
pub(super) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A result: JSON if that was asked for, else what the function says.
pub(super) fn show<T: Serialize>(as_json: bool, value: &T, person: impl FnOnce(&T)) -> anyhow::Result<()> {
    if as_json {
        return json(value);
    }
    person(value);
    Ok(())
}

/// Text of others without what a terminal would obey: control characters become `?`.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Rows under a heading, with aligned columns. Nothing but a sentence if there are no rows.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]], if_empty: &str) {
    if rows.is_empty() {
        note(if_empty);
        return;
    }
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| clean(cell))).collect();
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(format!("{BOLD}{}{BOLD:#}", aligned(&headings, &widths)));
    for row in &rows {
        line(aligned(&row.each_ref().map(String::as_str), &widths));
    }
}

/// Names and values under one another.
pub(super) fn facts(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        line(format!("{DIM}{name:<width$}{DIM:#}  {}", clean(value)));
    }
}

fn aligned(cells: &[&str], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, "{cell:<width$}  ");
    }
    text.truncate(text.trim_end().len());
    text
}

/// `1 card`, `2 cards`.
pub(super) fn count(number: usize, singular: &str) -> String {
    if number == 1 { format!("1 {singular}") } else { format!("{number} {singular}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_escape_sequences_of_others() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{7}"), "a?[2Jb?c?");
    }

    #[test]
    fn columns_are_aligned_and_end_without_blanks() {
        assert_eq!(aligned(&["ä", "b", ""], &[3, 1, 4]), "ä    b");
    }
}
