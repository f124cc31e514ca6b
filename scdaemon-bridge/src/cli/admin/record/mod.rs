//! `sealcard admin record`.

pub(super) mod csv;
pub(super) mod entry;
mod export;
mod export_log;
mod find;
mod list;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{Subcommand, ValueHint};
use sealcard_api::admin::Page;
use sealcard_record::Line;

use crate::{
    cli::{
        App, local_time,
        output::{self, facts, line},
    },
    remote::{path, query},
};

const LIST_HELP: &str = "\
One line is one use of a key, with its outcome, or one act of administration. The newest are the last. TIME is local. \
Times are given as 2026-01-31, 14:05, 2026-01-31T14:05, 2026-01-31T13:05:00Z, or as a span before now such as 2h or 7d.

With --json each line is one object, {\"hash\": …, \"salt\": …, \"entry\": {…}}. The entry is exactly what its leaf \
commits to.

Examples:
  sealcard admin record list --key release/tags --since 7d
  sealcard admin record list --user alice --denied
  sealcard admin record list --follow
  sealcard admin record list --since 7d --limit 100000 --csv > week.csv";

const SHOW_HELP: &str = "\
Examples:
  sealcard admin record show 4711
  sealcard admin record show 01935b6c-7000-7000-8000-000000000001
      shows all entries of a request, by the id that errors name";

const FIND_HELP: &str = "\
FILE is a detached signature, a clear-signed text or whatever else has an armored signature in it; - is standard input.

Examples:
  sealcard admin record find release.tar.gz.sig
  git cat-file tag v1.0 | sealcard admin record find -

Exit codes: 0 all signatures were found, 1 one was not or something failed.";

const EXPORT_HELP: &str = "\
Writes the whole record as JSON lines, {\"hash\": …, \"salt\": …, \"entry\": {…}}, the oldest entry first. `sealcard admin record \
verify --offline` reads them.

Example:
  sealcard admin record export record.jsonl";

const EXPORT_LOG_HELP: &str = "\
Writes the log as files that any web server can serve and that `sealcard-audit` verifies: checkpoint, hashes, and the time, \
event and commitment of each entry (C2SP's tlog-tiles). With --entries also the entries with their salts, which only you \
can read. The next time, only what is new is added. A log that went back or has other entries than the folder is refused.

Example:
  sealcard admin record export-log /srv/log";

const VERIFY_HELP: &str = "\
The server checks the log of all entries, every use of a key against its signers' journals, and users, roles, grants \
and keys in its database against the entries that explain them. It works on one verification at a time: if one runs \
already, this command watches it.

With --offline no server is asked. RECORD is what `sealcard admin record export` wrote. Each JOURNAL is a signer's \
journal.jsonl. Give the journals of all signers of all machines; without any, only the log is checked. TABLES is what \
`sealcard-server database export-tables` wrote.

Examples:
  sealcard admin record verify
  sealcard admin record verify --offline record.jsonl \\
    --journal default.jsonl

Exit codes: 0 all is well, 1 something is wrong or it could not be checked.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show who did what, one line for each use of a key or change
    #[command(after_help = LIST_HELP)]
    List(list::Arguments),
    /// Show one entry, or all entries of a request, with all fields
    #[command(after_help = SHOW_HELP)]
    Show {
        /// The number of the entry, or the id of a request
        #[arg(value_name = "NUMBER|REQUEST")]
        which: String,
        /// The project, for its auditors
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// Find out who made a signature
    #[command(after_help = FIND_HELP)]
    Find {
        /// A file with signatures
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// The project, for its auditors
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    /// Write the whole record to a file, for verification elsewhere
    #[command(after_help = EXPORT_HELP)]
    Export {
        /// The file, which must not exist; standard output if absent
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// Only the entries after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: u64,
    },
    /// Write the record's log to a folder, or add what is new to it, for auditors and web servers
    #[command(after_help = EXPORT_LOG_HELP)]
    ExportLog {
        /// The folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// Write the entries themselves too
        #[arg(long)]
        entries: bool,
    },
    /// Check that nothing was changed or left out, and that the record and the signers' journals agree
    #[command(after_help = VERIFY_HELP)]
    Verify {
        /// Check this exported record, without a server
        #[arg(long, value_name = "RECORD", value_hint = ValueHint::FilePath)]
        offline: Option<PathBuf>,
        /// A signer's journal; may be repeated
        #[arg(long, value_name = "JOURNAL", requires = "offline", value_hint = ValueHint::FilePath)]
        journal: Vec<PathBuf>,
        /// The database's tables, as `sealcard-server database export-tables` writes them
        #[arg(long, value_name = "TABLES", requires = "offline", value_hint = ValueHint::FilePath)]
        tables: Option<PathBuf>,
    },
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(arguments) => list::run(app, arguments, json).await.map(|()| ExitCode::SUCCESS),
        Command::Show { which, project } => show(app, &which, project, json).await.map(|()| ExitCode::SUCCESS),
        Command::Find { file, project } => find::run(app, &file, project, json).await,
        Command::Export { file, after } => export::run(app, file.as_deref(), after).await.map(|()| ExitCode::SUCCESS),
        Command::ExportLog { folder, entries } => {
            export_log::run(app, &folder, entries).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Verify { offline: Some(record), journal, tables } => {
            verify::offline(&record, &journal, tables.as_deref(), json)
        }
        Command::Verify { offline: None, .. } => verify::online(app, json).await,
    }
}

async fn show(app: &App, which: &str, project: Option<String>, json: bool) -> anyhow::Result<()> {
    let number: Option<u64> = which.parse().ok();
    let chosen = match number {
        Some(number) => {
            let after = number.checked_sub(1).map(|before| before.to_string());
            vec![("after", after), ("limit", Some("1".to_owned())), ("project", project)]
        }
        None => vec![("request", Some(which.to_owned())), ("project", project)],
    };
    let page: Page<Line> = app.remote.get(&format!("{}{}", path(&["record"]), query(&chosen))).await?;
    let mut lines = page.items;
    if let Some(number) = number {
        // A project's entries have gaps between their numbers.
        lines.retain(|line| line.body().is_ok_and(|body| body.sequence == number));
    }
    anyhow::ensure!(!lines.is_empty(), "The record has no entry {which} that you may read.");
    for (number, entry) in lines.iter().enumerate() {
        if json {
            line(serde_json::to_string(entry)?);
            continue;
        }
        if number > 0 {
            line("");
        }
        let local = entry.body().ok().map(|body| ("local time".to_owned(), local_time::shown(body.time)));
        let proof = [("salt".to_owned(), entry.salt.to_string()), ("hash".to_owned(), entry.hash.to_string())];
        let fields = entry::fields(entry.entry.get())?;
        let rows: Vec<(String, String)> = local.into_iter().chain(fields).chain(proof).collect();
        let rows: Vec<(&str, String)> = rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        facts(&rows);
    }
    Ok(())
}

/// Lines for programs: one object each.
///
/// # Errors
/// If standard output has been closed, or is full.
fn write_json(lines: &[Line]) -> anyhow::Result<()> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    Ok(output::write(&text)?)
}

/// A reader that went away (`| head`) is no error of ours.
pub(super) fn unless_reader_went_away(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        result => result,
    }
}
