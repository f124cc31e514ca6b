//! Two servers on one database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sealcard_api::{
    Bytes,
    algorithm::HashAlgorithm,
    ids::KeyId,
    operations::{SignRequest, SignatureResponse},
    problem::ProblemCode,
};
use sealcard_bridge::{
    config::Paths,
    remote::{Remote, RemoteError},
};
use sealcard_tests::{Algorithm, Daemon, PROJECT, SignatureKind, USER, Workstation};
use uuid::Uuid;

use super::{ONE, PASSWORD, approve, requests, succeeds, wait_for_one};
use crate::{nodes, rules::apply};

const CLIENTS: usize = 32;
const USES: usize = 20;

#[test]
fn pre_approval_is_spent_exactly_by_many_clients_of_two_nodes() -> Result<()> {
    let nodes = nodes::start(&[("SEALCARD_SERVER_APPROVALS__WAIT_SECONDS", "2")])?;
    let (playground, station) = (&nodes.playground, &nodes.playground.workstation);
    let ann = approver(&nodes)?;
    apply(&playground.admin, ONE)?;
    let uses = USES.to_string();
    let pre = ["preapprove", "playground/ed25519", "--for", USER, "--uses", &uses, "--reason", "load"];
    ann.run_sealcard(&pre)?;
    let key: KeyId = playground.key(Algorithm::Ed25519)?.id.parse()?;
    let signed = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (paths, signed) = (paths(station)?, Arc::clone(&signed));
        clients.push(thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let remote = Remote::open(&paths)?;
                for turn in 0..2_u8 {
                    let digest = [u8::try_from(client)?, turn].repeat(16);
                    let request = SignRequest { hash: HashAlgorithm::Sha256, digest: Bytes(digest), context: None };
                    let answer: Result<SignatureResponse, _> = remote.sign(key, Uuid::now_v7(), &request).await;
                    match answer {
                        Ok(_) => drop(signed.fetch_add(1, Ordering::Relaxed)),
                        Err(RemoteError::Problem(problem)) => ensure!(
                            matches!(
                                problem.code,
                                ProblemCode::TooManyWaiting | ProblemCode::TooManyAttempts | ProblemCode::Overloaded
                            ),
                            "{problem:?}"
                        ),
                        // Nobody approves what waits.
                        Err(_) => {}
                    }
                }
                Ok(())
            })
        }));
    }
    for client in clients {
        client.join().ok().context("a client has panicked")??;
    }
    ensure!(signed.load(Ordering::Relaxed) == USES, "{} of {USES}", signed.load(Ordering::Relaxed));
    playground.admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn approval_at_one_node_lets_gpg_go_on_at_the_other() -> Result<()> {
    let nodes = nodes::start(&[])?;
    let (playground, station) = (&nodes.playground, &nodes.playground.workstation);
    let ann = approver(&nodes)?;
    apply(&playground.admin, ONE)?;
    let fingerprint = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let file = station.write("text", "What is signed\n")?;
    let mut took = Vec::new();
    for number in 0..5 {
        let output = station.path(&format!("text-{number}.sig"));
        let arguments = ["--batch", "--yes", "-u", fingerprint, "-o", &output, "--detach-sign", &file];
        let log = playground.scratch.path().join("waiting.log");
        let mut waiting = Daemon::spawn(&station.command("gpg", &arguments), &log)?;
        let id = wait_for_one(&ann)?;
        approve(&ann, &id)?;
        let approved = Instant::now();
        succeeds(&mut waiting)?;
        took.push(approved.elapsed());
    }
    took.sort_unstable();
    // The end of a long poll would be much later. Less is not asserted: machines differ.
    ensure!(took.get(2).is_some_and(|median| *median < Duration::from_secs(15)), "{took:?}");
    ensure!(requests(&ann, &[])?.is_empty());
    Ok(())
}

#[test]
fn killed_node_leaves_its_waiting_gpg_to_the_other() -> Result<()> {
    let mut nodes = nodes::start(&[])?;
    let ann = approver(&nodes)?;
    apply(&nodes.playground.admin, ONE)?;
    let key = nodes.playground.key(Algorithm::Ed25519)?.clone();
    let file = nodes.playground.workstation.write("text", "What is signed\n")?;
    let log = nodes.playground.scratch.path().join("waiting.log");
    // The balancer gives the connections to both in turn: of several gpg, some ask at the node that dies.
    let mut waiting = Vec::new();
    for number in 0..4 {
        let station = &nodes.playground.workstation;
        let output = station.path(&format!("text-{number}.sig"));
        let arguments = ["--batch", "--yes", "-u", &key.fingerprint, "-o", &output, "--detach-sign", &file];
        waiting.push(Daemon::spawn(&station.command("gpg", &arguments), &log)?);
    }
    let ids = super::wait_for(&ann, 4)?;
    nodes.playground.server.kill()?;
    for id in &ids {
        approve(&ann, id)?;
    }
    waiting.iter_mut().try_for_each(succeeds)?;
    for number in 0..4 {
        let station = &nodes.playground.workstation;
        let signature = station.path(&format!("text-{number}.sig"));
        station.verify(SignatureKind::Detached, &key.fingerprint, &signature, &file)?;
    }
    ensure!(requests(&ann, &[])?.is_empty(), "something waits still");
    nodes.playground.server.start_again(&[])?;
    for url in [nodes.playground.server.url(), nodes.second.url()] {
        nodes::verify_record(&nodes, url)?;
    }
    Ok(())
}

/// Somebody of the group approvers, logged in at the second node alone.
fn approver(nodes: &nodes::Nodes) -> Result<Workstation> {
    let playground = &nodes.playground;
    playground.admin.admin(&["group", "add", "approvers"])?;
    playground.admin.add_user("ann", PASSWORD)?;
    playground.admin.admin(&["group", "add-member", "approvers", "ann"])?;
    playground.admin.admin(&["project", "add-member", PROJECT, "--group", "approvers", "--role", "approver"])?;
    let flavour = sealcard_tests::Flavour::Machine;
    let station = Workstation::new(&playground.binaries, &playground.scratch, "ann", flavour)?;
    station.login_as(&nodes.second, "ann", PASSWORD, &["--no-sync"])?;
    Ok(station)
}

fn paths(station: &Workstation) -> Result<Paths> {
    Ok(Paths::new(station.home().join("config/sealcard"), station.home().join("state/sealcard"))?)
}
