//! Trusting keys as one's own: gpg then calls their signatures good without a warning.
//!
//! gpg takes what an ultimately trusted key certifies for true, so each key is confirmed by the person, once.

use anyhow::bail;
use sealcard_api::{Fingerprint, cards::Card};

use super::{
    App, ask,
    output::{GOOD, clean, note, warn},
};
use crate::{config::Config, gpg::TrustedKeys};

/// Trusts those of the keys that are not trusted yet. A person at a terminal is asked; elsewhere the option that led
/// here is the consent. Gives the keys that are new.
pub(super) fn trust(app: &App, cards: &[&Card]) -> anyhow::Result<Vec<Fingerprint>> {
    let (server, mut known) = (server(app)?, TrustedKeys::load(&app.paths)?);
    let new: Vec<&Card> = cards.iter().filter(|card| !known.contains(card.fingerprint)).copied().collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    if ask::can_ask() {
        for card in &new {
            note(format!("  {:<20}  {}", name(card), clean(&card.user_id)));
            note(format!("  {:<20}  {}", "", card.fingerprint));
        }
        warn_of_changes(&known, &server, &new);
        let question = format!("Trust {} as your own?", if new.len() == 1 { "this key" } else { "these keys" });
        if !ask::confirm(&question)? {
            note("No key was trusted.");
            return Ok(Vec::new());
        }
    } else {
        warn_of_changes(&known, &server, &new);
    }
    add(app, &mut known, &server, &new)?;
    Ok(new.iter().map(|card| card.fingerprint).collect())
}

/// Trusts one key, of which the person has just said so.
pub(super) fn trust_confirmed(app: &App, card: &Card) -> anyhow::Result<()> {
    let (server, mut known) = (server(app)?, TrustedKeys::load(&app.paths)?);
    if known.contains(card.fingerprint) {
        return Ok(());
    }
    add(app, &mut known, &server, &[card])
}

fn add(app: &App, known: &mut TrustedKeys, server: &str, cards: &[&Card]) -> anyhow::Result<()> {
    let keys: Vec<_> = cards.iter().map(|card| (card.fingerprint, card.full_name().to_string())).collect();
    known.add(&app.paths, &app.gnupg, server, &keys)?;
    let names: Vec<String> = cards.iter().map(|card| name(card)).collect();
    note(format!("{GOOD}Trusted as your own:{GOOD:#} {}.", names.join(", ")));
    Ok(())
}

/// Names keys that appeared since others were trusted. They are never trusted by themselves.
pub(super) fn mention_new(app: &App, cards: &[&Card], imported: bool) -> anyhow::Result<()> {
    let known = TrustedKeys::load(&app.paths)?;
    if known.is_empty() {
        return Ok(());
    }
    if imported {
        app.gnupg.check_trust();
    }
    let new: Vec<&Card> = cards.iter().filter(|card| !known.contains(card.fingerprint)).copied().collect();
    if new.is_empty() {
        return Ok(());
    }
    warn_of_changes(&known, &server(app)?, &new);
    let names: Vec<String> = new.iter().map(|card| name(card)).collect();
    note(format!("Not trusted as your own yet: {}. `sealcard setup --trust` does that.", names.join(", ")));
    Ok(())
}

/// Forgets all trust that was given here. Gives the number of keys.
pub(super) fn remove(app: &App) -> anyhow::Result<usize> {
    TrustedKeys::load(&app.paths)?.remove(&app.paths, &app.gnupg, |_| true)
}

/// A name that stands for another key than the one that was trusted is what an attacker would make.
fn warn_of_changes(known: &TrustedKeys, server: &str, new: &[&Card]) {
    for card in new {
        if let Some(old) = known.other_of_name(server, &card.full_name().to_string(), card.fingerprint) {
            warn(format!("{} is another key than the one that you trusted under this name ({old})", name(card)));
        }
    }
}

fn server(app: &App) -> anyhow::Result<String> {
    match Config::load(&app.paths.in_use())? {
        Some(config) => Ok(config.server),
        None => bail!("not logged in: run `sealcard login`"),
    }
}

fn name(card: &Card) -> String {
    clean(&card.full_name().to_string())
}
