//! `sealcard setup`.

mod tools;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use sealcard_api::Fingerprint;
use serde::Serialize;

use super::{
    App,
    output::{self, GOOD, line, lossy, note, step, warn},
    sync,
};
use crate::{
    config::{Config, files, pointer},
    gpg::agent_conf::{self, Change},
};

use tools::ToolChange;
pub(super) use tools::{ToolState, offer, shown, states};

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
  sealcard setup --remove                        everything as it was")]
pub(super) struct Arguments {
    /// Undo it: gpg-agent.conf becomes what it was, and gpg forgets where the keys were
    #[arg(long, conflicts_with = "no_sync")]
    remove: bool,
    /// Don't fetch the keys afterwards
    #[arg(long)]
    no_sync: bool,
    #[command(flatten)]
    tools: tools::ToolArguments,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a set-up did, or the undoing of one.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// `None` if the tools alone were meant.
    gpg: Option<GpgChange>,
    sync: Option<sync::Report>,
    tools: Vec<ToolChange>,
    trusted: Vec<Fingerprint>,
    /// How many keys are trusted no more.
    trust_removed: usize,
}

/// What became of gpg's configuration.
#[derive(Debug, Serialize)]
pub(super) struct GpgChange {
    #[serde(serialize_with = "lossy")]
    home: PathBuf,
    outcome: Outcome,
    /// The scdaemon that was set before.
    replaced_scdaemon: Option<String>,
    /// Keys of which gpg forgot that they are on cards.
    stubs_removed: usize,
    agent_stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    SetUp,
    AlreadySetUp,
    Removed,
    NotSetUp,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let report = if arguments.remove && arguments.tools.any() {
        remove_tools(app, &arguments)?
    } else if arguments.remove {
        remove(app, arguments.json)?
    } else {
        install_all(app, &arguments).await?
    };
    if arguments.json {
        output::json(&report)?;
    }
    report.sync.as_ref().map_or(Ok(()), sync::Report::check)
}

async fn install_all(app: &App, arguments: &Arguments) -> anyhow::Result<Report> {
    let json = arguments.json;
    let mut report = Report { gpg: Some(install(app, json)?), ..Report::default() };
    if Config::load(&app.paths.in_use())?.is_none() {
        if arguments.tools.any() {
            bail!("the tools need a key: run `sealcard login` first");
        }
        note("Now run `sealcard login`.");
        return Ok(report);
    }
    if !arguments.no_sync {
        let fetched = sync::fetch(app, sync::Options { json, ..sync::Options::default() }).await?;
        // What gpg refused must not become the key of a tool.
        if arguments.tools.any() {
            fetched.check()?;
        }
        report.sync = Some(fetched);
    }
    if arguments.tools.any() {
        (report.tools, report.trusted) = tools::install(app, &arguments.tools, json)?;
    }
    Ok(report)
}

fn remove_tools(app: &App, arguments: &Arguments) -> anyhow::Result<Report> {
    let (tools, trust_removed) = tools::remove(app, &arguments.tools, arguments.json)?;
    if tools.is_empty() && trust_removed == 0 && !arguments.json {
        line("There is nothing to take back.");
    }
    Ok(Report { tools, trust_removed, ..Report::default() })
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
pub(super) fn install(app: &App, json: bool) -> anyhow::Result<GpgChange> {
    let gnupg = &app.gnupg;
    gnupg.version()?;
    gnupg.make_home()?;
    let program = find_program()?;
    let expand = gnupg.agent_has_option("auto-expand-secmem")?;
    // Nothing is written if the file is not ours to change.
    agent_conf::plan(gnupg.home(), &program, expand)?;
    let pointer_changed = pointer::write(gnupg.home(), &app.paths)?;
    let change = agent_conf::install(gnupg.home(), &program, expand)?;
    let home = gnupg.home().to_owned();
    let (outcome, replaced_scdaemon) = match change {
        Change::None if !pointer_changed => (Outcome::AlreadySetUp, None),
        Change::Written { replaced } => (Outcome::SetUp, replaced),
        _ => (Outcome::SetUp, None),
    };
    if let Some(other) = &replaced_scdaemon {
        warn(format!("{other} was set as scdaemon; it is set aside until `sealcard setup --remove`"));
    }
    let agent_stopped = outcome == Outcome::SetUp && stop_agent(app)?;
    let change = GpgChange { home, outcome, replaced_scdaemon, stubs_removed: 0, agent_stopped };
    Ok(step(json, change, print))
}

fn stop_agent(app: &App) -> anyhow::Result<bool> {
    let stopped = app.gnupg.stop_agent()?;
    if stopped {
        note("gpg-agent was stopped; the next gpg starts it again.");
    }
    Ok(stopped)
}

/// Makes gpg what it was before Sealcard.
pub(super) fn remove(app: &App, json: bool) -> anyhow::Result<Report> {
    let gnupg = &app.gnupg;
    let (tools, trust_removed) = tools::remove(app, &tools::ToolArguments::default(), json)?;
    // While gpg-agent still knows the stubs.
    let stubs_removed = sync::undo::remove_stubs(app)?;
    let change = agent_conf::remove(gnupg.home())?;
    let pointer_removed = pointer::remove(gnupg.home())?;
    let content = files::read_foreign(&gnupg.home().join(agent_conf::FILE_NAME))?.unwrap_or_default();
    if agent_conf::scdaemon_program(&content).is_some_and(|program| is_ours(Path::new(&program))) {
        warn("gpg-agent.conf names sealcard-scdaemon in a line of your own: remove that line");
    }
    let nothing = change == Change::None && !pointer_removed && stubs_removed == 0;
    let nothing = nothing && tools.is_empty() && trust_removed == 0;
    let outcome = if nothing { Outcome::NotSetUp } else { Outcome::Removed };
    let agent_stopped = !nothing && stop_agent(app)?;
    let home = gnupg.home().to_owned();
    let change = GpgChange { home, outcome, replaced_scdaemon: None, stubs_removed, agent_stopped };
    Ok(Report { gpg: Some(step(json, change, print)), tools, trust_removed, ..Report::default() })
}

fn print(change: &GpgChange) {
    let home = change.home.display();
    line(match change.outcome {
        Outcome::SetUp => format!("{GOOD}gpg ({home}) uses Sealcard now.{GOOD:#}"),
        Outcome::AlreadySetUp => format!("gpg ({home}) uses Sealcard already."),
        Outcome::Removed => format!("gpg ({home}) is as it was before Sealcard. Public keys stay."),
        Outcome::NotSetUp => format!("gpg ({home}) does not use Sealcard."),
    });
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
