//! What `sealcard admin policy` and `sealcard admin template` have in common: texts from files, their differences, what
//! is wrong with them, and their history.

mod diagnostics;
mod diff;
mod source;

use std::io::{self, IsTerminal as _};

use clap::Args;
use sealcard_api::key_rules::{Diagnostic, Written};
use serde::Serialize;

pub(super) use diff::{Lines, show as show_diff};
pub(super) use source::Source;

use crate::{
    cli::{
        ask, local_time,
        output::{self, clean, line, note, table},
    },
    remote::RemoteError,
};

/// The options of a change.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Why, for the history and the record
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(super) yes: bool,
}

impl Options {
    /// Asks whether to go on, if there is a terminal to ask on and `--yes` was not given. Whether to go on.
    pub(super) fn go_on(&self, question: &str) -> anyhow::Result<bool> {
        if self.yes || !ask::can_ask() || ask::confirm(question)? {
            return Ok(true);
        }
        note("Nothing was changed.");
        Ok(false)
    }
}

/// Which part of a history is wanted.
#[derive(Debug, Args)]
pub(super) struct History {
    /// Show what version N changed
    #[arg(long, value_name = "N")]
    pub(super) diff: Option<u64>,
    /// At most so many, the newest ones
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
}

/// A version in a history.
#[derive(Debug, Serialize)]
pub(super) struct Shown<V> {
    /// As the server has it.
    #[serde(flatten)]
    pub(super) version: V,
    /// Against the version before.
    #[serde(flatten)]
    pub(super) lines: Lines,
}

/// A text with its number, as histories have it.
pub(super) trait Version: Serialize {
    fn number(&self) -> u64;
    fn text(&self) -> &str;
    fn written(&self) -> &Written;
    /// What it did, if it did not change the text.
    fn act(&self, before: Option<&Self>) -> Option<&'static str>;
}

/// Counts the lines that each version changed. `versions` are the newest first, with the one before the oldest that is
/// wanted, if there is one.
pub(super) fn counted<V: Version>(versions: Vec<V>, wanted: usize) -> Vec<Shown<V>> {
    let before = versions.iter().skip(1).map(|version| version.text().to_owned()).chain([String::new()]);
    let before: Vec<String> = before.collect();
    let counted = versions.into_iter().zip(before).map(|(version, before)| {
        let lines = Lines::between(&before, version.text());
        Shown { version, lines }
    });
    counted.take(wanted).collect()
}

/// Prints a history for a person.
pub(super) fn print_history<V: Version>(versions: &[Shown<V>], if_empty: &str) {
    let row = |(number, shown): (usize, &Shown<V>)| {
        let Shown { version, lines } = shown;
        let before = versions.get(number + 1).map(|shown| &shown.version);
        let did = version.act(before).map_or_else(|| lines.to_string(), str::to_owned);
        let Written { by, time, note } = version.written();
        let note = note.clone().unwrap_or_default();
        [version.number().to_string(), local_time::shown(*time), by.clone(), did, note]
    };
    let rows: Vec<_> = versions.iter().enumerate().map(row).collect();
    table(["VERSION", "TIME", "BY", "LINES", "NOTE"], &rows, if_empty);
}

/// What a version changed, in JSON.
#[derive(Debug, Serialize)]
struct VersionDiff<'a, V> {
    before: Option<&'a V>,
    version: &'a V,
}

/// Shows what a version changed.
pub(super) fn show_version_diff<V: Version>(before: Option<&V>, version: &V, json: bool) -> anyhow::Result<()> {
    output::show(json, &VersionDiff { before, version }, |_| {
        let Written { by, time, note } = version.written();
        let note = note.as_ref().map_or_else(String::new, |note| format!(": {}", clean(note)));
        line(format!("Version {} by {} at {}{note}", version.number(), clean(by), local_time::shown(*time)));
        let name = |version: &V| format!("version {}", version.number());
        let (old_name, old) = before.map_or_else(|| ("nothing".to_owned(), ""), |old| (name(old), old.text()));
        show_diff((&old_name, old), (&name(version), version.text()));
    })
}

/// Prints what is wrong with a text, as a compiler does.
pub(super) fn print_diagnostics(source: &Source, found: &[Diagnostic]) {
    for diagnostic in found {
        note(diagnostics::shown(source, diagnostic));
    }
    note(format!("{} found; nothing was changed.", output::count(found.len(), "mistake")));
}

/// The mistakes that the server found, if that is why it refused.
pub(super) fn mistakes(error: &RemoteError) -> Option<&[Diagnostic]> {
    error.problem().map(|problem| problem.diagnostics.as_slice()).filter(|found| !found.is_empty())
}

/// Prints a text as it is, unless a terminal could obey what is in it.
pub(super) fn print_text(text: &str) -> anyhow::Result<()> {
    if io::stdout().is_terminal() {
        text.lines().for_each(|text| line(clean_line(text)));
        return Ok(());
    }
    output::write(text)?;
    Ok(())
}

/// A line of others, for a terminal. Tabs are four blanks.
fn clean_line(line: &str) -> String {
    clean(&line.replace('\t', "    "))
}
