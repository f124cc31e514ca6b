//! The server's record and the signer's journal, read after the fact.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use sealcard_api::record::{RecordKind, RequestState};
use sealcard_record::{Body, Line};
use sealcard_signer::journal::scan;
use sealcard_signer_protocol::{JournalEntry, journal::parse_line};
use serde_json::Value;

use super::{PATIENCE, rest::Rest};

/// The whole record, oldest entry first.
pub(crate) fn read_record(admin: &Rest) -> Result<Vec<Body>> {
    let mut entries: Vec<Body> = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.get(&format!("/v1/record?limit=500{after}"))?;
        for item in page["items"].as_array().context("no items")? {
            entries.push(serde_json::from_str::<Line>(&item.to_string())?.body()?);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(entries),
        }
    }
}

/// The state of the latest entry of each use of a key that belongs to this request.
pub(crate) fn state_of(record: &[Body], request: &str) -> Option<RequestState> {
    let of_request = record.iter().filter(|entry| entry.request_id.to_string() == request);
    of_request.filter_map(|entry| entry.event.state()).next_back()
}

/// How many uses of keys the record knows in a state, each counted by its latest entry.
pub(crate) fn uses_in_state(record: &[Body], state: RequestState) -> usize {
    let intents = record.iter().filter(|entry| entry.event.kind() == Some(RecordKind::Intent));
    intents.filter(|intent| state_of(record, &intent.request_id.to_string()) == Some(state)).count()
}

/// The journal of the signer in a server's data folder, its chain verified.
pub(crate) fn read_journal(data: &Path) -> Result<Vec<JournalEntry>> {
    let path = data.join("signer/default/journal.jsonl");
    let verified = scan(&path)?;
    let text = fs::read(&path)?;
    let good = text.get(..usize::try_from(verified.len)?).context("the journal shrank")?;
    let lines = good.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| parse_line(line).context("a line of the journal")).collect()
}

/// A signature that left the server is in the record as signed, and in the journal.
pub(crate) fn expect_recorded(record: &[Body], journal: &[JournalEntry], requests: &[String]) -> Result<()> {
    for request in requests {
        ensure!(state_of(record, request) == Some(RequestState::Signed), "released but not recorded: {request}");
        let journaled = journal.iter().any(|entry| entry.stated.request.to_string() == *request);
        ensure!(journaled, "released but not in the journal: {request}");
    }
    Ok(())
}

/// What the server itself says of its record, against its signers' journals.
pub(crate) fn expect_no_findings(admin: &Rest) -> Result<()> {
    let path = "/v1/record/verification";
    let mut verification = admin.post(path, "{}")?.body;
    let started = Instant::now();
    while verification["state"] == "running" {
        ensure!(started.elapsed() < PATIENCE, "the verification does not end: {verification}");
        sleep(Duration::from_millis(20));
        verification = admin.get(path)?;
    }
    match &verification["report"]["findings"] {
        Value::Array(findings) if findings.is_empty() => Ok(()),
        _ => bail!("{verification}"),
    }
}
