//! `sealcard admin key extend`.

use anyhow::{Context as _, bail};
use clap::Args;
use sealcard_api::{
    Timestamp,
    keys::{Key, KeyExtension},
};
use time::{Date, Time, format_description::well_known::Iso8601};

use super::full_name;
use crate::{
    cli::{
        App,
        output::{line, note, show},
        when,
    },
    remote::path,
};

#[derive(Debug, Args)]
pub(in super::super) struct Extend {
    /// NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
    pub(super) key: String,
    /// Days from now until the key expires, 1 to 3650 (default: 730)
    #[arg(long, value_name = "N", conflicts_with = "until", value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
    /// The last day, such as 2028-12-31
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
}

impl Extend {
    pub(super) async fn run(self, app: &App, key: &Key, json: bool) -> anyhow::Result<()> {
        let expires = self.until.as_deref().map(end_of_day).transpose()?;
        let body = KeyExtension { expires_days: self.days, expires };
        let route = path(&["keys", &key.id.to_string(), "extend"]);
        let key: Key = app.remote.post_patiently(&route, &body).await?;
        show(json, &key, |key| {
            line(format!("The key {} expires on {} now.", full_name(key), when::day(key.expires)));
            note("Those who use it run `sealcard sync`. Publish its certificate again: sealcard admin key export");
        })
    }
}

/// The last second of a day, in UTC.
fn end_of_day(text: &str) -> anyhow::Result<Timestamp> {
    let date = Date::parse(text, &Iso8601::DATE).with_context(|| format!("{text} is no date such as 2028-12-31"))?;
    let Ok(last) = Time::from_hms(23, 59, 59) else { bail!("no such time") };
    Ok(Timestamp::from_unix(date.with_time(last).assume_utc().unix_timestamp()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lives_to_the_end_of_its_last_day() {
        assert_eq!(end_of_day("2028-12-31").unwrap().to_string(), "2028-12-31T23:59:59Z");
        assert!(end_of_day("31.12.2028").is_err() && end_of_day("2028-02-30").is_err());
    }
}
