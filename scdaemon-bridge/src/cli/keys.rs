//! `sealcard keys`.

use clap::Args;
use sealcard_api::{Timestamp, cards::Card};
use serde::Serialize;

use super::{
    App,
    output::{clean, show, table, warn},
    when,
};
use crate::{cards::cache, remote::RemoteError};

#[derive(Debug, Args)]
#[command(after_help = "\
Example, to sign all commits and tags with a key of this list:
  sealcard setup --git --sign-tags --sign-commits --key PROJECT/NAME")]
pub(super) struct Arguments {
    /// Show what the last sync fetched, without asking the server
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    keys: Vec<Card>,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let cached = || anyhow::Ok(cache::load(&app.paths.cards_file())?.map(|cache| cache.list.cards).unwrap_or_default());
    let cards = if arguments.offline {
        cached()?
    } else {
        match app.remote.cards().await {
            Ok(list) => list.cards,
            Err(error @ (RemoteError::Unreachable { .. } | RemoteError::TimedOut { .. })) => {
                warn(format!("{error}; this list is from the last sync"));
                cached()?
            }
            Err(error) => return Err(error.into()),
        }
    };
    show(arguments.json, &Report { keys: cards }, |Report { keys }| {
        let now = Timestamp::now();
        let rows: Vec<_> = keys
            .iter()
            .map(|card| {
                [
                    card.name.clone(),
                    card.project.clone(),
                    card.algorithm.to_string(),
                    card.life().state_at(now).name().to_owned(),
                    card.fingerprint.to_string(),
                    card.user_id.clone(),
                    when::day(card.expires),
                ]
            })
            .collect();
        let headings = ["NAME", "PROJECT", "ALGORITHM", "STATE", "FINGERPRINT", "USER ID", "EXPIRES"];
        table(headings, &rows, "You have no keys. Ask an owner of a project for the role key-user.");
        keys.iter().flat_map(|card| card.life().news(now)).for_each(|text| warn(clean(&text)));
    })
}
