//! The record leaves by sinks, as administrators and gpg's users see it.

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Finished, Flavour, Playground, run, wait_until};
use serde_json::Value;

use crate::{
    notices::{Receiver, SECRET, configure},
    support::{PATIENCE, builder_with_failpoints, expect_no_prompt, playground, rest::Rest},
};

fn section(receiver: &Receiver, more: &str) -> String {
    format!(
        "[sinks.siem]\nkind = \"webhook\"\nurl = \"https://localhost:{}/\"\nsecret-file = \"hook-secret\"\n\
         ca-file = \"tls/ca.pem\"\nallow-private-networks = true\n{more}\n",
        receiver.port
    )
}

/// `sealcard admin sinks …`, however it ends.
fn sinks(playground: &Playground, arguments: &[&str]) -> Result<Finished> {
    run(playground.admin.command(&["admin", "sinks"]).args(arguments), PATIENCE)
}

fn siem(playground: &Playground) -> Result<Value> {
    playground.admin.json(&["sinks", "show", "siem"])
}

/// Waits until the receiver has the newest entry.
fn wait_until_up_to_date(playground: &Playground) -> Result<()> {
    wait_until("all entries with the receiver", PATIENCE, || {
        Ok((siem(playground)?["state"] == "up-to-date").then_some(()))
    })
}

#[test]
fn required_sink_that_is_down_stops_signing_and_the_cause_is_named() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let receiver = Receiver::hook(&playground, "siem")?;
    configure(&mut playground, &section(&receiver, "required = true\nmax-lag-entries = 4"))?;
    let (station, pid) = (&playground.workstation, playground.server.pid());
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    wait_until_up_to_date(&playground)?;

    receiver.set("503")?;
    let refused = wait_until("a refused signature", PATIENCE, || {
        let finished = station.try_sign(key)?;
        Ok((!finished.status.success()).then_some(finished))
    })?;
    ensure!(refused.stderr.contains("signing failed: "), "{}", refused.description());
    let last = station.run_sealcard(&["last", "--json"])?;
    let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
    let reason = last["reason"].as_str().context("no reason")?;
    ensure!(reason.contains("the required sink siem of the record is "), "{last}");
    ensure!(reason.contains("sealcard admin sinks show siem"), "{last}");
    // The receiver's words are for those who look after the server.
    ensure!(!reason.contains("503"), "{last}");
    let record = playground.admin.admin(&["record", "list", "--denied", "--json"])?.text();
    ensure!(record.contains("\"cause\":\"sink\""), "{record}");

    // Administration goes on, and says what to do.
    let listed = sinks(&playground, &[])?.success()?;
    for expected in ["siem", "failing, blocks", "503 Service Unavailable", "No key is used"] {
        ensure!(listed.text().contains(expected) || listed.stderr.contains(expected), "{}", listed.description());
    }
    let status = run(&mut playground.admin.command(&["admin", "status"]), PATIENCE)?.failure()?;
    ensure!(status.text().replace("\n  ", " ").contains("No key is used: the required sink siem"), "{}", status.text());
    playground.admin.admin(&["user", "add", "walter", "--json"])?;

    receiver.set("200")?;
    let retried = sinks(&playground, &["retry", "siem"])?.success()?;
    ensure!(retried.text().contains("tried again now"), "{}", retried.description());
    wait_until("a signature", PATIENCE, || Ok(station.try_sign(key)?.status.success().then_some(())))?;
    ensure!(playground.server.pid() == pid, "the server was restarted");
    wait_until_up_to_date(&playground)?;
    let (got, detail) = (receiver.got()?, siem(&playground)?);
    ensure!(got.iter().all(|one| one["verified"] == true), "a signature of the webhook is wrong");
    let numbers: BTreeSet<u64> =
        got.iter().filter_map(|one| one["body"]["data"]["entry"]["sequence"].as_u64()).collect();
    let (first, last) = (numbers.first().copied().unwrap_or(0), detail["position"].as_u64().context("no position")?);
    ensure!(numbers.len() as u64 == last - first + 1, "{first} to {last}: {numbers:?}");
    ensure!(!playground.server.log().contains(SECRET), "the secret is in the log");
    expect_no_prompt(&playground)
}

#[test]
fn server_that_dies_after_a_delivery_sends_the_same_ids_again_and_loses_nothing() -> Result<()> {
    let mut playground = builder_with_failpoints()?.start()?;
    let receiver = Receiver::hook(&playground, "siem")?;
    configure(&mut playground, &section(&receiver, "from = \"beginning\""))?;
    wait_until_up_to_date(&playground)?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    for _ in 0..2 {
        let before = receiver.got()?.len();
        playground.server.stop()?;
        playground.server.start_again(&[("FAILPOINTS", "server::sink_delivered=return")])?;
        // What leaves may be the signature's, or that of the login.
        let _ = playground.workstation.try_sign(&key)?;
        playground.server.wait(PATIENCE)?;
        ensure!(receiver.got()?.len() > before, "nothing was delivered before the server died");
        playground.server.start_again(&[])?;
        wait_until_up_to_date(&playground)?;
    }
    let got = receiver.got()?;
    let mut ids = std::collections::BTreeMap::new();
    for one in &got {
        let sequence = one["body"]["data"]["entry"]["sequence"].as_u64().context("no number")?;
        let id = one["body"]["data"]["id"].as_str().context("no id")?;
        ensure!(ids.insert(sequence, id.to_owned()).is_none_or(|known| known == id), "{sequence} has two ids");
    }
    let position = siem(&playground)?["position"].as_u64().context("no position")?;
    ensure!(ids.keys().copied().eq(1..=position), "entries are missing: {:?}", ids.keys());
    ensure!(got.len() > ids.len(), "nothing came again");
    Ok(())
}

#[test]
fn parked_entries_are_shown_sent_again_and_skipped() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let receiver = Receiver::hook(&playground, "siem")?;
    configure(&mut playground, &section(&receiver, "redact = [\"peer\"]"))?;
    wait_until_up_to_date(&playground)?;
    receiver.set("400")?;
    playground.admin.admin(&["user", "add", "walter", "--json"])?;
    let parked = wait_until("a parked entry", PATIENCE, || {
        let detail = siem(&playground)?;
        Ok((detail["parked"].as_u64() > Some(0)).then_some(detail))
    })?;
    ensure!(parked["parked_entries"][0]["error"] == "400 Bad Request", "{parked}");
    let shown = sinks(&playground, &["show", "siem"])?.success()?;
    for expected in ["400 Bad Request", "left out", "peer"] {
        ensure!(shown.text().contains(expected), "{expected}: {}", shown.description());
    }
    let tested = sinks(&playground, &["test", "siem"])?.failure()?;
    ensure!(tested.text().contains("400 Bad Request"), "{}", tested.description());
    let status = run(&mut playground.admin.command(&["admin", "status"]), PATIENCE)?.failure()?;
    ensure!(status.text().replace("\n  ", " ").contains("receiver of the sink siem refused"), "{}", status.text());

    receiver.set("200")?;
    let tested = sinks(&playground, &["test", "siem"])?.success()?;
    ensure!(tested.text().contains("delivered") && tested.text().contains("#test-"), "{}", tested.description());
    sinks(&playground, &["retry", "siem", "--parked"])?.success()?;
    wait_until("no parked entry", PATIENCE, || Ok((siem(&playground)?["parked"] == 0).then_some(())))?;
    let got = receiver.got()?;
    ensure!(got.iter().all(|one| one["body"]["data"]["entry"].get("peer").is_none()), "{got:?}");

    // The receiver is away for good.
    receiver.set("503")?;
    playground.admin.admin(&["user", "add", "skyler", "--json"])?;
    wait_until("a failure", PATIENCE, || Ok((siem(&playground)?["failures"].as_u64() > Some(0)).then_some(())))?;
    let refused = sinks(&playground, &["skip", "siem", "--until", "100000"])?.failure()?;
    ensure!(refused.stderr.contains("--yes"), "{}", refused.description());
    let skipped = sinks(&playground, &["skip", "siem", "--until", "100000", "--yes"])?.success()?;
    ensure!(skipped.text().contains("Skipped: ") && skipped.text().contains("0 parked"), "{}", skipped.description());
    receiver.set("200")?;
    wait_until_up_to_date(&playground)?;
    let record = playground.admin.admin(&["record", "list", "--json"])?.text();
    ensure!(record.contains("\"sink-skipped\"") && record.contains("\"sink-retried\""), "{record}");
    let unknown = sinks(&playground, &["show", "other"])?.failure()?;
    ensure!(unknown.stderr.contains("no sink other"), "{}", unknown.description());
    let forbidden =
        run(&mut playground.workstation.sealcard(&["admin", "sinks"]), Duration::from_secs(30))?.failure()?;
    ensure!(
        forbidden.stderr.contains("administrator") || forbidden.stderr.contains("allowed"),
        "{}",
        forbidden.description()
    );
    let rest = Rest::user(&playground)?;
    let refused = rest.post("/v1/sinks/siem/skip", "{\"until\": 1}")?;
    ensure!(refused.status == 403, "{refused:?}");
    let text = fs::read_to_string(playground.server.data().join("server.toml"))?;
    ensure!(text.contains("[sinks.siem]"), "{text}");
    Ok(())
}
