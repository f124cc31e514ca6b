//! `sealcard trace`.

use std::{fs, io};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{
    App,
    output::{clean, line, note},
};

#[derive(Debug, Args)]
#[command(after_help = "\
The trace shows what gpg-agent asked of the scdaemon, what was asked of the server, when, how long it took and the
result. It never holds a token, a password, decrypted data or what was signed. Only you can read the file (mode 0600).
At 4 MiB a new file is started. A running scdaemon is traced too.

Example:
  sealcard trace on
  git tag -s v1.0
  sealcard trace off
  sealcard trace show")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Start logging
    On,
    /// Stop logging (the log is kept)
    Off,
    /// Print the log
    Show {
        /// Only the last lines
        #[arg(short, long, value_name = "N")]
        lines: Option<usize>,
    },
    /// Print the name of the file
    Path,
    /// Remove the log
    Clear,
}

pub(super) fn run(app: &App, arguments: &Arguments) -> anyhow::Result<()> {
    let trace = app.trace();
    let path = app.paths.trace_file();
    match arguments.command {
        None => {
            let state = if trace.is_on() { "on" } else { "off" };
            line(format!("The trace is {state}. Its file is {}.", path.display()));
        }
        Some(Command::On) => {
            trace.switch_on()?;
            line(format!("The trace is on. Its file is {}.", path.display()));
        }
        Some(Command::Off) => {
            let was_on = trace.switch_off()?;
            line(if was_on { "The trace is off." } else { "The trace was off already." });
        }
        Some(Command::Show { lines }) => show(app, lines)?,
        Some(Command::Path) => line(path.display().to_string()),
        Some(Command::Clear) => {
            for file in files(app) {
                crate::config::files::remove(&file)?;
            }
            line("The trace is empty.");
        }
    }
    Ok(())
}

/// The older file, then the newer one.
fn files(app: &App) -> [std::path::PathBuf; 2] {
    let path = app.paths.trace_file();
    [path.with_extension("log.1"), path]
}

fn show(app: &App, last: Option<usize>) -> anyhow::Result<()> {
    let mut noted = Vec::new();
    for path in files(app) {
        match fs::read(&path) {
            Ok(content) => noted.extend(String::from_utf8_lossy(&content).lines().map(clean)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }
    if noted.is_empty() {
        note("Nothing is logged. `sealcard trace on` starts logging.");
    }
    let skip = last.map_or(0, |last| noted.len().saturating_sub(last));
    noted.iter().skip(skip).for_each(line);
    Ok(())
}
