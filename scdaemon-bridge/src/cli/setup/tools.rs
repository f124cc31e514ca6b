//! `sealcard setup --git --rpm --deb --trust`: the tools' own configuration names the key.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use sealcard_api::{Fingerprint, Timestamp, algorithm::ComponentRole, cards::Card};
use serde::Serialize;

use crate::{
    cards::cache,
    cli::{
        App, ask,
        output::{GOOD, clean, count, line, lossy, note, step, warn},
        ownertrust,
        sign::find_card as find,
    },
    config::{block::BlockChange, home},
    tools::{self, Debian, DefaultKey, Git, GitChange, Rpm, Scope},
};

#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ToolArguments {
    /// Make git sign with the key (user.signingkey)
    #[arg(long, help_heading = HEADING)]
    git: bool,
    /// Write git's settings for this repository alone, not for all of yours
    #[arg(long, requires = "git", help_heading = HEADING)]
    local: bool,
    /// Write git's settings for all your repositories: the default
    #[arg(long, requires = "git", conflicts_with = "local", help_heading = HEADING)]
    global: bool,
    /// Make git sign every tag (tag.gpgSign)
    #[arg(long, requires = "git", help_heading = HEADING)]
    sign_tags: bool,
    /// Make git sign every commit (commit.gpgSign)
    #[arg(long, requires = "git", help_heading = HEADING)]
    sign_commits: bool,
    /// Make rpmsign sign with the key (%_gpg_name), by a gpg that exists (%__gpg)
    #[arg(long, help_heading = HEADING)]
    rpm: bool,
    /// Make debsign and dpkg-buildpackage sign with the key
    #[arg(long, help_heading = HEADING)]
    deb: bool,
    /// Trust the key as your own, or all your keys without --key, so that gpg verifies without a warning
    #[arg(long, help_heading = HEADING)]
    trust: bool,
    /// The key: NAME, PROJECT/NAME or fingerprint (default: the only key that you may use)
    #[arg(short, long, env = "SEALCARD_KEY", help_heading = HEADING)]
    key: Option<String>,
}

const HEADING: &str = "Tools that sign";

impl ToolArguments {
    /// Whether a tool was named. A key alone, which may be a variable, names none.
    pub(super) const fn any(&self) -> bool {
        self.git || self.rpm || self.deb || self.trust
    }

    /// All that are installed.
    fn of_machine() -> Self {
        Self {
            git: tools::is_installed("git"),
            rpm: tools::is_installed("rpmsign"),
            deb: tools::is_installed("debsign"),
            trust: true,
            ..Self::default()
        }
    }

    /// `git, rpmsign and debsign`.
    fn names(&self) -> String {
        let tools = [(self.git, "git"), (self.rpm, "rpmsign"), (self.deb, "debsign")];
        let names: Vec<&str> = tools.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect();
        match names.as_slice() {
            [] => "gpg".to_owned(),
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }
}

/// What became of a tool's own configuration.
#[derive(Debug, Serialize)]
pub(super) struct ToolChange {
    tool: &'static str,
    #[serde(serialize_with = "lossy")]
    file: PathBuf,
    outcome: ToolOutcome,
    /// What the file names, while it names a key of ours.
    signing_key: Option<String>,
    /// Settings and lines of the person's own that no longer count. They come back with `setup --remove`.
    set_aside: Vec<String>,
    #[serde(skip)]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum ToolOutcome {
    SetUp,
    AlreadySetUp,
    Removed,
}

/// Sets the named tools up. Gives what was changed, and the keys that gpg trusts since.
pub(super) fn install(
    app: &App,
    arguments: &ToolArguments,
    json: bool,
) -> anyhow::Result<(Vec<ToolChange>, Vec<Fingerprint>)> {
    let mut changes = Vec::new();
    let mut trusted = Vec::new();
    let cards = with_cards(app)?;
    if cards.is_empty() {
        bail!("no keys were fetched yet: run `sealcard sync`");
    }
    let chosen = match arguments.key.as_deref() {
        Some(wanted) => Some(find(&cards, wanted)?),
        None => only(&cards),
    };
    if arguments.git || arguments.rpm || arguments.deb {
        let Some(card) = chosen else {
            bail!("say with --key which key signs: {}", names(&cards));
        };
        if let Some(obstacle) = card.life().obstacle_to(ComponentRole::Sign, Timestamp::now()) {
            bail!(clean(&obstacle));
        }
        changes = install_key(app, arguments, card, &cards, json)?;
    }
    if arguments.trust {
        let cards = match chosen {
            Some(card) => vec![card],
            None => cards.iter().collect(),
        };
        trusted = ownertrust::trust(app, &cards)?;
        if trusted.is_empty() && !ask::can_ask() && !json {
            line("gpg trusts these keys as your own already.");
        }
    }
    Ok((changes, trusted))
}

/// The settings of one key, which the tools' files get.
struct Installation<'a> {
    app: &'a App,
    key: String,
    name: String,
    json: bool,
    changes: Vec<ToolChange>,
}

fn install_key(
    app: &App,
    arguments: &ToolArguments,
    card: &Card,
    cards: &[Card],
    json: bool,
) -> anyhow::Result<Vec<ToolChange>> {
    let (key, name) = (card.fingerprint.to_string(), name(card));
    let mut installation = Installation { app, key, name, json, changes: Vec::new() };
    installation.install(arguments, cards)?;
    Ok(installation.changes)
}

impl Installation<'_> {
    fn install(&mut self, arguments: &ToolArguments, cards: &[Card]) -> anyhow::Result<()> {
        if arguments.git {
            self.install_git(arguments)?;
        }
        if arguments.rpm {
            let rpm = Rpm::find()?;
            self.add("rpmsign", rpm.file(), rpm.install(&self.key)?);
        }
        if arguments.deb {
            let debian = Debian::find()?;
            for (tool, (file, change)) in
                DEBIAN.into_iter().zip(debian.files().into_iter().zip(debian.install(&self.key)?))
            {
                self.add(tool, file, change);
            }
        }
        if is_default_needed(self.app, cards)? {
            let default = DefaultKey::of(self.app.gnupg.home());
            if let change @ BlockChange::Written(_) = default.install(&self.key)? {
                self.add(GPG, default.file(), change);
            }
        }
        Ok(())
    }

    fn install_git(&mut self, arguments: &ToolArguments) -> anyhow::Result<()> {
        let scope = if arguments.local { Scope::Local } else { Scope::Global };
        let file = scope.file()?;
        let mut more = Vec::new();
        if arguments.sign_tags {
            more.push(("tag.gpgSign", "true"));
        }
        if arguments.sign_commits {
            more.push(("commit.gpgSign", "true"));
        }
        let change = match Git::load(&self.app.paths)?.install(&self.app.paths, &file, &self.key, &more)? {
            GitChange::None => BlockChange::None,
            GitChange::Written(replaced) => BlockChange::Written(
                replaced.into_iter().map(|(setting, before)| format!("{setting} = {before}")).collect(),
            ),
        };
        self.add("git", &file, change);
        if let Some((effective, origin)) = tools::signing_key()?.filter(|(effective, _)| *effective != self.key) {
            let (effective, origin) = (clean(&effective), clean(&origin));
            warn(format!("in this folder git signs with {effective}, because {origin} says so"));
        }
        Ok(())
    }

    fn add(&mut self, tool: &'static str, file: &Path, change: BlockChange) {
        let (outcome, set_aside) = match change {
            BlockChange::Written(set_aside) => (ToolOutcome::SetUp, set_aside),
            BlockChange::None | BlockChange::Restored => (ToolOutcome::AlreadySetUp, Vec::new()),
        };
        let (signing_key, name) = (Some(self.key.clone()), self.name.clone());
        let change = ToolChange { tool, file: file.to_owned(), outcome, signing_key, set_aside, name };
        for own in &change.set_aside {
            warn(format!("set aside until `sealcard setup --remove`: {}", clean(own)));
        }
        self.changes.push(step(self.json, change, print));
    }
}

/// The tools that [`Debian`]'s files configure.
const DEBIAN: [&str; 2] = ["debsign", "dpkg-buildpackage"];
const GPG: &str = "gpg";

fn print(change: &ToolChange) {
    let ToolChange { tool, name, .. } = change;
    let file = shown(&change.file);
    line(match (change.outcome, *tool) {
        (ToolOutcome::SetUp, GPG) => format!("{GOOD}gpg{GOOD:#} signs with {name} where no key is named ({file})."),
        (ToolOutcome::SetUp, _) => format!("{GOOD}{tool}{GOOD:#} signs with {name} ({file})."),
        (ToolOutcome::AlreadySetUp, _) => format!("{tool} signs with {name} already ({file})."),
        (ToolOutcome::Removed, _) => format!("{tool}'s settings are as they were ({file})."),
    });
}

/// gpg takes the first of several keys where none is named. It is told which only if that can't be a key that the
/// person has besides Sealcard's.
fn is_default_needed(app: &App, cards: &[Card]) -> anyhow::Result<bool> {
    if cards.len() < 2 || DefaultKey::of(app.gnupg.home()).is_chosen()? {
        return Ok(false);
    }
    let ours: Vec<String> = cards.iter().map(|card| card.fingerprint.to_string()).collect();
    Ok(app.gnupg.secret_certificates()?.iter().all(|key| ours.contains(key)))
}

/// Offers, after a login that set gpg up, to set up the tools that are installed, with one question.
pub(in crate::cli) fn offer(app: &App) -> anyhow::Result<()> {
    let arguments = ToolArguments::of_machine();
    let cards = with_cards(app)?;
    if cards.is_empty() || !ask::can_ask() || states(app).iter().any(|state| state.key.is_some()) {
        return Ok(());
    }
    let tools = arguments.names();
    let chosen = match only(&cards) {
        Some(card) => {
            let question = format!("Let {tools} sign with {}, and gpg trust it?", name(card));
            ask::confirm(&question)?.then_some(card)
        }
        None => ask_which(&cards, &format!("Which key shall {tools} sign with, and gpg trust as your own?"))?,
    };
    let Some(card) = chosen else {
        note("`sealcard setup --git --trust` does that later.");
        return Ok(());
    };
    install_key(app, &arguments, card, &cards, false)?;
    ownertrust::trust_confirmed(app, card)
}

fn ask_which<'a>(cards: &'a [Card], question: &str) -> anyhow::Result<Option<&'a Card>> {
    note(question);
    for (number, card) in (1..).zip(cards) {
        note(format!("  {number:>2}  {:<20}  {}", name(card), clean(&card.user_id)));
    }
    loop {
        let answer = ask::text("Number or name", Some("none"))?;
        if answer == "none" {
            return Ok(None);
        }
        let by_number = answer.parse::<usize>().ok().and_then(|number| cards.get(number.checked_sub(1)?));
        match by_number.map_or_else(|| find(cards, &answer), Ok) {
            Ok(card) => return Ok(Some(card)),
            Err(error) => note(error.to_string()),
        }
    }
}

/// Takes back what was set up: of the named tools, or of all. Gives what was changed, and how many keys gpg trusts no
/// more.
pub(super) fn remove(app: &App, arguments: &ToolArguments, json: bool) -> anyhow::Result<(Vec<ToolChange>, usize)> {
    let all = !arguments.any();
    let mut changes = Vec::new();
    let mut restored = |tool, file: &Path| {
        let change = ToolChange {
            tool,
            file: file.to_owned(),
            outcome: ToolOutcome::Removed,
            signing_key: None,
            set_aside: Vec::new(),
            name: String::new(),
        };
        changes.push(step(json, change, print));
    };
    if all || arguments.git {
        for undone in Git::load(&app.paths)?.remove(&app.paths)? {
            restored("git", &undone.file);
            for setting in undone.left {
                note(format!("{setting} was changed since and stays."));
            }
        }
    }
    if all || arguments.rpm {
        let rpm = Rpm::find()?;
        if rpm.remove()? == BlockChange::Restored {
            restored("rpmsign", rpm.file());
        }
    }
    if all || arguments.deb {
        let debian = Debian::find()?;
        for (tool, (file, change)) in DEBIAN.into_iter().zip(debian.files().into_iter().zip(debian.remove()?)) {
            if change == BlockChange::Restored {
                restored(tool, file);
            }
        }
    }
    if all {
        let default = DefaultKey::of(app.gnupg.home());
        if default.remove()? == BlockChange::Restored {
            restored(GPG, default.file());
        }
    }
    let untrusted = if all || arguments.trust { ownertrust::remove(app)? } else { 0 };
    if untrusted > 0 && !json {
        let keys = count(untrusted, "key");
        let verb = if untrusted == 1 { "is" } else { "are" };
        line(format!("{keys} {verb} no longer trusted as your own."));
    }
    Ok((changes, untrusted))
}

/// What a tool was set up for.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct ToolState {
    /// The tool's command.
    pub(in crate::cli) tool: &'static str,
    /// `PROJECT/NAME` of the key, if it is still one of the person's.
    pub(in crate::cli) key: Option<String>,
    /// What the tool's file says.
    pub(in crate::cli) signing_key: String,
    /// The tool's file.
    #[serde(serialize_with = "lossy")]
    pub(in crate::cli) file: PathBuf,
}

/// The tools that were set up.
pub(in crate::cli) fn states(app: &App) -> Vec<ToolState> {
    let cards = fetched(app).unwrap_or_default();
    let state = |tool, key: String, file: &Path| ToolState {
        tool,
        key: cards.iter().find(|card| card.fingerprint.to_string() == key).map(name),
        signing_key: key,
        file: file.to_owned(),
    };
    let mut states = Vec::new();
    if let Ok(git) = Git::load(&app.paths) {
        states.extend(git.signing_keys().map(|(key, file)| state("git", key.to_owned(), file)));
    }
    if let Ok(rpm) = Rpm::find() {
        states.extend(rpm.key().map(|key| state("rpmsign", key, rpm.file())));
    }
    if let Ok(debian) = Debian::find() {
        let [file, _] = debian.files();
        states.extend(debian.key().map(|key| state("debsign", key, file)));
    }
    states
}

fn fetched(app: &App) -> anyhow::Result<Vec<Card>> {
    Ok(cache::load(&app.paths.cards_file())?.map(|cache| cache.list.cards).unwrap_or_default())
}

/// Those that can be used.
fn with_cards(app: &App) -> anyhow::Result<Vec<Card>> {
    Ok(fetched(app)?.into_iter().filter(|card| card.state.has_card()).collect())
}

fn only(cards: &[Card]) -> Option<&Card> {
    match cards {
        [only] => Some(only),
        _ => None,
    }
}

fn name(card: &Card) -> String {
    clean(&card.full_name().to_string())
}

fn names(cards: &[Card]) -> String {
    cards.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A path as a person writes it: with `~` for the home folder.
pub(in crate::cli) fn shown(file: &Path) -> String {
    let below = home().ok().and_then(|home| file.strip_prefix(home).ok().map(Path::to_owned));
    match below {
        Some(below) => format!("~/{}", below.display()),
        None => file.display().to_string(),
    }
}
