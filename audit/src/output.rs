//! The one place that writes to the terminal.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// For what is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// For what needs a look.
const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// For what is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// For what may be skipped.
const DIM: Style = Style::new().dimmed();

/// A line of the command's result, on standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    // A reader that went away (`| head`) is no error of ours.
    let _ = writeln!(anstream::stdout(), "{}", text.as_ref());
}

/// What is going on, on standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
}

/// Something that needs a look.
pub(crate) fn warn(text: impl AsRef<str>) {
    note(format!("{WARN}warning:{WARN:#} {}", text.as_ref()));
}

/// An error with all that caused it. An error's text may have its cause already, which is not said again.
pub(crate) fn error(error: &anyhow::Error) {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = clean(&cause.to_string());
        if !said.last().is_some_and(|last| last.ends_with(&text)) {
            said.push(text);
        }
    }
    note(format!("{BAD}error:{BAD:#} {}", said.join(": ")));
}

/// A result: JSON if that was asked for, else what the function says.
pub(crate) fn show<T: Serialize>(as_json: bool, value: &T, person: impl FnOnce(&T)) -> anyhow::Result<()> {
    if as_json {
        line(serde_json::to_string_pretty(value)?);
    } else {
        person(value);
    }
    Ok(())
}

/// Names and values under one another.
pub(crate) fn facts(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in rows {
        line(format!("{DIM}{name:width$}{DIM:#}  {}", clean(value)));
    }
}

/// Text of others without what a terminal would obey or hide.
pub(crate) fn clean(text: &str) -> String {
    sealcard_api::text::cleaned(text).into_owned()
}

/// A path for a person.
pub(crate) fn clean_path(path: &Path) -> String {
    clean(&path.display().to_string())
}

/// `1 finding`, `2 findings`.
pub(crate) fn count(number: u64, singular: &str) -> String {
    if number == 1 { format!("1 {singular}") } else { format!("{number} {singular}s") }
}

/// `1 entry`, `2 entries`.
pub(crate) fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

/// The bar for one thing whose size is known, on standard error, if that is a terminal.
pub(crate) fn progress(size: u64, unit: &str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    let template = format!("{{bar:20}} {{pos}}/{{len}} {unit}, about {{eta}} left");
    match ProgressStyle::with_template(&template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// Bytes that are written as they are.
///
/// # Errors
/// If standard output is full. A reader that went away is no error.
pub(crate) fn bytes(content: &[u8]) -> io::Result<()> {
    match io::stdout().write_all(content) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
