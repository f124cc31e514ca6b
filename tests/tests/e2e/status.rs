//! `sealcard admin status`: what an administrator sees of the server, and the exit code that monitoring uses.

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_tests::{Algorithm, Finished, Flavour, PROJECT, Playground, SignatureKind, run, wait_until};
use serde_json::Value;

use crate::support::{PATIENCE, playground};

#[test]
fn status_tells_what_needs_attention_by_text_and_exit_code() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let file = playground.workstation.write("text", "What is signed\n")?;
    let key = playground.key(Algorithm::Ed25519)?;
    playground.workstation.sign(SignatureKind::Detached, &key.fingerprint, &file, &[])?;
    let well = status(&playground, &[])?;
    ensure!(well.status.code() == Some(0), "{}", well.description());
    let text = well.text();
    for expected in ["Nothing needs attention.", playground.server.url(), "default", "ready", "not since the start"] {
        ensure!(text.contains(expected), "{expected:?} is missing:\n{text}");
    }
    playground.admin.admin(&["record", "verify"])?;
    let document = json(&status(&playground, &["--json"])?)?;
    ensure!(document["attention"] == Value::Array(Vec::new()), "{document}");
    ensure!(document["server"] == playground.server.url(), "{document}");
    let environment = &document["environments"][0];
    ensure!(environment["state"] == "ready" && environment["worker_restarts"] == 0, "{document}");
    ensure!(environment["keys"] == playground.facts.keys.len(), "{document}");
    let record = &document["record"];
    ensure!(record["entries"].as_u64() > Some(1), "{document}");
    ensure!(record["verification"]["report"]["findings"] == Value::Array(Vec::new()), "{document}");
    let uses: Vec<&str> =
        document["certificates"].as_array().context("none")?.iter().filter_map(|one| one["use"].as_str()).collect();
    ensure!(uses == ["server", "authority"], "{document}");

    let soon = format!("{PROJECT}/soon");
    let user_id = "Soon <soon@example.org>";
    playground.admin.admin(&["key", "create", &soon, "--user-id", user_id, "--expires-days", "10"])?;
    let warned = status(&playground, &[])?;
    ensure!(warned.status.code() == Some(1), "{}", warned.description());
    ensure!(warned.text().contains(&format!("The key {soon} expires on ")), "{}", warned.description());
    let document = json(&status(&playground, &["--json"])?)?;
    ensure!(document["ending_keys"][0]["name"] == soon, "{document}");
    ensure!(document["attention"].as_array().is_some_and(|sentences| sentences.len() == 1), "{document}");
    // Disabled, it is out of use, and needs nobody.
    playground.admin.admin(&["key", "disable", &soon])?;
    ensure!(status(&playground, &[])?.status.code() == Some(0), "a disabled key needs attention");
    Ok(())
}

#[test]
fn status_counts_workers_that_died_and_is_for_administrators() -> Result<()> {
    let mut playground = playground(Flavour::Machine)?;
    let workers = playground.server.signers()?;
    let worker = workers.last().context("no worker")?;
    kill(Pid::from_raw((*worker).try_into()?), Signal::SIGKILL)?;
    wait_until("the next worker", PATIENCE, || {
        let document = json(&status(&playground, &["--json"])?)?;
        let environment = &document["environments"][0];
        Ok((environment["worker_restarts"] == 1 && environment["state"] == "ready").then_some(()))
    })?;
    let refused = run(&mut playground.workstation.sealcard(&["admin", "status"]), PATIENCE)?;
    ensure!(refused.status.code() == Some(2), "{}", refused.description());
    playground.server.stop()?;
    let gone = status(&playground, &[])?;
    ensure!(gone.status.code() == Some(2) && gone.stderr.contains("error:"), "{}", gone.description());
    Ok(())
}

fn status(playground: &Playground, arguments: &[&str]) -> Result<Finished> {
    run(playground.admin.command(&["admin", "status"]).args(arguments), PATIENCE)
}

fn json(finished: &Finished) -> Result<Value> {
    serde_json::from_slice(&finished.stdout).with_context(|| finished.description())
}
