//! The record proves itself: checkpoints, receipts, and a record that lost entries or has others.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, DatabaseKind, Finished, Playground, run, wait_until};
use serde_json::Value;

use crate::support::{builder, database};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn receipt_proves_a_signature_of_gpg_and_of_git() -> Result<()> {
    let playground = builder()?.algorithms(&[Algorithm::Ed25519, Algorithm::Rsa2048]).start()?;
    let station = &playground.workstation;
    let content = station.write("release.tar.gz", "content")?;
    for algorithm in [Algorithm::Ed25519, Algorithm::Rsa2048] {
        let fingerprint = &playground.key(algorithm)?.fingerprint;
        station.gpg(&["--yes", "-u", fingerprint, "--detach-sign", &content])?;
        let signature = format!("{content}.sig");
        let proved = receipt(&playground, &[&signature, "--json"])?;
        let entry = &proved[0]["entry"];
        ensure!(entry["event"] == "use-outcome" && entry["actor"]["name"] == sealcard_tests::USER, "{proved}");
        ensure!(proved[0]["log"].as_str().is_some_and(|log| log.ends_with("/record")), "{proved}");
        ensure!(proved[0]["size"].as_u64() >= proved[0]["number"].as_u64(), "{proved}");
        let shown = station.run_sealcard(&["receipt", &signature])?.text();
        ensure!(shown.contains("The record proves this signature.") && shown.contains("ada"), "{shown}");
    }
    let bundle = station.path("release.sealcard-bundle.json");
    station.run_sealcard(&["receipt", &format!("{content}.sig"), "--bundle", &bundle])?;
    let bundle: Value = serde_json::from_slice(&fs::read(&bundle)?)?;
    let proof = bundle["receipts"][0]["proof"].as_str().context("no proof")?;
    ensure!(proof.starts_with("c2sp.org/tlog-proof@v1\nindex "), "{proof}");

    // Others check it without the server, by the log's keys or by a policy that names them.
    let file = station.path("release.sealcard-bundle.json");
    let shown = station.run_sealcard(&["verify", "--bundle", &file, &content])?.text();
    ensure!(shown.contains("proved") && shown.contains("by ada"), "{shown}");
    let keys = bundle["receipts"][0]["keys"].as_array().context("no keys")?;
    let logs: String = keys.iter().filter_map(Value::as_str).map(|key| format!("log {key}\n")).collect();
    let policy = station.write("trusted.tlog-policy", format!("{logs}quorum none\n"))?;
    station.run_sealcard(&["verify", "--bundle", &file, "--policy", &policy, &content])?;
    let forged = fs::read_to_string(&file)?.replace("\"name\":\"ada\"", "\"name\":\"eve\"");
    let forged = station.write("forged.json", forged)?;
    let refused = run(&mut station.sealcard(&["verify", "--bundle", &forged, &content]), DEADLINE)?.failure()?;
    ensure!(refused.text().contains("not proved"), "{}", refused.description());

    // A job signs and writes the receipts of all files at once.
    let folder = station.path("dist");
    fs::create_dir(&folder)?;
    for name in ["one", "two"] {
        station.write(&format!("dist/{name}"), name)?;
    }
    let file = station.path("dist.sealcard-bundle.json");
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.run_sealcard(&["sign", "--key", key, "--bundle", &file, &folder])?;
    let shown = station.run_sealcard(&["verify", "--bundle", &file, "--policy", &policy, &folder])?.text();
    ensure!(shown.matches("by ada").count() == 2, "{shown}");
    let alone = station.path("alone.json");
    station.run_sealcard(&[
        "sign",
        "--key",
        key,
        "--bundle",
        &alone,
        "--clear",
        "-o",
        "-",
        &format!("{folder}/one"),
    ])?;
    ensure!(fs::read_to_string(&alone)?.matches("tlog-proof@v1").count() == 1);

    // What this server did not sign has no receipt.
    let local =
        ["--batch", "--passphrase", "", "--quick-generate-key", "local@example.org", "ed25519", "sign", "never"];
    station.gpg(&local)?;
    let other = station.path("other.sig");
    station.gpg(&["-u", "local@example.org", "-o", &other, "--detach-sign", &content])?;
    let refused = run(&mut station.sealcard(&["receipt", &other]), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("was not made by this server"), "{}", refused.description());
    let record = doctor(&playground)?;
    ensure!(record["verdict"] == "good", "{record}");
    Ok(())
}

/// An older copy of the database is put in the place of the newest one.
#[test]
fn older_copy_of_the_record_is_found_by_signer_and_workstation() -> Result<()> {
    let mut playground = builder()?.database(DatabaseKind::Sqlite).algorithms(&[Algorithm::Ed25519]).start()?;
    let signature = sign(&playground)?;
    receipt(&playground, &[&signature, "--json"])?;
    playground.server.stop()?;
    let (file, copy) = (playground.server.data().join("sealcard.db"), playground.scratch.path().join("older.db"));
    // So that the file alone is the database.
    let whole = "PRAGMA wal_checkpoint(TRUNCATE)";
    database::execute(&playground, whole)?;
    fs::copy(&file, &copy)?;
    playground.server.start_again(&[])?;
    let signature = sign(&playground)?;
    receipt(&playground, &[&signature, "--json"])?;
    playground.server.stop()?;
    database::execute(&playground, whole)?;
    fs::copy(&copy, &file)?;

    // The signer has signed more than this.
    stops(&mut playground, "sealcard-server new-log")?;

    // An administrator knows why, and the workstation asks a person.
    run(&mut playground.server.command(&["new-log"]), DEADLINE)?.success()?;
    playground.server.start_again(&[])?;
    let station = &playground.workstation;
    let another = |words: &[&str]| -> Result<Finished> {
        let refused = run(&mut station.sealcard(words), DEADLINE)?.failure()?;
        ensure!(refused.stderr.contains("another one than before"), "{}", refused.description());
        Ok(refused)
    };
    wait_until("a workstation that sees another log", DEADLINE, || Ok(another(&["sync"]).ok()))?;
    let record = doctor(&playground)?;
    ensure!(record["verdict"] == "broken", "{record}");
    // gpg and `sealcard sign` get nothing from it. A scdaemon that looked less than a minute ago would not look again.
    station.end_agent()?;
    for _ in 0..2 {
        let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
        station.try_sign(key)?.failure()?;
        let last = station.run_sealcard(&["last"])?.text();
        ensure!(last.contains("another one than before") && last.contains("receipt --accept-log"), "{last}");
        another(&["sign", "--key", key, &station.write("other", "text")?])?;
    }
    station.run_sealcard(&["receipt", "--accept-log"])?;
    station.run_sealcard(&["sync"])?;
    let signature = sign(&playground)?;
    receipt(&playground, &[&signature, "--json"])?;
    Ok(())
}

#[test]
fn log_that_was_known_and_is_shown_no_more_is_an_alarm() -> Result<()> {
    let mut playground = builder()?.algorithms(&[Algorithm::Ed25519]).start()?;
    let signature = sign(&playground)?;
    receipt(&playground, &[&signature, "--json"])?;
    playground.server.stop()?;
    let config = playground.server.data().join("server.toml");
    let text = fs::read_to_string(&config)?;
    let without: String =
        text.lines().filter(|line| !line.starts_with("origin")).flat_map(|line| [line, "\n"]).collect();
    ensure!(without.lines().count() < text.lines().count(), "no origin in {text}");
    fs::write(&config, without)?;
    playground.server.start_again(&[])?;
    let station = &playground.workstation;
    let refused = run(&mut station.sealcard(&["sync"]), DEADLINE)?.failure()?;
    ensure!(refused.stderr.contains("proves its record to nobody any more"), "{}", refused.description());
    run(&mut station.sealcard(&["receipt", &signature]), DEADLINE)?.failure()?;
    let record = doctor(&playground)?;
    ensure!(record["verdict"] == "broken", "{record}");
    Ok(())
}

/// The mark can't be removed: it would make a new key again and again.
#[test]
fn mark_of_a_new_log_that_stays_makes_no_key() -> Result<()> {
    let playground = builder()?.database(DatabaseKind::Sqlite).algorithms(&[Algorithm::Ed25519]).start()?;
    let signature = sign(&playground)?;
    receipt(&playground, &[&signature, "--json"])?;
    let mark = playground.server.data().join("new-log");
    fs::create_dir(&mark)?;
    wait_until("the server says why", DEADLINE, || {
        Ok(playground.server.log().contains("no checkpoint can be made").then_some(()))
    })?;
    let keys = || database::rows(&playground, "SELECT origin FROM log_key");
    ensure!(keys()?.len() == 1, "{:?}", keys()?);
    fs::remove_dir(&mark)?;
    run(&mut playground.server.command(&["new-log"]), DEADLINE)?.success()?;
    wait_until("a new log", DEADLINE, || Ok((!mark.exists()).then_some(())))?;
    wait_until("its key", DEADLINE, || Ok((keys()?.len() == 2).then_some(())))?;
    Ok(())
}

/// Somebody who can write the database changes an entry with its hash.
#[test]
fn entry_that_was_changed_with_its_hash_stops_the_server() -> Result<()> {
    let mut playground = builder()?.database(DatabaseKind::Sqlite).algorithms(&[Algorithm::Ed25519]).start()?;
    let signature = sign(&playground)?;
    receipt(&playground, &[&signature, "--json"])?;
    playground.server.stop()?;
    let change = "DROP TRIGGER record_is_never_changed; UPDATE record SET hash = zeroblob(32) WHERE sequence = 3";
    database::execute(&playground, change)?;
    stops(&mut playground, "or others")
}

/// The server is started, and stops by itself for this reason, perhaps before it serves.
fn stops(playground: &mut Playground, reason: &str) -> Result<()> {
    let said = match playground.server.start_again(&[]) {
        Ok(()) => {
            let ended = playground.server.wait(DEADLINE)?;
            ensure!(!ended.success(), "the server ended as if all were well");
            playground.server.log()
        }
        Err(error) => format!("{error:#}"),
    };
    ensure!(said.contains(reason), "{said}");
    Ok(())
}

fn sign(playground: &Playground) -> Result<String> {
    let station = &playground.workstation;
    let content = station.write("text", "What is signed\n")?;
    station.gpg(&["--yes", "-u", &playground.key(Algorithm::Ed25519)?.fingerprint, "--detach-sign", &content])?;
    Ok(format!("{content}.sig"))
}

fn receipt(playground: &Playground, words: &[&str]) -> Result<Value> {
    let shown = playground.workstation.run_sealcard(&[&["receipt"], words].concat())?;
    serde_json::from_slice(&shown.stdout).with_context(|| shown.description())
}

/// What doctor says of the record.
fn doctor(playground: &Playground) -> Result<Value> {
    let said = run(&mut playground.workstation.sealcard(&["doctor", "--json"]), DEADLINE)?;
    let report: Value = serde_json::from_slice(&said.stdout).with_context(|| said.description())?;
    let findings = report["findings"].as_array().context("no findings")?;
    findings.iter().find(|finding| finding["link"] == "record").cloned().context("nothing about the record")
}
