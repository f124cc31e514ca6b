//! `sealcard admin clock`.

use anyhow::bail;
use clap::Subcommand;
use sealcard_api::{
    Timestamp,
    clock::{ClockConfirmation, ClockDoubt, ClockState},
};

use crate::{
    cli::{
        App,
        ask::Yes,
        local_time,
        output::{facts, line, show},
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the server's clock, and whether it is in doubt
    Show,
    /// Say that the clocks of all servers are right, after one of them jumped
    ///
    /// Rules about the time of day deny everything while a clock is in doubt. Fails if the server's clock differs from
    /// this machine's by more than five minutes: then set the wrong one right first.
    Confirm(Yes),
}

/// A difference between two machines' clocks that is not worth a word, in seconds.
const TOLERANCE: u64 = 5 * 60;

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<()> {
    let state: ClockState = app.remote.get(&path(&["clock"])).await?;
    match command {
        Command::Show => show(json, &state, describe),
        Command::Confirm(yes) => {
            let Some(doubt) = &state.doubt else { bail!("the server's clock is not in doubt") };
            let difference = state.time.unix().abs_diff(Timestamp::now().unix());
            if difference > TOLERANCE {
                bail!(
                    "the server's clock shows {}, and this machine's differs from it by {difference} seconds; set the \
                     wrong one right first",
                    local_time::shown(state.time)
                );
            }
            let question =
                format!("{} Its clock shows {} now. Is that right?", sentence(doubt), local_time::shown(state.time));
            yes.confirm(&question)?;
            let confirmation = ClockConfirmation { since: doubt.since };
            let state: ClockState = app.remote.post(&path(&["clock", "confirm"]), &confirmation).await?;
            show(json, &state, |_| line("The server's clock is not in doubt any more."))
        }
    }
}

fn describe(state: &ClockState) {
    let doubt = state.doubt.as_ref().map_or_else(|| "no".to_owned(), sentence);
    facts(&[
        ("server's clock", local_time::shown(state.time)),
        ("this machine's", local_time::shown(Timestamp::now())),
        ("in doubt", doubt),
    ]);
    if state.doubt.is_some() {
        line("If the server's clock is right, run: sealcard admin clock confirm");
    }
}

fn sentence(ClockDoubt { since, seconds, here }: &ClockDoubt) -> String {
    let whose = if *here { "This server's clock" } else { "A server's clock" };
    let direction = if *seconds < 0 { "back" } else { "ahead" };
    format!("{whose} went {} seconds {direction} ({}).", seconds.unsigned_abs(), local_time::shown(*since))
}
