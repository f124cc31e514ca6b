//! Several servers on one PostgreSQL database, behind one address.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_api::{
    Bytes,
    algorithm::HashAlgorithm,
    ids::KeyId,
    operations::{SignRequest, SignatureResponse},
};
use sealcard_bridge::{config::Paths, remote::Remote};
use sealcard_tests::{
    Algorithm, Balancer, DatabaseKind, Flavour, Playground, PlaygroundBuilder, Server, ServerBuilder, USER, run,
};
use uuid::Uuid;

use crate::support::{builder, rest::Rest};

const CLIENTS: usize = 16;
const DEADLINE: Duration = Duration::from_secs(30);

/// How many signatures are made. `SEALCARD_TEST_SIGNATURES` says another number.
fn wanted() -> usize {
    std::env::var("SEALCARD_TEST_SIGNATURES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

/// Two servers, and a workstation that is logged in at the balancer.
pub(crate) struct Nodes {
    pub(crate) playground: Playground,
    pub(crate) second: Server,
    pub(crate) balancer: Balancer,
}

fn nodes() -> Result<Nodes> {
    start(&[])
}

/// With environment variables of both servers.
pub(crate) fn start(environment: &[(&str, &str)]) -> Result<Nodes> {
    start_from(builder()?, environment)
}

/// With programs and keys of a builder's choice.
pub(crate) fn start_from(first: PlaygroundBuilder<'_>, environment: &[(&str, &str)]) -> Result<Nodes> {
    let mut first = first.database(DatabaseKind::Postgres).without_login();
    for (name, value) in environment {
        first = first.environment(name, value);
    }
    let playground = first.start()?;
    let cluster = playground.cluster.as_ref().context("no cluster")?;
    let data = playground.scratch.path().join("data-2");
    let mut builder = ServerBuilder::new(&playground.binaries, &playground.scratch, &data)
        .environment("SEALCARD_SERVER_DATABASE__URL", &cluster.server_url());
    for (name, value) in environment {
        builder = builder.environment(name, value);
    }
    builder.join(playground.server.data())?;
    let second = builder.start()?;
    let balancer = Balancer::start(&[playground.server.url(), second.url()])?;
    let station = &playground.workstation;
    let password = station.write("password", &playground.facts.user_password)?;
    let ca = playground.server.ca();
    let ca = ca.to_str().context("a path that is no text")?;
    let url = balancer.url();
    let login = ["login", &url, "--user", USER, "--password-file", &password, "--ca-file", ca, "--setup"];
    station.run_sealcard(&login)?;
    Ok(Nodes { playground, second, balancer })
}

/// One client: signs until `next` is used up. What it was given, and how often it had to ask again.
fn client(paths: &Paths, key: KeyId, next: &AtomicUsize, total: usize) -> Result<(Vec<SignatureResponse>, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let remote = Remote::open(paths)?;
        let (mut given, mut again) = (Vec::new(), 0);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                return Ok((given, again));
            }
            let mut digest = vec![0; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            let request = SignRequest { hash: HashAlgorithm::Sha256, digest: Bytes(digest), context: None };
            let signature = match remote.sign(key, Uuid::new_v4(), &request).await {
                Ok(signature) => signature,
                Err(_) => {
                    again += 1;
                    let second = remote.sign(key, Uuid::new_v4(), &request).await;
                    second.with_context(|| format!("signature {number}, asked for again"))?
                }
            };
            given.push(signature);
        }
    })
}

#[test]
fn each_server_is_killed_once_and_no_signature_fails_is_doubled_or_missing() -> Result<()> {
    let mut nodes = nodes()?;
    let total = wanted();
    let station = &nodes.playground.workstation;
    let paths = Paths::new(station.home().join("config/sealcard"), station.home().join("state/sealcard"))?;
    let key: KeyId = serde_json::from_value(nodes.playground.key(Algorithm::Ed25519)?.id.clone().into())?;
    let next = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (paths, next) = (paths.clone(), Arc::clone(&next));
            thread::spawn(move || client(&paths, key, &next, total))
        })
        .collect();

    // A client that has ended, by a failure, is looked at below.
    let reached = |share: usize| {
        sealcard_tests::wait_until("enough signatures", Duration::from_secs(120), || {
            let enough = next.load(Ordering::Relaxed) >= total * share / 4;
            Ok((enough || clients.iter().any(thread::JoinHandle::is_finished)).then_some(()))
        })
    };
    reached(1)?;
    nodes.playground.server.kill()?;
    reached(2)?;
    nodes.playground.server.start_again(&[])?;
    reached(3)?;
    nodes.second.kill()?;

    let mut requests = HashSet::new();
    let mut again = 0;
    for client in clients {
        let (given, asked_again) = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        again += asked_again;
        for signature in given {
            ensure!(requests.insert(signature.request_id.to_string()), "{} twice", signature.request_id);
        }
    }
    ensure!(requests.len() == total, "{} of {total} signatures", requests.len());
    nodes.second.start_again(&[])?;

    let cluster = nodes.playground.cluster.as_ref().context("no cluster")?;
    let signed = cluster.sql("SELECT request_id FROM record WHERE kind = 'outcome' AND state = 'signed'")?;
    let signed: Vec<&str> = signed.lines().collect();
    let distinct: HashSet<&str> = signed.iter().copied().collect();
    ensure!(distinct.len() == signed.len(), "a request was signed twice");
    let missing = requests.iter().filter(|request| !distinct.contains(request.as_str())).count();
    ensure!(missing == 0, "{missing} signatures are not in the record");
    // Whatever was under way when a server was killed has been settled by another one, or by itself at its start.
    sealcard_tests::wait_until("the settling of what was under way", DEADLINE, || {
        Ok((cluster.sql("SELECT count(*) FROM key_request WHERE state = 'signing'")?.trim() == "0").then_some(()))
    })?;
    eprintln!("{total} signatures, {again} of them asked for twice");
    for url in [nodes.playground.server.url(), nodes.second.url()] {
        verify_record(&nodes, url)?;
    }
    drop(nodes.balancer);
    Ok(())
}

/// What an administrator does at one server counts at the other for the very next use.
#[test]
fn what_is_taken_away_at_one_server_gives_nothing_at_the_other() -> Result<()> {
    let nodes = nodes()?;
    let playground = &nodes.playground;
    let admin = &playground.admin;
    let key = &playground.key(Algorithm::Ed25519)?.id;
    let user = Rest::user(playground)?.at(&nodes.second);
    let sign = || user.sign(key, &[1; 32], &Uuid::new_v4().to_string());
    let mut signatures = 0;
    let mut signs = || -> Result<()> {
        // More than once, so that the server knows the user.
        for _ in 0..3 {
            let answer = sign()?;
            ensure!(answer.status == 200, "{answer:?}");
            signatures += 1;
        }
        Ok(())
    };
    let project = sealcard_tests::PROJECT;
    let changes: [(&[&str], &[&str], &str); 2] = [
        (
            &["project", "remove-member", project, "--user", USER, "--role", "key-user"],
            &["project", "add-member", project, "--user", USER, "--role", "key-user"],
            "not-found",
        ),
        (&["key", "disable", key], &["key", "enable", key], "key-disabled"),
    ];
    signs()?;
    for (take, give_back, code) in changes {
        admin.admin(take)?;
        let answer = sign()?;
        ensure!(answer.code() == code, "{take:?}: {answer:?}");
        admin.admin(give_back)?;
        signs()?;
    }
    let grants = admin.json(&["grant", "list", "--of", USER])?;
    for grant in grants["grants"].as_array().context("no list")? {
        admin.admin(&["grant", "revoke", grant["id"].as_str().context("no id")?])?;
    }
    let answer = sign()?;
    // As it is told to whoever comes after the revocation, though this server had not heard of it.
    let detail = answer.body["detail"].as_str().unwrap_or_default();
    ensure!(answer.code() == "grant-revoked" && detail.starts_with("The grant has been revoked."), "{answer:?}");
    let cluster = playground.cluster.as_ref().context("no cluster")?;
    let intents = cluster.sql("SELECT count(*) FROM record WHERE kind = 'intent'")?;
    ensure!(intents.trim() == signatures.to_string(), "{intents} intents for {signatures} signatures");
    Ok(())
}

/// Each server compares the record with its own signer's journal.
pub(crate) fn verify_record(nodes: &Nodes, url: &str) -> Result<()> {
    let playground = &nodes.playground;
    let station = sealcard_tests::Workstation::new(
        &playground.binaries,
        &playground.scratch,
        &format!("auditor-{}", url.rsplit(':').next().unwrap_or_default()),
        Flavour::Machine,
    )?;
    let password = station.write("password", &playground.facts.admin_password)?;
    let ca = playground.server.ca();
    let ca = ca.to_str().context("a path that is no text")?;
    station.run_sealcard(&["login", url, "--user", "admin", "--password-file", &password, "--ca-file", ca])?;
    let verified = run(&mut station.sealcard(&["admin", "record", "verify"]), DEADLINE)?;
    ensure!(verified.status.success(), "{}", verified.description());
    Ok(())
}
