//! Two servers on one database, one of which dies at each step of a signature and of a checkpoint: one log comes of it.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Finished, Playground, Server, run, wait_until};

use crate::{
    nodes::{self, Nodes},
    support::{PATIENCE, builder_with_failpoints, record::expect_no_findings, rest::Rest},
};

const PUBLIC: (&str, &str) = ("SEALCARD_SERVER_RECORD__PUBLIC_HASHES", "true");

/// Where the first server, or its signer, dies.
const STEPS: [&str; 9] = [
    "server::before_intent",
    "server::after_intent",
    "server::after_signer",
    "server::after_outcome",
    "server::before_checkpoint",
    "server::after_checkpoint",
    "signer::before_journal",
    "signer::after_journal",
    "signer::before_answer",
];

/// Requests within which a server must reach the step: the balancer gives it every second one.
const ATTEMPTS: usize = 40;

#[test]
fn two_servers_that_die_at_each_step_keep_one_log() -> Result<()> {
    let mut nodes = nodes::start_from(builder_with_failpoints()?, &[PUBLIC])?;
    nodes.playground.admin.wait_for_environment("default")?;
    let key = nodes.playground.facts.keys.first().context("no key")?.fingerprint.clone();
    let state = nodes.playground.scratch.path().join("log.state");
    let mut released = Vec::new();
    for step in STEPS {
        nodes.playground.server.stop()?;
        nodes.playground.server.start_again(&[PUBLIC, ("FAILPOINTS", &format!("{step}=return"))])?;
        // Whichever is faster makes a checkpoint. This one must be the first's; the second goes on from it.
        let alone = step.ends_with("_checkpoint");
        if alone {
            nodes.second.stop()?;
        }
        let ended = |server: &Server| server.log().matches("signer: the worker has ended").count();
        let ended_before = ended(&nodes.playground.server);
        let mut died = false;
        for attempt in 0..ATTEMPTS {
            let name = format!("{}-{attempt}", step.replace("::", "-"));
            if sign(&nodes.playground, &key, &name)?.status.success() {
                released.push(name);
            }
            let Nodes { playground, .. } = &mut nodes;
            died = if step.starts_with("server::") {
                playground.server.wait(Duration::from_millis(100)).is_ok()
            } else {
                ended(&playground.server) > ended_before && attempt > 3
            };
            if died {
                break;
            }
        }
        ensure!(died, "{step} was not reached in {ATTEMPTS} requests:\n{}", nodes.playground.server.log());
        if alone {
            nodes.second.start_again(&[PUBLIC])?;
            let name = format!("{}-second", step.replace("::", "-"));
            wait_until("a signature by the second server", PATIENCE, || {
                Ok(sign(&nodes.playground, &key, &name)?.status.success().then_some(()))
            })?;
            released.push(name);
        }
        if !step.starts_with("server::") {
            nodes.playground.server.stop()?;
        }
        nodes.playground.server.start_again(&[PUBLIC])?;
        nodes.playground.admin.wait_for_environment("default")?;
        // Nobody has seen another log than this one, whichever server shows it.
        for server in [&nodes.playground.server, &nodes.second] {
            follow(&nodes.playground, server, &state).with_context(|| format!("after {step}"))?;
        }
    }
    ensure!(released.len() >= STEPS.len(), "only {} signatures were released: {released:?}", released.len());
    for name in &released {
        let signature = format!("{}.asc", nodes.playground.workstation.path(name));
        let receipt = run(&mut nodes.playground.workstation.sealcard(&["receipt", &signature]), PATIENCE)?;
        receipt.success().with_context(|| format!("the entry of {name}"))?;
    }
    expect_no_findings(&Rest::admin(&nodes.playground)?)?;
    verify_offline(&nodes)
}

fn sign(playground: &Playground, key: &str, name: &str) -> Result<Finished> {
    let station = &playground.workstation;
    let content = station.write(name, format!("What is signed: {name}\n"))?;
    run(&mut station.sealcard(&["sign", "--key", key, &content]), PATIENCE)
}

/// The log that this server shows continues the one that was seen before, at whichever server.
fn follow(playground: &Playground, server: &Server, state: &Path) -> Result<()> {
    let mut command = Command::new(playground.binaries.audit());
    command.arg("follow").arg(format!("{}/v1/log", server.url())).arg("--once").arg("--state").arg(state).env_clear();
    command.arg("--ca-file").arg(playground.server.ca());
    wait_until("a log that can be followed", PATIENCE, || {
        let followed = run(&mut command, PATIENCE)?;
        ensure!(followed.status.code() != Some(3), "{}", followed.description());
        Ok(followed.status.success().then_some(()))
    })
}

/// The whole log, with the journals of the signers of both servers.
fn verify_offline(nodes: &Nodes) -> Result<()> {
    let playground = &nodes.playground;
    let scratch = playground.scratch.path();
    let mut journals = Vec::new();
    for (server, name) in [(&playground.server, "one.jsonl"), (&nodes.second, "two.jsonl")] {
        let journal = scratch.join(name);
        fs::copy(server.data().join("signer/default/journal.jsonl"), &journal)?;
        journals.push(journal);
    }
    let export = scratch.join("exported");
    wait_until("a log that has all of the journals", PATIENCE, || {
        let mut exported = playground.admin.command(&["admin", "record", "export-log", "--entries"]);
        run(exported.arg(&export), PATIENCE)?.success()?;
        let mut verify = Command::new(playground.binaries.audit());
        verify.arg("verify").arg(&export).env_clear();
        for journal in &journals {
            verify.arg("--journal").arg(journal);
        }
        let said = run(&mut verify, PATIENCE)?;
        Ok((said.status.success() && said.text().contains("All is well")).then_some(()))
    })
}
