//! `sealcard reset`.

use std::{fs, io};

use anyhow::bail;
use clap::Args;

use super::{
    App, ask, logout,
    output::{GOOD, line, note, warn},
    setup,
    sync::undo,
};
use crate::config::{ConfigError, Paths, files};

#[derive(Debug, Args)]
#[command(after_help = "\
It runs `logout`, `unsync` with all public keys that sync brought, and `setup --remove`, and then removes Sealcard's own \
files. What gpg had before Sealcard stays.")]
pub(super) struct Arguments {
    /// Don't ask
    #[arg(long)]
    yes: bool,
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
    // A step that fails must not keep the others from being done: this command is what people turn to when all else fails.
    let mut failed = false;
    let mut judge = |step: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            failed = true;
            warn(format!("{step}: {error:#}"));
        }
    };
    judge("logging out", logout::run(app, logout::Arguments::default()).await);
    judge("undoing the sync", undo::undo_all(app));
    judge("undoing the set-up", setup::remove(app).map(drop));
    judge("removing files", remove_files(&app.paths));
    if failed {
        bail!("not everything could be undone; run it again once the cause is gone");
    }
    line(format!("{GOOD}This workstation is as it was before Sealcard.{GOOD:#}"));
    Ok(())
}

fn remove_files(paths: &Paths) -> anyhow::Result<()> {
    for file in paths.own_files() {
        files::remove(&file)?;
    }
    // One folder may serve as both, or be inside the other.
    for folder in [paths.state_folder(), paths.config_folder()] {
        match fs::remove_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                note(format!("{} holds files that are not Sealcard's and stays.", folder.display()));
            }
            Err(error) => return Err(ConfigError::io("remove", folder, error).into()),
        }
    }
    Ok(())
}
