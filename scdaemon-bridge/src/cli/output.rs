//! The one place that writes to the terminal. Colours appear only there.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anstyle::{AnsiColor, Style};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::table::{GAP, Layout, MIN_TEXT, Table, padded, width, wrap};

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

/// One of several things failed.
pub(super) fn failure(text: impl AsRef<str>) {
    note(format!("{BAD}error:{BAD:#} {}", text.as_ref()));
}

/// A part of a result that is written as it comes.
///
/// # Errors
/// If standard output has been closed, or is full.
pub(super) fn write(text: &str) -> io::Result<()> {
    anstream::stdout().write_all(text.as_bytes())
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

/// A step of a command whose JSON is one document at the end: a person is told at once.
pub(super) fn step<T>(as_json: bool, done: T, person: impl FnOnce(&T)) -> T {
    if !as_json {
        person(&done);
    }
    done
}

/// Text of others without what a terminal would obey or hide: control characters become `?`, others a visible escape.
pub(super) fn clean(text: &str) -> String {
    sealcard_api::text::cleaned(text).into_owned()
}

/// A path for a person.
pub(super) fn clean_path(path: &Path) -> String {
    clean(&path.display().to_string())
}

/// A path in JSON, whose texts are Unicode: what is not becomes U+FFFD.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// Whether tables keep all of every cell, though the terminal is too narrow: `--wide`.
static WIDE: AtomicBool = AtomicBool::new(false);

/// Leaves tables as wide as their cells are.
pub(super) fn use_full_width() {
    WIDE.store(true, Ordering::Relaxed);
}

/// The columns of the terminal that standard output is; `None` if it is none, or if nothing is to be shortened.
fn columns() -> Option<usize> {
    if WIDE.load(Ordering::Relaxed) {
        return None;
    }
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// A list that comes in parts and is written as it comes: a JSON object with the list under a name, or a table.
pub(super) struct ListWriter<'a> {
    json: Option<&'a str>,
    began: bool,
}

impl<'a> ListWriter<'a> {
    pub(super) fn new(json: bool, name: &'a str) -> Self {
        Self { json: json.then_some(name), began: false }
    }

    /// Writes a part of the list; with `rows` for people.
    ///
    /// # Errors
    /// If standard output has been closed, or is full.
    pub(super) fn part<T: Serialize, const N: usize>(
        &mut self,
        items: &[T],
        headings: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> io::Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let Some(name) = self.json else {
            return self.rows(headings, &items.iter().map(row).collect::<Vec<_>>());
        };
        let first = !std::mem::replace(&mut self.began, true);
        let mut text = if first { format!("{{\n  {}: [", Value::from(name)) } else { ",".to_owned() };
        for (number, item) in items.iter().enumerate() {
            let item = serde_json::to_string_pretty(item)?.replace('\n', "\n    ");
            text.push_str(if number == 0 { "\n    " } else { ",\n    " });
            text.push_str(&item);
        }
        anstream::stdout().write_all(text.as_bytes())
    }

    /// Writes a part of a list that is for people alone.
    ///
    /// # Errors
    /// As for [`Self::part`].
    pub(super) fn rows<const N: usize>(&mut self, headings: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let first = !std::mem::replace(&mut self.began, true);
        write_table(headings, rows, first)
    }

    /// Writes what ends the list.
    ///
    /// # Errors
    /// As for [`Self::part`].
    pub(super) fn end(self, if_empty: &str) -> io::Result<()> {
        match (self.json, self.began) {
            (Some(_), true) => writeln!(anstream::stdout(), "\n  ]\n}}"),
            (Some(name), false) => writeln!(anstream::stdout(), "{{\n  {}: []\n}}", Value::from(name)),
            (None, true) => Ok(()),
            (None, false) => {
                note(if_empty);
                Ok(())
            }
        }
    }
}

/// Rows under a heading, with aligned columns that fit the terminal. Nothing but a sentence if there are no rows.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]], if_empty: &str) {
    if rows.is_empty() {
        note(if_empty);
        return;
    }
    // As for lines.
    let _ = write_table(headings, rows, true);
}

/// Rows of a table, the first ones under the headings.
fn write_table<const N: usize>(headings: [&str; N], rows: &[[String; N]], first: bool) -> io::Result<()> {
    let rows = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    match Table::new(&headings, rows).layout(columns()) {
        Layout::Rows { headings, rows } => {
            let headings = if first { format!("{BOLD}{headings}{BOLD:#}\n") } else { String::new() };
            let rows: String = rows.iter().flat_map(|row| [row, "\n"]).collect();
            anstream::stdout().write_all(format!("{headings}{rows}").as_bytes())?;
        }
        Layout::Records(records) => {
            for (number, record) in records.iter().enumerate() {
                if number > 0 || !first {
                    line("");
                }
                let record: Vec<(&str, String)> =
                    record.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                facts(&record);
            }
        }
    }
    Ok(())
}

/// Names and values under one another. Long values go on below themselves.
pub(super) fn facts(rows: &[(&str, String)]) {
    let name_width = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let left = columns().map(|columns| columns.saturating_sub(name_width + GAP).max(MIN_TEXT));
    for (name, value) in rows {
        let value = clean(value);
        let mut lines = wrap(&value, left.unwrap_or(usize::MAX)).into_iter();
        let first = lines.next().unwrap_or_default();
        line(format!("{DIM}{}{DIM:#}  {first}", padded(name, name_width)));
        lines.for_each(|more| line(format!("{:indent$}{more}", "", indent = name_width + GAP)));
    }
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
}
