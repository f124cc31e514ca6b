//! `sealcard admin record`.

use std::process::ExitCode;

use clap::Subcommand;
use sealcard_api::record::{RecordEntry, RecordVerification};
use serde_json::Value;

use crate::{
    cli::{
        App,
        output::{BAD, GOOD, clean, count, line, show, table},
        pages,
    },
    remote::path,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The newest entries of the record
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
            let order = if after.is_none() { "newest" } else { "oldest" };
            let parameters = [
                ("after", after.map(|after| after.to_string())),
                ("order", Some(order.to_owned())),
                ("project", project),
                ("key", key),
            ];
            let mut entries: Vec<RecordEntry> =
                pages::up_to(&app.remote, &path(&["record"]), &parameters, limit as usize).await?;
            entries.sort_by_key(|entry| entry.sequence);
            super::show_list(json, "entries", &entries, |entries| {
                let rows: Vec<_> = entries.iter().map(row).collect();
                table(["#", "TIME", "KIND", "STATE", "REQUEST", "DETAILS"], &rows, "The record holds no such entry.");
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify => {
            let verification: RecordVerification = app.remote.get(&path(&["record", "verify"])).await?;
            show(json, &verification, print)?;
            Ok(if verification.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

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
