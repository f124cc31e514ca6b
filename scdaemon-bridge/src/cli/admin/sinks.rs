//! `sealcard admin sinks`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use sealcard_api::{
    Timestamp,
    admin::Page,
    sinks::{Sink, SinkDetail, SinkRetried, SinkRetry, SinkSkip, SinkSkipped, SinkState, SinkTested},
};

use crate::{
    cli::{
        App,
        ask::Yes,
        local_time,
        output::{BAD, GOOD, WARN, clean, facts, line, note, show, table},
        when,
    },
    remote::path,
};

pub(super) const HELP: &str = "\
Without a command, all sinks are listed. A sink is a section [sinks.NAME] of the
server's configuration.

Examples:
  sealcard admin sinks
  sealcard admin sinks test siem
  sealcard admin sinks retry siem --parked";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the sinks, and how far the record has left by each
    List,
    /// Show one sink, and the entries that its receiver refused
    Show {
        /// The name, as the list shows it
        sink: String,
    },
    /// Try a sink again now, also if its receiver wanted no more
    Retry {
        /// The name, as the list shows it
        sink: String,
        /// Also send the parked entries again
        #[arg(long)]
        parked: bool,
    },
    /// Decide that entries are never sent by a sink
    #[command(after_help = "\
The record keeps the entries, and an entry that says who skipped them.

Examples:
  sealcard admin sinks skip siem --parked
  sealcard admin sinks skip siem --until 5210")]
    Skip {
        /// The name, as the list shows it
        sink: String,
        /// All entries up to this number that were not sent yet
        #[arg(long, value_name = "ENTRY", required_unless_present = "parked")]
        until: Option<u64>,
        /// The parked entries
        #[arg(long)]
        parked: bool,
        #[command(flatten)]
        yes: Yes,
    },
    /// Send an event for a test, and wait for what becomes of it
    #[command(after_help = "\
The event is no entry of the record. It is sent once, also if the sink waits or
is stopped.

Exit codes:
  0  the receiver took it
  1  it did not")]
    Test {
        /// The name, as the list shows it
        sink: String,
    },
}

pub(super) async fn run(app: &App, arguments: Arguments, json: bool) -> anyhow::Result<ExitCode> {
    let remote = &app.remote;
    match arguments.command.unwrap_or(Command::List) {
        Command::List => {
            let sinks: Page<Sink> = remote.get(&path(&["sinks"])).await?;
            super::show_list(json, "sinks", &sinks.items, print_list)?;
        }
        Command::Show { sink } => {
            let detail: SinkDetail = remote.get(&path(&["sinks", &sink])).await?;
            show(json, &detail, print)?;
        }
        Command::Retry { sink, parked } => {
            let retried: SinkRetried = remote.post(&path(&["sinks", &sink, "retry"]), &SinkRetry { parked }).await?;
            show(json, &retried, |SinkRetried { parked: entries }| match (parked, entries) {
                (false, _) => line(format!("The sink {} is tried again now.", clean(&sink))),
                (true, 0) => line("There are no parked entries. The sink is tried again now."),
                (true, 1) => line("1 parked entry is sent again now."),
                (true, many) => line(format!("{many} parked entries are sent again now.")),
            })?;
        }
        Command::Skip { sink, until, parked, yes } => {
            let what = match (until, parked) {
                (Some(until), false) => format!("entries up to {until}"),
                (Some(until), true) => format!("entries up to {until} and the parked ones"),
                (None, _) => "the parked entries".to_owned(),
            };
            yes.confirm(&format!("The sink {} will never send {what}. Go on?", clean(&sink)))?;
            let skip = SinkSkip { until, parked };
            let skipped: SinkSkipped = remote.post(&path(&["sinks", &sink, "skip"]), &skip).await?;
            show(json, &skipped, |SinkSkipped { position, entries, parked }| {
                let unit = if *entries == 1 { "entry" } else { "entries" };
                line(format!("Skipped: {entries} {unit}, {parked} parked. The sink is at entry {position}."));
            })?;
        }
        Command::Test { sink } => {
            let tested: SinkTested = remote.post(&path(&["sinks", &sink, "test"]), &()).await?;
            show(json, &tested, |tested| match &tested.error {
                None => line(format!("{GOOD}delivered{GOOD:#}  {}", clean(&tested.id))),
                Some(error) => {
                    line(format!("{BAD}not delivered{BAD:#}  {}", clean(error)));
                    note(advice(error));
                }
            })?;
            return Ok(if tested.delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do about an error, as far as its text tells: for people alone.
fn advice(error: &str) -> &'static str {
    if error.contains("allow-private-networks") {
        "Set allow-private-networks = true in the sink's section of server.toml, or correct the address."
    } else if error.contains("certificate") {
        "Set ca-file to the certificate of the receiver's authority, and check its name."
    } else if error.starts_with("401") || error.starts_with("403") {
        "Check the token or the headers of the sink, then restart the server."
    } else {
        "Check the address, the receiver and the firewall between. After a change of server.toml, restart the server."
    }
}

fn print_list(sinks: &[Sink]) {
    let now = Timestamp::now();
    let rows: Vec<_> = sinks
        .iter()
        .map(|sink| {
            [
                sink.name.clone(),
                sink.kind.clone(),
                state(sink),
                sink.position.to_string(),
                lag(sink),
                sink.parked.to_string(),
                sink.last_success.map_or_else(|| "never".to_owned(), |time| when::ago(time, now)),
                sink.last_error.clone().filter(|_| sink.failures > 0).unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let headings = ["SINK", "KIND", "STATE", "ENTRY", "BEHIND", "PARKED", "LAST SUCCESS", "LAST ERROR"];
    table(headings, &rows, "There are no sinks: the server's configuration has no section [sinks.NAME].");
    for sink in sinks {
        hints(sink);
    }
}

/// Such as `failing, blocks`.
fn state(sink: &Sink) -> String {
    let name = sink.state.name().replace('-', " ");
    match (sink.blocks, sink.required) {
        (true, _) => format!("{name}, blocks"),
        (false, true) => format!("{name}, required"),
        (false, false) => name,
    }
}

fn lag(sink: &Sink) -> String {
    if sink.lag_entries == 0 {
        return "-".to_owned();
    }
    let seconds = i64::try_from(sink.lag_seconds).unwrap_or(i64::MAX);
    format!("{}, {}", sink.lag_entries, when::span(seconds))
}

/// What to do about a sink.
fn hints(sink: &Sink) {
    let name = clean(&sink.name);
    if sink.blocks {
        note(format!("{BAD}No key is used{BAD:#} until {name} has caught up."));
    }
    if sink.state == SinkState::Stopped {
        note(format!("The receiver of {name} wants no more. Once it does: sealcard admin sinks retry {name}"));
    }
    if sink.parked > 0 {
        note(format!("{WARN}Refused entries{WARN:#} of {name}: sealcard admin sinks show {name}"));
    }
}

fn print(detail: &SinkDetail) {
    let SinkDetail { sink, parked_entries } = detail;
    let time = |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), local_time::shown);
    let mut rows = vec![
        ("name", sink.name.clone()),
        ("kind", sink.kind.clone()),
        ("form", sink.form.clone()),
        ("to", sink.to.clone().unwrap_or_else(|| "a secret address".to_owned())),
        ("state", state(sink)),
        ("required", if sink.required { "yes" } else { "no" }.to_owned()),
        ("entry", sink.position.to_string()),
        ("behind", lag(sink)),
        ("parked", sink.parked.to_string()),
        ("last success", time(sink.last_success)),
        ("last failure", time(sink.last_failure)),
    ];
    rows.extend(sink.last_error.clone().map(|error| ("last error", error)));
    if sink.failures > 0 {
        rows.push(("failures", sink.failures.to_string()));
        rows.extend(sink.next_attempt.map(|next| ("next attempt", when::with_distance(next))));
    }
    if !sink.redacted.is_empty() {
        rows.push(("left out", sink.redacted.join(", ")));
    }
    rows.extend(sink.public_keys.iter().map(|key| ("public key", key.clone())));
    facts(&rows);
    if !parked_entries.is_empty() {
        line("");
        let rows: Vec<_> = parked_entries
            .iter()
            .map(|parked| {
                let state = if parked.retried { "tried again" } else { "parked" };
                [parked.entry.to_string(), local_time::shown(parked.parked), state.to_owned(), parked.error.clone()]
            })
            .collect();
        table(["ENTRY", "TIME", "STATE", "THE RECEIVER SAID"], &rows, "");
        let name = clean(&sink.name);
        note(format!("To send them again: sealcard admin sinks retry {name} --parked"));
        note(format!("To give them up: sealcard admin sinks skip {name} --parked"));
    }
    if sink.failures > 0
        && let Some(error) = &sink.last_error
    {
        note(advice(error));
    }
    hints_of_state(sink);
}

fn hints_of_state(sink: &Sink) {
    let name = clean(&sink.name);
    if sink.blocks {
        note(format!("{BAD}No key is used{BAD:#} until it has caught up."));
    }
    if sink.state == SinkState::Stopped {
        note(format!("The receiver wants no more. Once it does: sealcard admin sinks retry {name}"));
    }
}
