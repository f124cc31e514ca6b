//! `sealcard admin status`.

use std::process::ExitCode;

use clap::Args;
use sealcard_api::{
    Timestamp,
    record::{RecordVerification, VerificationState},
    status::{CertificateUse, EnvironmentStatus, ServerStatus, SharingServer, WitnessState, WitnessStatus},
};
use serde::Serialize;

use super::environment::{kind_name, state_name};
use crate::{
    cli::{
        App, error, local_time,
        output::{GOOD, WARN, clean, count, facts, line, show, table},
        when,
    },
    config::Config,
    remote::path,
};

const HELP: &str = "\
Counts and states are those of the server that answers. Others that share its database have their own.

Exit codes, as monitoring systems use them:
  0  nothing needs attention
  1  something needs attention, and is named
  2  the server can't be asked, or you have no system role

Example, in a nightly job:
  sealcard admin status || echo 'look at the Sealcard server'";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {}

/// The server could not be asked.
const NOT_ASKED: u8 = 2;

#[derive(Debug, Serialize)]
struct Document {
    /// The address.
    server: Option<String>,
    #[serde(flatten)]
    status: ServerStatus,
}

pub(super) async fn run(app: &App, json: bool) -> anyhow::Result<ExitCode> {
    let status: ServerStatus = match app.remote.get(&path(&["status"])).await {
        Ok(status) => status,
        Err(error) => {
            error::show(&error.into());
            return Ok(ExitCode::from(NOT_ASKED));
        }
    };
    let config = Config::load(&app.paths.in_use()).ok().flatten();
    let document = Document { server: config.map(|config| config.server), status };
    show(json, &document, |Document { server, status }| print(server.as_deref(), status))?;
    Ok(if document.status.attention.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(server: Option<&str>, status: &ServerStatus) {
    match status.attention.as_slice() {
        [] => line(format!("{GOOD}Nothing needs attention.{GOOD:#}")),
        attention => {
            line(format!("{WARN}This needs attention:{WARN:#}"));
            attention.iter().for_each(|text| line(format!("- {}", clean(text))));
        }
    }
    line("");
    let now = Timestamp::now();
    let started = format!("version {}, started {}", clean(&status.version), when::ago(status.started, now));
    let clock = local_time::shown(status.clock.time);
    let newest =
        status.record.newest.map_or_else(String::new, |newest| format!(", the last one {}", when::ago(newest, now)));
    let published = status
        .record
        .published
        .map_or_else(|| "not published".to_owned(), |size| format!("{} published", entries(size)));
    let mut rows = vec![
        ("server", server.map_or_else(|| started.clone(), |server| format!("{server}, {started}"))),
        ("clock", if status.clock.doubt.is_some() { format!("{clock}, in doubt") } else { clock }),
        ("record", format!("{}{newest}", entries(status.record.entries))),
        ("log", published),
        (
            "verified",
            status.record.verification.as_ref().map_or("not since the start".to_owned(), |last| verified(last, now)),
        ),
        (
            "requests",
            format!("{} waiting, {} with an unknown outcome", status.requests.waiting, status.requests.unknown),
        ),
    ];
    rows.extend(status.certificates.iter().map(|one| {
        let name = match one.used_as {
            CertificateUse::Server => "certificate",
            CertificateUse::Authority => "authority",
        };
        (name, format!("ends {}", when::with_distance(one.expires)))
    }));
    facts(&rows);
    if !status.servers.is_empty() {
        line("");
        let rows: Vec<_> = status.servers.iter().map(|server| sharing(server, now)).collect();
        table(["SERVER", "VERSION", "STATE", "SEEN"], &rows, "");
    }
    if !status.witnesses.is_empty() {
        line("");
        let rows: Vec<_> = status.witnesses.iter().map(|witness| cosigning(witness, now)).collect();
        table(["WITNESS", "STATE", "ENTRIES", "COSIGNED"], &rows, "");
    }
    line("");
    let rows: Vec<_> = status.environments.iter().map(row).collect();
    let headings = ["ENVIRONMENT", "KEY STORE", "STATE", "KEYS", "NEXT END", "IN WORK", "WAITING", "RESTARTS"];
    table(headings, &rows, "There are no environments.");
}

fn sharing(server: &SharingServer, now: Timestamp) -> [String; 4] {
    let state = match (server.here, server.live) {
        (true, _) => "answers",
        (false, true) => "runs",
        (false, false) => "ended without a word",
    };
    [clean(&server.name), clean(&server.version), state.to_owned(), when::ago(server.seen, now)]
}

fn cosigning(witness: &WitnessStatus, now: Timestamp) -> [String; 4] {
    let state = match witness.state {
        WitnessState::Current => "current",
        WitnessState::Behind => "behind",
        WitnessState::Failing => "failing",
        WitnessState::Forked => "KNOWS ANOTHER LOG",
    };
    let cosigned = witness.last_success.map_or_else(|| "-".to_owned(), |time| when::ago(time, now));
    [clean(&witness.name), state.to_owned(), witness.size.to_string(), cosigned]
}

fn row(environment: &EnvironmentStatus) -> [String; 8] {
    let restarts = environment.keeper_restarts.saturating_add(environment.worker_restarts);
    [
        clean(&environment.name),
        kind_name(environment.kind).to_owned(),
        state_name(environment.state).to_owned(),
        environment.keys.to_string(),
        when::day(environment.next_key_end),
        environment.uses_in_progress.to_string(),
        environment.uses_waiting.to_string(),
        restarts.to_string(),
    ]
}

fn entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{number} entries") }
}

fn verified(last: &RecordVerification, now: Timestamp) -> String {
    let finished = last.finished.map_or_else(String::new, |finished| when::ago(finished, now));
    match (last.state, &last.report) {
        (VerificationState::Running, _) => format!("in progress, {} of {}", last.entries, last.total),
        (VerificationState::Finished, Some(report)) if report.findings.is_empty() => {
            format!("{finished}: nothing is wrong")
        }
        (VerificationState::Finished, Some(report)) => {
            let more = usize::try_from(report.more_findings).unwrap_or(usize::MAX);
            format!("{finished}: {}", count(report.findings.len().saturating_add(more), "finding"))
        }
        _ => format!("{finished}: failed"),
    }
}
