//! `sealcard sync`.

mod known;
pub(super) mod undo;

use anyhow::{Context as _, bail};
use clap::Args;
use known::Vanished;
pub(super) use known::card_keys;
use sealcard_api::{
    Fingerprint, Timestamp,
    cards::Card,
    keys::{KeyState, Revoked},
};
use serde::Serialize;

use super::{
    App,
    output::{self, GOOD, clean, count, facts, line, note, step, warn},
    ownertrust, setup,
};
use crate::{
    cards::cache,
    config::{Config, files::FileLock},
    gpg::{CardKey, Imported, KeyPlace},
    witness,
};

#[derive(Debug, Args)]
#[command(after_help = "\
Run it after someone made a key for you or gave you a role. It fetches your keys' public halves, imports them into gpg,
and makes gpg know that their secret halves are on Sealcard's cards. Secret keys that gpg has itself stay untouched.")]
pub(super) struct Arguments {
    /// Trust the keys as your own, so that gpg does not call their signatures untrusted; asks once in a terminal
    #[arg(long)]
    ownertrust: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let report = fetch(app, Options { ownertrust: arguments.ownertrust, json: arguments.json }).await?;
    if arguments.json {
        output::json(&report)?;
    }
    report.check()
}

/// What may be chosen about fetching keys.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) ownertrust: bool,
    /// The caller shows the report.
    pub(super) json: bool,
}

/// What to do about more keys than the server lists.
pub(super) const TOO_MANY: &str =
    "leave projects whose keys you don't use (ask their owners), so that gpg gets the others";

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    cards: Vec<Fetched>,
    /// Keys that may be used no more.
    vanished: Vec<Vanished>,
    /// Keys that are disabled, revoked or destroyed.
    ended: Vec<Ended>,
    /// What is to be said of all these keys.
    #[serde(skip)]
    news: Vec<String>,
    /// Keys whose certificates gpg did not take.
    refused: Vec<Refused>,
    imported: Counts,
    /// Keys that gpg trusts as the person's own since this sync.
    trusted: Vec<Fingerprint>,
}

#[derive(Debug, Serialize)]
struct Refused {
    name: String,
    project: String,
    fingerprint: Fingerprint,
    /// What gpg says.
    reason: String,
}

#[derive(Debug, Serialize)]
struct Ended {
    name: String,
    project: String,
    fingerprint: Fingerprint,
    state: KeyState,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Revoked>,
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
struct Counts {
    new: usize,
    changed: usize,
    unchanged: usize,
}

/// Fetches the cards, tells gpg, and says what came of it.
pub(super) async fn fetch(app: &App, options: Options) -> anyhow::Result<Report> {
    let Some(config) = Config::load(&app.paths.in_use())? else { bail!("not logged in: run `sealcard login`") };
    let list = app.remote.cards().await?;
    // Nothing is taken from a server whose record is not what it was.
    match witness::witness(&app.remote, &config.server, &app.paths.known_log_file()).await {
        Err(error) if error.is_alarm() => return Err(error.into()),
        Err(error) => warn(format!("the server's record could not be looked at: {error}")),
        Ok(_) => {}
    }
    if list.truncated {
        warn(format!("the server lists {} at most, and you can use more: {TOO_MANY}", count(list.cards.len(), "key")));
    }
    // Another sync must not work on the same files and GnuPG home at once.
    let _lock = FileLock::take(&app.paths.sync_lock_file(), true)?;

    let mut known = known::KnownCards::load(&app.paths)?;
    let vanished = known.add(&config.server, &list)?;
    let cache = cache::update(&app.paths.cards_file(), &config.server, list)?;

    app.gnupg.make_home()?;
    let (cards, ended): (Vec<Card>, Vec<Card>) = cache.list.cards.into_iter().partition(|card| card.state.has_card());
    tell_of_ended(app, &ended)?;
    let fingerprints: Vec<Fingerprint> = cards.iter().map(|card| card.fingerprint).collect();
    let present = app.gnupg.public_keys(&fingerprints)?;
    let absent: Vec<Fingerprint> = fingerprints.iter().filter(|key| !present.contains(key)).copied().collect();
    // Noted before it is done: what is taken back later is at most what was meant to be done.
    known.note(&absent);
    known.save(&app.paths)?;
    let imported = import(app, &cards)?;
    let taken: Vec<Fingerprint> = taken(&fingerprints, &imported).collect();
    let usable = make_stubs(app, &cards, &taken)?;
    let own: Vec<&Card> = cards.iter().filter(|card| taken.contains(&card.fingerprint)).collect();
    let trusted = if options.ownertrust { ownertrust::trust(app, &own)? } else { Vec::new() };
    let report = Report { ended: ended_of(&ended), trusted, ..Report::new(&cards, &usable, vanished, imported) };
    let now = Timestamp::now();
    let news = ended.iter().chain(&cards).flat_map(|card| card.life().news(now)).collect();
    let report = step(options.json, Report { news, ..report }, print);
    if !options.ownertrust {
        ownertrust::mention_new(app, &own, report.imported.new + report.imported.changed > 0)?;
    }
    Ok(report)
}

/// Imports the cards' certificates. Gives, for each card, what became of its certificate.
fn import(app: &App, cards: &[Card]) -> anyhow::Result<Vec<Imported>> {
    let mut readable = Vec::new();
    let mut refused: Vec<Option<Imported>> = Vec::new();
    for card in cards {
        let certificate = sealcard_openpgp::card_certificate(card)
            .map_err(|error| error.to_string())
            .and_then(|read| read.bytes().map_err(|error| error.to_string()));
        refused.push(certificate.as_ref().err().map(|reason| Imported::Refused { reason: reason.clone() }));
        readable.extend(certificate.ok().map(|certificate| (card.fingerprint, certificate)));
    }
    let mut imported = app.gnupg.import(&readable)?.into_iter();
    Ok(refused.into_iter().filter_map(|refused| refused.or_else(|| imported.next())).collect())
}

/// The keys that gpg did not refuse.
fn taken(keys: &[Fingerprint], imported: &[Imported]) -> impl Iterator<Item = Fingerprint> {
    let both = keys.iter().zip(imported);
    both.filter(|(_, imported)| !matches!(imported, Imported::Refused { .. })).map(|(key, _)| *key)
}

/// Brings gpg's copies of keys that ended up to date: a revocation must reach it. What gpg does not have is not
/// imported.
fn tell_of_ended(app: &App, ended: &[Card]) -> anyhow::Result<()> {
    let fingerprints: Vec<Fingerprint> = ended.iter().map(|card| card.fingerprint).collect();
    let present = app.gnupg.public_keys(&fingerprints)?;
    let known: Vec<Card> = ended.iter().filter(|card| present.contains(&card.fingerprint)).cloned().collect();
    for (card, imported) in known.iter().zip(import(app, &known)?) {
        if let Imported::Refused { reason } = imported {
            warn(format!("gpg refuses {}: {}", clean(&card.full_name().to_string()), clean(&reason)));
        }
    }
    Ok(())
}

fn ended_of(cards: &[Card]) -> Vec<Ended> {
    let ended = |card: &Card| Ended {
        name: card.name.clone(),
        project: card.project.clone(),
        fingerprint: card.fingerprint,
        state: card.state,
        revoked: card.revoked.clone(),
    };
    cards.iter().map(ended).collect()
}

/// Makes the stubs that are missing, and anew those that name another card. Gives, for each card, whether gpg will use
/// it for all its keys. Keys that gpg did not take are not complained about again.
fn make_stubs(app: &App, cards: &[Card], taken: &[Fingerprint]) -> anyhow::Result<Vec<bool>> {
    if !setup::is_done(app) {
        note("gpg does not use Sealcard yet: run `sealcard setup`.");
        return Ok(vec![false; cards.len()]);
    }
    let keys: Vec<Vec<CardKey>> = cards.iter().map(card_keys).collect();
    let flat: Vec<CardKey> = keys.iter().flatten().copied().collect();
    let mut places = app.gnupg.key_places(&flat)?;
    let strangers = |places: &[KeyPlace]| -> Vec<_> {
        let all = flat.iter().zip(places);
        all.filter(|(_, place)| **place == KeyPlace::OtherCard).map(|(key, _)| key.grip).collect()
    };
    if places.iter().any(|place| matches!(place, KeyPlace::Unknown | KeyPlace::OtherCard)) {
        let look = || app.gnupg.make_stubs(cards.len()).context("gpg does not see the cards; run `sealcard doctor`");
        look()?;
        places = app.gnupg.key_places(&flat)?;
        // gpg 2.2 leaves them as they are: it would ask for that other card for ever.
        let others = strangers(&places);
        if !others.is_empty() {
            app.gnupg.remove_stubs(&others)?;
            look()?;
            places = app.gnupg.key_places(&flat)?;
        }
    }
    let mut places = places.into_iter();
    let mut judge = |(card, keys): (&Card, &Vec<CardKey>)| {
        let places: Vec<_> = places.by_ref().take(keys.len()).collect();
        let taken = taken.contains(&card.fingerprint);
        if taken {
            complain(card, &places);
        }
        taken && places.iter().all(|place| *place == KeyPlace::Card)
    };
    Ok(cards.iter().zip(&keys).map(&mut judge).collect())
}

fn complain(card: &Card, places: &[KeyPlace]) {
    let name = format!("{}/{} ({})", clean(&card.project), clean(&card.name), card.fingerprint);
    if places.contains(&KeyPlace::File) {
        warn(format!("gpg has its own secret key for {name} and uses that, not the card"));
    }
    if places.contains(&KeyPlace::OtherCard) {
        warn(format!("gpg looks for {name} on another card; `sealcard doctor` looks at each link"));
    }
    if places.contains(&KeyPlace::Unknown) {
        warn(format!("gpg does not know the card of {name}"));
    }
}

impl Report {
    fn new(cards: &[Card], usable: &[bool], vanished: Vec<Vanished>, imports: Vec<Imported>) -> Self {
        let number = |wanted: &Imported| imports.iter().filter(|imported| *imported == wanted).count();
        let imported = Counts {
            new: number(&Imported::New),
            changed: number(&Imported::Changed),
            unchanged: number(&Imported::Unchanged),
        };
        let refused = cards
            .iter()
            .zip(imports)
            .filter_map(|(card, imported)| match imported {
                Imported::Refused { reason } => Some(Refused {
                    name: card.name.clone(),
                    project: card.project.clone(),
                    fingerprint: card.fingerprint,
                    reason,
                }),
                _ => None,
            })
            .collect();
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
        Self { cards, vanished, ended: Vec::new(), news: Vec::new(), refused, imported, trusted: Vec::new() }
    }

    /// Fails if gpg refused a key.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        match self.refused.len() {
            0 => Ok(()),
            refused => bail!("gpg refused {} of {}", refused, count(self.cards.len(), "key")),
        }
    }
}

fn print(report: &Report) {
    let Counts { new, changed, .. } = report.imported;
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
    if report.cards.is_empty() && report.ended.is_empty() {
        note("You have no keys yet. Ask an owner of a project for the role key-user.");
    }
    report.news.iter().for_each(|text| warn(clean(text)));
    for gone in &report.vanished {
        warn(format!(
            "you no longer have the role key-user for {} ({}); `sealcard unsync --gone` makes gpg forget such keys",
            clean(&gone.name),
            gone.fingerprint
        ));
    }
    for key in &report.refused {
        let name = format!("{}/{} ({})", clean(&key.project), clean(&key.name), key.fingerprint);
        warn(format!("gpg refuses {name}: {}", clean(&key.reason)));
    }
    if let (Some(first), true) = (report.cards.iter().find(|card| card.usable), new > 0) {
        note(format!("Try it: echo hello | gpg --clearsign -u {}", first.fingerprint));
    }
}
