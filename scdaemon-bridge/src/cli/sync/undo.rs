//! `sealcard unsync`: takes back what sync did, and nothing else.

use clap::Args;
use sealcard_api::Fingerprint;
use serde::Serialize;

use super::known::KnownCards;
use crate::{
    cards::{Keygrip, cache, keygrip},
    cli::{
        App, ask,
        output::{GOOD, clean, count, facts, line, note, show, warn},
    },
    config::files::{self, FileLock},
    gpg::KeyPlace,
};

#[derive(Debug, Args)]
#[command(after_help = "\
gpg forgets that the keys' secret halves are on Sealcard's cards. Public keys are removed only if a sync brought them into
the keyring, if gpg has no secret key of its own for them, and if you say yes: signatures by them can't be verified
afterwards. What gpg had before Sealcard stays. The login and the set-up stay too; `sealcard sync` fetches everything again.")]
pub(in crate::cli) struct Arguments {
    /// Remove public keys without asking
    #[arg(long, conflicts_with = "keep_public_keys")]
    yes: bool,
    /// Leave all public keys in the keyring
    #[arg(long)]
    keep_public_keys: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Stubs that gpg-agent forgot.
    stubs: usize,
    removed: Vec<Fingerprint>,
    kept: Vec<Kept>,
}

#[derive(Debug, Serialize)]
struct Kept {
    fingerprint: Fingerprint,
    name: String,
    reason: &'static str,
}

pub(in crate::cli) fn run(app: &App, arguments: &Arguments) -> anyhow::Result<()> {
    let keys = match (arguments.keep_public_keys, arguments.yes) {
        (true, _) => PublicKeys::Keep,
        (_, true) => PublicKeys::Remove,
        _ => PublicKeys::Ask,
    };
    let report = undo(app, keys)?;
    show(arguments.json, &report, print)
}

/// What becomes of public keys that sync brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum PublicKeys {
    Keep,
    Ask,
    Remove,
}

/// As `unsync --yes`, for commands that have asked already.
pub(in crate::cli) fn undo_all(app: &App) -> anyhow::Result<()> {
    print(&undo(app, PublicKeys::Remove)?);
    Ok(())
}

fn undo(app: &App, public_keys: PublicKeys) -> anyhow::Result<Report> {
    // A sync must not work on the same files and GnuPG home at once.
    let _lock = FileLock::take(&app.paths.state_folder().join("sync.lock"), true)?;
    let known = KnownCards::load(&app.paths)?;
    let mut report = Report { stubs: remove_stubs(app)?, ..Report::default() };
    let plan = Plan::new(app, &known)?;
    let remove = match public_keys {
        _ if plan.ours.is_empty() => false,
        PublicKeys::Remove => true,
        PublicKeys::Keep => false,
        PublicKeys::Ask => may_remove(&plan)?,
    };
    let trusted: Vec<Fingerprint> = known.keys().filter(|key| key.trusted).map(|key| key.fingerprint).collect();
    if !trusted.is_empty() {
        app.gnupg.forget_trust(&trusted)?;
    }
    let nothing_of_ours = plan.ours.is_empty();
    report.kept = plan.others;
    if remove {
        report.removed = plan.ours.iter().map(|(fingerprint, _)| *fingerprint).collect();
        app.gnupg.delete_public_keys(&report.removed)?;
    } else {
        let kept = plan.ours.into_iter();
        report.kept.extend(kept.map(|(fingerprint, name)| Kept { fingerprint, name, reason: "you keep it" }));
    }
    // Keys of ours that stay are still ours to remove another time.
    if remove || nothing_of_ours {
        files::remove(&app.paths.known_cards_file())?;
    }
    files::remove(&app.paths.cards_file())?;
    Ok(report)
}

/// Which public keys could go.
struct Plan {
    /// Brought by a sync, with their names.
    ours: Vec<(Fingerprint, String)>,
    others: Vec<Kept>,
}

impl Plan {
    fn new(app: &App, known: &KnownCards) -> anyhow::Result<Self> {
        let fetched: Vec<_> = known.keys().collect();
        let fingerprints: Vec<Fingerprint> = fetched.iter().map(|key| key.fingerprint).collect();
        let present = app.gnupg.public_keys(&fingerprints)?;
        let with_secret = with_secret_keys(app)?;
        let mut plan = Self { ours: Vec::new(), others: Vec::new() };
        for key in fetched.into_iter().filter(|key| present.contains(&key.fingerprint)) {
            let (fingerprint, name) = (key.fingerprint, key.name.to_owned());
            if with_secret.contains(&fingerprint) {
                plan.others.push(Kept { fingerprint, name, reason: "gpg has a secret key of its own for it" });
            } else if key.imported {
                plan.ours.push((fingerprint, name));
            } else {
                plan.others.push(Kept { fingerprint, name, reason: "it was in the keyring before Sealcard" });
            }
        }
        Ok(plan)
    }
}

fn may_remove(plan: &Plan) -> anyhow::Result<bool> {
    let rows: Vec<(&str, String)> =
        plan.ours.iter().map(|(fingerprint, name)| (name.as_str(), fingerprint.to_string())).collect();
    note(format!("{} came with Sealcard:", count(plan.ours.len(), "public key")));
    facts(&rows);
    if !ask::can_ask() {
        warn("nobody can be asked here, so public keys stay: pass --yes or --keep-public-keys");
        return Ok(false);
    }
    ask::confirm("Remove them from gpg's keyring? Signatures by them can't be verified afterwards.")
}

fn print(report: &Report) {
    line(format!(
        "{GOOD}gpg forgot {} and {}.{GOOD:#}",
        count(report.stubs, "key on a card"),
        count(report.removed.len(), "public key"),
    ));
    for kept in &report.kept {
        line(format!("{} ({}) stays: {}.", clean(&kept.name), kept.fingerprint, kept.reason));
    }
}

/// Certificates of the cache with a component for which gpg-agent has a real secret key.
fn with_secret_keys(app: &App) -> anyhow::Result<Vec<Fingerprint>> {
    let mut found = Vec::new();
    for (fingerprint, grips) in fetched_grips(app) {
        if app.gnupg.key_places(&grips)?.contains(&KeyPlace::File) {
            found.push(fingerprint);
        }
    }
    Ok(found)
}

/// Makes gpg forget that the keys are on cards: without the cards it would ask for them to be inserted. Gives how many
/// there were.
pub(in crate::cli) fn remove_stubs(app: &App) -> anyhow::Result<usize> {
    let grips: Vec<Keygrip> = fetched_grips(app)
        .into_iter()
        .flat_map(|(_, grips)| grips)
        .filter(|grip| app.gnupg.home().join(format!("private-keys-v1.d/{grip}.key")).exists())
        .collect();
    let places = app.gnupg.key_places(&grips)?;
    let stubs: Vec<Keygrip> =
        grips.into_iter().zip(places).filter(|(_, place)| *place == KeyPlace::Card).map(|(grip, _)| grip).collect();
    app.gnupg.remove_stubs(&stubs)?;
    Ok(stubs.len())
}

/// The keygrips of every card of the cache, retired ones too.
fn fetched_grips(app: &App) -> Vec<(Fingerprint, Vec<Keygrip>)> {
    let Some(cache) = cache::load(&app.paths.cards_file()).ok().flatten() else { return Vec::new() };
    let cards = cache.list.cards.iter().chain(&cache.retired);
    cards
        .map(|card| {
            let grips = card.components.iter().filter_map(|component| keygrip(&component.public_key).ok());
            (card.fingerprint, grips.collect())
        })
        .collect()
}
