//! `sealcard unsync`: takes back what sync did, and nothing else.

use std::collections::HashSet;

use clap::Args;
use sealcard_api::Fingerprint;
use serde::Serialize;

use super::known::{FetchedKey, KnownCards, card_keys};
use crate::{
    cards::{Keygrip, cache},
    cli::{
        App, ask,
        output::{GOOD, clean, count, facts, line, note, show, step, warn},
    },
    config::files::{self, FileLock},
    gpg::{CardKey, KeyPlace, TrustedKeys},
};

#[derive(Debug, Args)]
#[command(after_help = "\
gpg forgets that the keys' secret halves are on Sealcard's cards. Public keys are removed only if a sync brought them
into the keyring, if gpg has no secret key of its own for them, and if you say yes: signatures by them can't be verified
afterwards. What gpg had before Sealcard stays. The login and the set-up stay too; `sealcard sync` fetches everything
again.")]
pub(in crate::cli) struct Arguments {
    /// Remove public keys without asking
    #[arg(long, conflicts_with = "keep_public_keys")]
    yes: bool,
    /// Leave all public keys in the keyring
    #[arg(long)]
    keep_public_keys: bool,
    /// Only keys that you can no longer use, as the last sync found
    #[arg(long)]
    gone: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Report {
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
    let which = if arguments.gone { Which::Gone } else { Which::All };
    let report = undo(app, which, keys)?;
    show(arguments.json, &report, print)
}

/// What becomes of public keys that sync brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum PublicKeys {
    Keep,
    Ask,
    Remove,
}

/// Which keys gpg is to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    All,
    /// Those that the last sync did not find any more.
    Gone,
}

impl Which {
    fn includes(self, key: &FetchedKey<'_>) -> bool {
        self == Self::All || !key.listed
    }
}

/// As `unsync --yes`, for commands that have asked already.
pub(in crate::cli) fn undo_all(app: &App, json: bool) -> anyhow::Result<Report> {
    Ok(step(json, undo(app, Which::All, PublicKeys::Remove)?, print))
}

fn undo(app: &App, which: Which, public_keys: PublicKeys) -> anyhow::Result<Report> {
    // A sync must not work on the same files and GnuPG home at once.
    let _lock = FileLock::take(&app.paths.sync_lock_file(), true)?;
    let mut known = KnownCards::load(&app.paths)?;
    let plan = Plan::new(app, &known, which)?;
    let mut report = Report { stubs: remove_stubs_of(app, &known, which)?, ..Report::default() };
    let remove = match public_keys {
        _ if plan.ours.is_empty() => false,
        PublicKeys::Remove => true,
        PublicKeys::Keep => false,
        PublicKeys::Ask => may_remove(&plan)?,
    };
    let forgotten: Vec<Fingerprint> =
        known.keys().filter(|key| which.includes(key)).map(|key| key.fingerprint).collect();
    TrustedKeys::load(&app.paths)?.remove(&app.paths, &app.gnupg, |key| forgotten.contains(&key))?;
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
    let done = remove || nothing_of_ours;
    match which {
        Which::Gone if done => {
            known.forget_unlisted();
            known.save(&app.paths)?;
        }
        Which::Gone => {}
        Which::All => {
            if done {
                files::remove(&app.paths.known_cards_file())?;
            }
            files::remove(&app.paths.cards_file())?;
        }
    }
    Ok(report)
}

/// Which public keys could go.
struct Plan {
    /// Brought by a sync, with their names.
    ours: Vec<(Fingerprint, String)>,
    others: Vec<Kept>,
}

impl Plan {
    fn new(app: &App, known: &KnownCards, which: Which) -> anyhow::Result<Self> {
        let fetched: Vec<_> = known.keys().filter(|key| which.includes(key)).collect();
        let fingerprints: Vec<Fingerprint> = fetched.iter().map(|key| key.fingerprint).collect();
        let present = app.gnupg.public_keys(&fingerprints)?;
        let with_secret = with_secret_keys(app, &fetched)?;
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
        warn("there is no terminal to ask on, so public keys stay: pass --yes or --keep-public-keys");
        return Ok(false);
    }
    ask::confirm("Remove them from gpg's keyring? Signatures by them can't be verified afterwards.")
}

fn print(report: &Report) {
    line(format!(
        "{GOOD}gpg forgot {} on cards and {}.{GOOD:#}",
        count(report.stubs, "key"),
        count(report.removed.len(), "public key"),
    ));
    for kept in &report.kept {
        line(format!("{} ({}) stays: {}.", clean(&kept.name), kept.fingerprint, kept.reason));
    }
}

/// Keys for which gpg-agent has a secret key of its own.
fn with_secret_keys(app: &App, keys: &[FetchedKey<'_>]) -> anyhow::Result<Vec<Fingerprint>> {
    let flat: Vec<CardKey> = keys.iter().flat_map(|key| present(app, &key.stubs)).collect();
    let places = app.gnupg.key_places(&flat)?;
    let own: Vec<CardKey> =
        flat.into_iter().zip(places).filter(|(_, place)| *place == KeyPlace::File).map(|(key, _)| key).collect();
    let has_own = |key: &&FetchedKey<'_>| key.stubs.iter().any(|stub| own.contains(stub));
    Ok(keys.iter().filter(has_own).map(|key| key.fingerprint).collect())
}

/// Makes gpg forget that the keys are on cards: without the cards it would ask for them to be inserted. Gives how many
/// there were.
pub(in crate::cli) fn remove_stubs(app: &App) -> anyhow::Result<usize> {
    remove_stubs_of(app, &KnownCards::load(&app.paths)?, Which::All)
}

/// Every card that was ever fetched counts: those that vanished, and those of other servers. Stubs of other cards stay.
fn remove_stubs_of(app: &App, known: &KnownCards, which: Which) -> anyhow::Result<usize> {
    let mut keys: Vec<CardKey> = known.keys().filter(|key| which.includes(key)).flat_map(|key| key.stubs).collect();
    if which == Which::All {
        // What the daemon fetched since the last sync.
        let cache = cache::load(&app.paths.cards_file()).ok().flatten();
        keys.extend(cache.iter().flat_map(|cache| cache.list.cards.iter().chain(&cache.retired)).flat_map(card_keys));
    }
    let keys: HashSet<CardKey> = present(app, &keys).into_iter().collect();
    let keys: Vec<CardKey> = keys.into_iter().collect();
    let places = app.gnupg.key_places(&keys)?;
    let stubs: Vec<Keygrip> =
        keys.into_iter().zip(places).filter(|(_, place)| *place == KeyPlace::Card).map(|(key, _)| key.grip).collect();
    app.gnupg.remove_stubs(&stubs)?;
    Ok(stubs.len())
}

/// Those of which gpg-agent has a file: it need not be started for the others.
fn present(app: &App, keys: &[CardKey]) -> Vec<CardKey> {
    keys.iter().filter(|key| app.gnupg.stub_file(&key.grip).exists()).copied().collect()
}
