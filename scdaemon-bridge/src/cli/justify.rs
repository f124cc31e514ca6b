//! `sealcard justify`.

use anyhow::bail;
use clap::Args;
use sealcard_api::Timestamp;

use super::{
    App,
    output::{clean, line, note, show},
    when,
};
use crate::claims::{MAX_PERIOD, StoredJustification, clean_justification};

#[derive(Debug, Args)]
#[command(after_help = "\
The text goes with each use of a key, by gpg, git, rpm, ssh or this command, until its time is over. The server records \
it, and rules of a project may demand one. It is what you say and no proof.

SEALCARD_JUSTIFICATION in the environment of the program that signs comes first. Without either, git signs with what \
`git config sealcard.justification` says.

Examples:
  sealcard justify 'Release 1.0, ticket 4711'
  sealcard justify --for 2h 'Rebuild after the incident'
  sealcard justify                  show the text and how long it holds
  sealcard justify --clear")]
pub(super) struct Arguments {
    /// Why you sign, in one line
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// How long the text holds, such as 90s, 30m or 2h; at most 24h
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = period, requires = "text")]
    period: i64,
    /// Remove the text
    #[arg(long, conflicts_with = "text")]
    clear: bool,
    /// Print JSON; null if there is no text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(app: &App, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.clear {
        StoredJustification::clear(&app.paths)?;
    }
    if let Some(text) = &arguments.text {
        let Some(text) = clean_justification(text) else { bail!("the text must not be empty") };
        let until = Timestamp::from_unix(Timestamp::now().unix().saturating_add(arguments.period));
        StoredJustification { text, until }.save(&app.paths)?;
    }
    let stored = StoredJustification::load(&app.paths)?;
    show(arguments.json, &stored, |stored| match stored {
        None => note("No justification is in force."),
        Some(stored) => line(shown(stored)),
    })
}

/// The text, and when it ends.
pub(super) fn shown(stored: &StoredJustification) -> String {
    format!("{}  (until {})", clean(&stored.text), when::with_distance(stored.until))
}

/// A number and its unit, in seconds.
fn period(text: &str) -> Result<i64, String> {
    let units = [("s", 1), ("m", 60), ("h", 60 * 60)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number = text.strip_suffix(unit).filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?;
        number.parse::<i64>().ok()?.checked_mul(seconds)
    });
    match parsed {
        Some(seconds @ 1..=MAX_PERIOD) => Ok(seconds),
        Some(_) => Err("must be between 1s and 24h".to_owned()),
        None => Err("must be a number with s, m or h behind it, such as 30m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_numbers_with_a_unit() {
        for (text, seconds) in [("1s", 1), ("30m", 1800), ("24h", MAX_PERIOD), ("86400s", MAX_PERIOD)] {
            assert_eq!(period(text), Ok(seconds));
        }
        for wrong in ["", "m", "30", "0m", "-1m", "+1m", "25h", "1d", "1.5h", "99999999999999999999h", "1 h"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }
}
