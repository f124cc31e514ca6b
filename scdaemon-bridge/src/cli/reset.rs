//! `sealcard reset`.

use std::{fs, io, path::PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{
    App, ask, logout,
    output::{self, GOOD, clean, line, note, warn},
    setup,
    sync::undo,
};
use crate::config::{ConfigError, Paths, files};

#[derive(Debug, Args)]
#[command(after_help = "\
It runs `logout`, `unsync` with all public keys that sync brought, and `setup --remove`, and then removes Sealcard's \
own files. What gpg had before Sealcard stays.")]
pub(super) struct Arguments {
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What each step did. A step that failed has nothing but an entry in `failed`.
#[derive(Debug, Default, Serialize)]
struct Report {
    logout: Option<logout::Report>,
    unsync: Option<undo::Report>,
    setup: Option<setup::Report>,
    failed: Vec<Failed>,
    /// Folders that hold files of others.
    kept: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Failed {
    step: Step,
    reason: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Logout,
    Unsync,
    Setup,
    Files,
}

impl Step {
    /// What it does, for a person.
    const fn doing(self) -> &'static str {
        match self {
            Self::Logout => "logging out",
            Self::Unsync => "undoing the sync",
            Self::Setup => "undoing the set-up",
            Self::Files => "removing files",
        }
    }
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let (config, state) = (app.paths.config_folder(), app.paths.state_folder());
    if !arguments.yes {
        note(format!(
            "This logs out, makes gpg ({}) forget your keys and Sealcard, and removes {} and {}.",
            app.gnupg.home().display(),
            config.display(),
            state.display()
        ));
        if !ask::can_ask() {
            bail!("there is no terminal to ask on: pass --yes");
        }
        if !ask::confirm("Go on?")? {
            bail!("nothing was changed");
        }
    }
    let json = arguments.json;
    let mut report = Report::default();
    // A step that fails must not keep the others from being done: this command is what people turn to when all else
    // fails.
    report.logout = report.judge(Step::Logout, logout::log_out_person(app, json).await);
    report.unsync = report.judge(Step::Unsync, undo::undo_all(app, json));
    report.setup = report.judge(Step::Setup, setup::remove(app, json));
    report.kept = report.judge(Step::Files, remove_files(&app.paths)).unwrap_or_default();
    if json {
        output::json(&report)?;
    }
    if !report.failed.is_empty() {
        bail!("not everything could be undone; run it again once the cause is gone");
    }
    if !json {
        line(format!("{GOOD}This workstation is as it was before Sealcard.{GOOD:#}"));
    }
    Ok(())
}

impl Report {
    fn judge<T>(&mut self, step: Step, result: anyhow::Result<T>) -> Option<T> {
        result
            .inspect_err(|error| {
                let reason = clean(&format!("{error:#}"));
                warn(format!("{}: {reason}", step.doing()));
                self.failed.push(Failed { step, reason });
            })
            .ok()
    }
}

/// Gives the folders that are not empty then.
fn remove_files(paths: &Paths) -> anyhow::Result<Vec<PathBuf>> {
    for folder in [paths.waiting_folder(), paths.attempts_folder()] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ConfigError::io("remove", folder, error).into());
            }
            _ => {}
        }
    }
    for file in paths.own_files() {
        files::remove(&file)?;
    }
    let mut kept = Vec::new();
    // One folder may serve as both, or be inside the other.
    for folder in [paths.state_folder(), paths.config_folder()] {
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                note(format!("{} holds files that are not Sealcard's and stays.", folder.display()));
                kept.push(folder.to_owned());
            }
            Err(error) => return Err(ConfigError::io("remove", folder, error).into()),
        }
    }
    Ok(kept)
}
