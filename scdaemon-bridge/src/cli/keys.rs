//! `sealcard keys`.

use clap::Args;
use sealcard_api::Timestamp;

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
    /// Don't ask the server: show what the last sync fetched
    #[arg(long)]
    offline: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(app: &App, arguments: Arguments) -> anyhow::Result<()> {
    let cached = || anyhow::Ok(cache::load(&app.paths.cards_file())?.map(|cache| cache.list.cards).unwrap_or_default());
    let cards = if arguments.offline {
        cached()?
    } else {
        match app.remote.cards().await {
            Ok(list) => list.cards,
            Err(error @ (RemoteError::Unreachable { .. } | RemoteError::TimedOut { .. })) => {
                warn(format!("this is what the last sync fetched, because {error}"));
                cached()?
            }
            Err(error) => return Err(error.into()),
        }
    };
    show(arguments.json, &cards, |cards| {
        let now = Timestamp::now();
        let rows: Vec<_> = cards
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
        cards.iter().flat_map(|card| card.life().news(now)).for_each(|text| warn(clean(&text)));
    })
}
