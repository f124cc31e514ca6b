//! `sealcard ssh`.

use anyhow::bail;
use clap::{Args, Subcommand};
use sealcard_api::{algorithm::ComponentRole, cards::Card};
use serde::Serialize;

use super::{
    App,
    output::{line, show, table},
    sign::find_card,
};
use crate::{cards::cache, config::SshKeys};

#[derive(Debug, Args)]
#[command(after_help = "\
An ssh server ends a login after a few keys that it does not know (MaxAuthTries, usually 6). With more keys than that, \
choose those that your servers know.

Examples:
  sealcard ssh use release/login      offer only this key
  sealcard ssh use-all                offer each key again")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which keys are offered to ssh
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Offer only these keys
    Use {
        /// The keys' names, PROJECT/NAME or fingerprints
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Offer each key that can authenticate
    UseAll,
}

/// What `show` says.
#[derive(Debug, Serialize)]
struct State {
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    name: String,
    project: String,
    fingerprint: sealcard_api::Fingerprint,
    offered: bool,
}

pub(super) fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let cards = cache::load(&app.paths.cards_file())?.map(|cache| cache.list.cards).unwrap_or_default();
    match arguments.command {
        None => state(app, &cards, false),
        Some(Command::Show { json }) => state(app, &cards, json),
        Some(Command::UseAll) => {
            SshKeys::All.save(&app.paths)?;
            line("Each key that can authenticate is offered to ssh.");
            Ok(())
        }
        Some(Command::Use { keys }) => {
            let mut chosen = Vec::new();
            for wanted in &keys {
                let card = find_card(&cards, wanted)?;
                if !authenticates(card) {
                    bail!("{}/{} has no key for authentication, so ssh can't use it", card.project, card.name);
                }
                chosen.push(card.fingerprint);
            }
            SshKeys::Only(chosen).save(&app.paths)?;
            state(app, &cards, false)
        }
    }
}

/// How many keys of these cards are offered to ssh.
pub(super) fn offered(cards: &[Card], keys: &SshKeys) -> usize {
    cards.iter().filter(|card| authenticates(card) && keys.offers(&card.fingerprint)).count()
}

fn authenticates(card: &Card) -> bool {
    card.components.iter().any(|component| component.role == ComponentRole::Authenticate)
}

fn state(app: &App, cards: &[Card], json: bool) -> anyhow::Result<()> {
    let keys = SshKeys::load(&app.paths)?;
    let keys = cards.iter().filter(|card| authenticates(card)).map(|card| Key {
        name: card.name.clone(),
        project: card.project.clone(),
        fingerprint: card.fingerprint,
        offered: keys.offers(&card.fingerprint),
    });
    show(json, &State { keys: keys.collect() }, |state| {
        let rows: Vec<_> = state
            .keys
            .iter()
            .map(|key| {
                let offered = if key.offered { "yes" } else { "no" };
                [format!("{}/{}", key.project, key.name), key.fingerprint.to_string(), offered.to_owned()]
            })
            .collect();
        table(["KEY", "FINGERPRINT", "OFFERED"], &rows, "You have no keys that ssh can use.");
    })
}
