//! `sealcard admin record`.

use std::process::ExitCode;

use clap::Subcommand;
use sealcard_api::record::{RecordEntry, RecordVerification};
use serde_json::Value;

use crate::{
    cli::{
        App,
        output::{BAD, GOOD, ListWriter, clean, count, line, show},
        pages::{self, Pages},
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the newest entries of the record
    #[command(after_help = "\
Examples:
  sealcard admin record list --limit 20
  sealcard admin record list --after 0 --limit 1000000 --json
      prints the whole record")]
    List {
        /// The first ones after this number instead of the newest
        #[arg(long, value_name = "SEQUENCE")]
        after: Option<u64>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only those of this project
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// Only those of this key: NAME, PROJECT/NAME, fingerprint, its last 16 digits, or id
        #[arg(long)]
        key: Option<String>,
    },
    /// Check that nothing was changed or left out, and that the record and the signers' journals agree
    #[command(after_help = "Exit codes: 0 all is well, 1 something is wrong or it could not be checked.")]
    Verify,
}

pub(super) async fn run(app: &App, command: Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { after, limit, project, key } => {
            let key = match key {
                Some(key) => Some(super::key::find(app, &key).await?.id.to_string()),
                None => None,
            };
            let chosen = [("project", project), ("key", key)];
            let list = List { app, chosen, limit: limit as usize };
            match list.write(after, json).await {
                // A reader that went away (`| head`) is no error of ours.
                Err(error) if is_broken_pipe(&error) => {}
                written => written?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify => {
            let verification: RecordVerification = app.remote.get(&path(&["record", "verify"])).await?;
            show(json, &verification, print)?;
            Ok(if verification.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Entries of the record. There may be more than memory holds, so that they are written page by page.
struct List<'a> {
    app: &'a App,
    chosen: [(&'static str, Option<String>); 2],
    limit: usize,
}

impl List<'_> {
    /// Writes the first entries after this number, or the newest.
    async fn write(&self, after: Option<u64>, json: bool) -> anyhow::Result<()> {
        let path = path(&["record"]);
        let mut writer = ListWriter::new(json, "entries");
        let mut part = |mut entries: Vec<RecordEntry>| {
            entries.sort_by_key(|entry| entry.sequence);
            writer.part(&entries, HEADINGS, row)
        };
        if after.is_none() && self.limit <= pages::PAGE {
            if let Some(entries) = self.pages(&path, "newest", None).next().await? {
                part(entries)?;
            }
        } else {
            let after = match after {
                Some(after) => after,
                None => self.before_newest(&path).await?,
            };
            let mut pages = self.pages(&path, "oldest", Some(after));
            while let Some(entries) = pages.next().await? {
                part(entries)?;
            }
        }
        Ok(writer.end("The record holds no such entry.")?)
    }

    fn pages<'p>(&'p self, path: &'p str, order: &str, after: Option<u64>) -> Pages<'p> {
        let [project, key] = self.chosen.clone();
        let after = ("after", after.map(|after| after.to_string()));
        Pages::new(&self.app.remote, path, &[after, ("order", Some(order.to_owned())), project, key], self.limit)
    }

    /// The number before the newest entries that are wanted. The server gives those from the end, but they are written
    /// from the oldest to the newest.
    async fn before_newest(&self, path: &str) -> anyhow::Result<u64> {
        let mut first = None;
        let mut pages = self.pages(path, "newest", None);
        while let Some(entries) = pages.next::<RecordEntry>().await? {
            first = entries.last().map(|entry| entry.sequence).or(first);
        }
        Ok(first.unwrap_or(1).saturating_sub(1))
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

const HEADINGS: [&str; 6] = ["#", "TIME", "KIND", "STATE", "REQUEST", "DETAILS"];

fn row(entry: &RecordEntry) -> [String; 6] {
    [
        entry.sequence.to_string(),
        entry.time.to_string(),
        entry.kind.name().to_owned(),
        entry.state.map_or("-", |state| state.name()).to_owned(),
        entry.request_id.to_string(),
        details(&entry.body),
    ]
}

/// What the body says beyond the columns, the event first.
fn details(body: &str) -> String {
    const SHOWN: [&str; 5] = ["sequence", "time", "kind", "state", "request_id"];
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    fields.retain(|name, _| !SHOWN.contains(&name.as_str()));
    if let Some(Value::Object(details)) = fields.remove("details") {
        fields.extend(details);
    }
    let event = fields.remove("event");
    let first = event.as_ref().map(plain);
    let others = fields.iter().filter(|(_, value)| !value.is_null());
    let others = others.map(|(name, value)| format!("{name}={}", plain(value)));
    first.into_iter().chain(others).collect::<Vec<_>>().join(" ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn print(verification: &RecordVerification) {
    let entries = match verification.entries {
        1 => "1 entry".to_owned(),
        several => format!("{several} entries"),
    };
    if verification.findings.is_empty() {
        line(format!("{GOOD}All is well:{GOOD:#} {entries}, newest hash {}.", clean(&verification.head)));
        return;
    }
    line(format!("{BAD}{}{BAD:#} in {entries}:", count(verification.findings.len(), "finding")));
    for finding in &verification.findings {
        line(format!("  {}", clean(finding)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_flat_and_begin_with_the_event() {
        let body = r#"{"sequence":1,"kind":"administration","key":null,"details":{"by":"init","event":"user-added"}}"#;
        assert_eq!(details(body), "user-added by=init");
        assert_eq!(details("no json"), "no json");
    }
}
