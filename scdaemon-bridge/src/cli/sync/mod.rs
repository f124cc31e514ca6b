//! `sealcard sync`.

mod known;
pub(super) mod undo;

use anyhow::{Context as _, bail};
use clap::Args;
use known::Vanished;
use sealcard_api::{Fingerprint, cards::Card};
use serde::Serialize;

use super::{
    App,
    output::{GOOD, count, facts, line, note, show, warn},
    setup,
};
use crate::{
    cards::{Keygrip, cache, keygrip},
    config::{Config, files::FileLock},
    gpg::{ImportSummary, KeyPlace},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Run it after someone made a key for you or gave you a role. It fetches your keys' public halves, imports them into gpg,
and makes gpg know that their secret halves are on Sealcard's cards. Secret keys that gpg has itself stay untouched.")]
pub(super) struct Arguments {
    /// Mark the keys as your own (ultimate trust), so that gpg does not call their signatures unverified
    #[arg(long)]
    ownertrust: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    fetch(app, Options { ownertrust: arguments.ownertrust, json: arguments.json }).await
}

/// What may be chosen about fetching keys.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    ownertrust: bool,
    json: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    cards: Vec<Fetched>,
    /// Keys that may be used no more.
    vanished: Vec<Vanished>,
    imported: Imported,
}

#[derive(Debug, Serialize)]
struct Fetched {
    name: String,
    project: String,
    fingerprint: Fingerprint,
    user_id: String,
    serial: String,
    /// Whether gpg will use the card for each of its keys.
    usable: bool,
}

#[derive(Debug, Serialize)]
struct Imported {
    new: usize,
    changed: usize,
    unchanged: usize,
}

/// Fetches the cards, tells gpg, and says what came of it.
pub(super) async fn fetch(app: &App, options: Options) -> anyhow::Result<()> {
    let Some(config) = Config::load(&app.paths.in_use())? else { bail!("not logged in: run `sealcard login`") };
    let list = app.remote.cards().await?;
    // Another sync must not work on the same files and GnuPG home at once.
    let _lock = FileLock::take(&app.paths.state_folder().join("sync.lock"), true)?;

    let mut known = known::KnownCards::load(&app.paths)?;
    let vanished = known.add(&config.server, &list)?;
    let cache = cache::update(&app.paths.cards_file(), &config.server, list)?;

    app.gnupg.make_home()?;
    let certificates: Vec<&str> = cache.list.cards.iter().map(|card| card.certificate.as_str()).collect();
    let fingerprints: Vec<Fingerprint> = cache.list.cards.iter().map(|card| card.fingerprint).collect();
    let present = app.gnupg.public_keys(&fingerprints)?;
    let absent: Vec<Fingerprint> = fingerprints.iter().filter(|key| !present.contains(key)).copied().collect();
    // Noted before it is done: what is taken back later is at most what was meant to be done.
    known.note(&absent, if options.ownertrust { &fingerprints } else { &[] });
    known.save(&app.paths)?;
    let imported = app.gnupg.import(&certificates)?;
    if options.ownertrust && !fingerprints.is_empty() {
        app.gnupg.trust_ultimately(&fingerprints)?;
    }
    let usable = make_stubs(app, &cache.list.cards)?;
    let report = Report::new(&cache.list.cards, &usable, vanished, imported);
    show(options.json, &report, print)
}

/// Makes the stubs that are missing. Gives, for each card, whether gpg will use it for all its keys.
fn make_stubs(app: &App, cards: &[Card]) -> anyhow::Result<Vec<bool>> {
    if !setup::is_done(app) {
        note("gpg does not use Sealcard yet: run `sealcard setup`.");
        return Ok(vec![false; cards.len()]);
    }
    let grips: Vec<Vec<Keygrip>> = cards.iter().map(grips).collect();
    let flat: Vec<Keygrip> = grips.iter().flatten().copied().collect();
    let mut places = app.gnupg.key_places(&flat)?;
    if places.contains(&KeyPlace::Unknown) {
        app.gnupg.make_stubs().context("gpg does not see the cards; `sealcard doctor` looks at each link")?;
        places = app.gnupg.key_places(&flat)?;
    }
    let mut places = places.into_iter();
    Ok(cards
        .iter()
        .zip(&grips)
        .map(|(card, grips)| judge(card, &places.by_ref().take(grips.len()).collect::<Vec<_>>()))
        .collect())
}

fn judge(card: &Card, places: &[KeyPlace]) -> bool {
    if places.contains(&KeyPlace::File) {
        warn(format!(
            "gpg has a secret key of its own for {} ({}) and will use that, not the card",
            super::output::clean(&card.name),
            card.fingerprint
        ));
    }
    if places.contains(&KeyPlace::Unknown) {
        warn(format!("gpg does not know the card of {} ({})", super::output::clean(&card.name), card.fingerprint));
    }
    places.iter().all(|place| *place == KeyPlace::Card)
}

fn grips(card: &Card) -> Vec<Keygrip> {
    card.components.iter().filter_map(|component| keygrip(&component.public_key).ok()).collect()
}

impl Report {
    fn new(cards: &[Card], usable: &[bool], vanished: Vec<Vanished>, imported: ImportSummary) -> Self {
        let cards = cards
            .iter()
            .zip(usable)
            .map(|(card, usable)| Fetched {
                name: card.name.clone(),
                project: card.project.clone(),
                fingerprint: card.fingerprint,
                user_id: card.user_id.clone(),
                serial: card.serial.to_string(),
                usable: *usable,
            })
            .collect();
        let imported = Imported { new: imported.new, changed: imported.changed, unchanged: imported.unchanged };
        Self { cards, vanished, imported }
    }
}

fn print(report: &Report) {
    let Imported { new, changed, .. } = report.imported;
    let news = match (new, changed) {
        (0, 0) => "nothing new".to_owned(),
        (new, 0) => format!("{new} new"),
        (0, changed) => format!("{changed} changed"),
        (new, changed) => format!("{new} new, {changed} changed"),
    };
    line(format!("{GOOD}{}{GOOD:#} ({news}).", count(report.cards.len(), "key")));
    let rows: Vec<(&str, String)> = report
        .cards
        .iter()
        .map(|card| (card.name.as_str(), format!("{}  {}", card.fingerprint, card.user_id)))
        .collect();
    facts(&rows);
    if report.cards.is_empty() {
        note("You may use no key yet. Ask the owner of a project for the role key-user.");
    }
    for gone in &report.vanished {
        warn(format!(
            "{} ({}) may be used no more; `gpg --delete-secret-and-public-key {}` makes gpg forget it",
            super::output::clean(&gone.name),
            gone.serial,
            gone.fingerprint
        ));
    }
    if let (Some(first), true) = (report.cards.iter().find(|card| card.usable), new > 0) {
        note(format!("Try it: echo hello | gpg --clearsign -u {}", first.fingerprint));
    }
}
