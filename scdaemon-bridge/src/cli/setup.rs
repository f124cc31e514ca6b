//! `sealcard setup`.

mod tools;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use super::{
    App,
    output::{GOOD, line, note, warn},
    sync,
};
use crate::{
    config::{Config, files, pointer},
    gpg::agent_conf::{self, Change},
};

pub(super) use tools::{ToolState, offer, states};

/// The name of the program that gpg-agent shall start.
const PROGRAM: &str = "sealcard-scdaemon";

#[derive(Debug, Args)]
#[command(after_help = "\
It names sealcard-scdaemon in gpg-agent.conf of your GnuPG home (GNUPGHOME, else ~/.gnupg), keeps a copy of that file as
gpg-agent.conf.sealcard-backup, and restarts gpg-agent if it runs. Running it again changes nothing.

The tools' settings are written into their own files: git's configuration, ~/.rpmmacros, ~/.devscripts and
~/.config/dpkg/buildpackage.conf. What was there before is remembered, and --remove brings it back.

Examples:
  sealcard setup --git --trust                   sign with git, no warnings
  sealcard setup --git --rpm --key release/tags  with this key
  sealcard setup --remove --rpm                  undo what --rpm did
  sealcard setup --remove                        everything becomes what it was")]
pub(super) struct Arguments {
    /// Undo it: gpg-agent.conf becomes what it was, and gpg forgets where the keys were
    #[arg(long, conflicts_with = "no_sync")]
    remove: bool,
    /// Don't fetch the keys afterwards
    #[arg(long)]
    no_sync: bool,
    #[command(flatten)]
    tools: tools::ToolArguments,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.remove && arguments.tools.any() {
        if !tools::remove(app, &arguments.tools)? {
            line("There is nothing to take back.");
        }
        return Ok(());
    }
    if arguments.remove {
        return remove(app).map(drop);
    }
    install(app)?;
    if Config::load(&app.paths.in_use())?.is_none() {
        if arguments.tools.any() {
            bail!("the tools need a key: run `sealcard login` first");
        }
        note("Now run `sealcard login`.");
        return Ok(());
    }
    if !arguments.no_sync {
        sync::fetch(app, sync::Options::default()).await?;
    }
    if arguments.tools.any() {
        tools::install(app, &arguments.tools)?;
    }
    Ok(())
}

/// Whether gpg of this home uses Sealcard with this configuration.
pub(super) fn is_done(app: &App) -> bool {
    let home = app.gnupg.home();
    let content = files::read_foreign(&home.join(agent_conf::FILE_NAME)).ok().flatten().unwrap_or_default();
    let program = agent_conf::scdaemon_program(&content).is_some_and(|program| is_ours(Path::new(&program)));
    let pointer = pointer::read(home).ok().flatten().is_some_and(|paths| paths == app.paths);
    program && pointer
}

/// Whether this program is a sealcard-scdaemon.
pub(super) fn is_ours(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == PROGRAM)
}

/// Makes gpg use Sealcard.
pub(super) fn install(app: &App) -> anyhow::Result<()> {
    let gnupg = &app.gnupg;
    gnupg.version()?;
    gnupg.make_home()?;
    let program = find_program()?;
    let expand = gnupg.agent_has_option("auto-expand-secmem")?;
    // Nothing is written if the file is not ours to change.
    agent_conf::plan(gnupg.home(), &program, expand)?;
    let pointer_changed = pointer::write(gnupg.home(), &app.paths)?;
    let change = agent_conf::install(gnupg.home(), &program, expand)?;
    let home = gnupg.home().display();
    match &change {
        Change::None if !pointer_changed => {
            line(format!("gpg ({home}) uses Sealcard already."));
            return Ok(());
        }
        Change::Written { replaced: Some(other) } => {
            warn(format!("{other} was set as scdaemon; it is set aside until `sealcard setup --remove`"));
        }
        _ => {}
    }
    if gnupg.stop_agent()? {
        note("gpg-agent was stopped; the next gpg starts it again.");
    }
    line(format!("{GOOD}gpg ({home}) uses Sealcard now.{GOOD:#}"));
    Ok(())
}

/// Makes gpg what it was before Sealcard. Says whether that changed anything.
pub(super) fn remove(app: &App) -> anyhow::Result<bool> {
    let gnupg = &app.gnupg;
    let tools_removed = tools::remove(app, &tools::ToolArguments::default())?;
    // While gpg-agent still knows the stubs.
    let stubs = sync::undo::remove_stubs(app)?;
    let change = agent_conf::remove(gnupg.home())?;
    let pointer_removed = pointer::remove(gnupg.home())?;
    let content = files::read_foreign(&gnupg.home().join(agent_conf::FILE_NAME))?.unwrap_or_default();
    if agent_conf::scdaemon_program(&content).is_some_and(|program| is_ours(Path::new(&program))) {
        warn("gpg-agent.conf names sealcard-scdaemon in a line of your own: remove that line");
    }
    if change == Change::None && !pointer_removed && stubs == 0 && !tools_removed {
        line(format!("gpg ({}) does not use Sealcard.", gnupg.home().display()));
        return Ok(false);
    }
    if gnupg.stop_agent()? {
        note("gpg-agent was stopped; the next gpg starts it again.");
    }
    line(format!("gpg ({}) is as it was before Sealcard. Public keys stay.", gnupg.home().display()));
    Ok(true)
}

/// Beside this program, else where packages put it, else on the search path.
fn find_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut folders: Vec<PathBuf> = own.parent().map(Path::to_owned).into_iter().collect();
    if let Some(prefix) = own.parent().and_then(Path::parent) {
        folders.push(prefix.join("libexec"));
        folders.push(prefix.join("lib/sealcard"));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path).filter(|folder| folder.is_absolute()));
    }
    match folders.iter().map(|folder| folder.join(PROGRAM)).find(|program| program.is_file()) {
        Some(program) => Ok(program),
        None => bail!("{PROGRAM} is not installed: it should lie beside {}", own.display()),
    }
}
