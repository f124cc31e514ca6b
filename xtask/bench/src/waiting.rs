//! What uses cost that wait for approval: the server's memory, and the rate of others' signatures beside them.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Binaries, PROJECT, Playground, PlaygroundBuilder, USER};
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;
use xtask::output;

use crate::{
    bench::NO_CEILING,
    cases::Contest,
    client::{Client, ask, sign},
    processes::{many_descriptors, resident},
    report::{Report, median},
    throughput::{Load, Processes},
};

/// Uses that wait at once.
const WAITING: usize = 1000;

/// What the server may need more for them, in MiB.
const MEMORY_GOAL: f64 = 64.0;

const MEMORY: &str = "waiting: memory of 1000 uses";
const RATE: &str = "waiting: 128 clients ed25519 beside 1000 uses";

/// Uses of the key of this algorithm wait; that of the other signs.
const WAITS: Algorithm = Algorithm::NistP256;
const SIGNS: Algorithm = Algorithm::Ed25519;

/// One person has all of them, which the defaults forbid.
const LIMITS: [(&str, &str); 4] = [
    NO_CEILING,
    ("SEALCARD_SERVER_APPROVALS__WAITING_PER_PRINCIPAL", "2000"),
    ("SEALCARD_SERVER_APPROVALS__WAITING_PER_PROJECT", "2000"),
    ("SEALCARD_SERVER_APPROVALS__WAIT_SECONDS", "3600"),
];

/// Measures both on a server of its own.
pub(crate) fn measure(binaries: &Binaries, contest: &Contest<'_>, quick: bool, report: &mut Report) -> Result<()> {
    if !(contest.wanted)(MEMORY) && !(contest.wanted)(RATE) {
        return Ok(());
    }
    many_descriptors()?;
    output::step("signing with many clients, in turns beside uses that wait for approval and without");
    let mut builder = PlaygroundBuilder::new(binaries.clone()).algorithms(&[WAITS, SIGNS]).note(output::note);
    for (name, value) in LIMITS {
        builder = builder.environment(name, value);
    }
    let playground = builder.start()?;
    demand_approval(&playground)?;
    let server = &playground.server;
    let client = Client::login(server.url(), &server.ca(), USER, &playground.facts.user_password)?;
    let processes = Processes { server: server.pid(), signers: server.signers()? };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (key, time) = (&playground.key(SIGNS)?.id, Duration::from_secs(if quick { 1 } else { 2 }));
    let load = Load { target: &client, key, clients: 128, time };
    let (mut beside, mut alone, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..if quick { 1 } else { 7 } {
        (contest.check)()?;
        alone.push(load.run(&processes)?.rate);
        let before = resident(server.pid())?;
        let crowd = runtime.block_on(Crowd::gather(&client, &playground.key(WAITS)?.id))?;
        memory.push(resident(server.pid())? - before);
        beside.push(load.run(&processes)?.rate);
        runtime.block_on(crowd.leave(&client))?;
    }
    // The first turn is the one that grows: afterwards the server uses the same memory again.
    report.add(MEMORY, "MiB", memory.into_iter().fold(0.0, f64::max), "goal", MEMORY_GOAL);
    report.add(RATE, "1/s", median(beside)?, "none waits", median(alone)?);
    Ok(())
}

fn demand_approval(playground: &Playground) -> Result<()> {
    let admin = &playground.admin;
    admin.admin(&["group", "add", "approvers"])?;
    admin.add_user("ann", "approver-battery-4711")?;
    admin.admin(&["group", "add-member", "approvers", "ann"])?;
    let file = playground.scratch.path().join("approval.toml");
    fs::write(&file, "[rule.release]\napproval = [{ group = \"approvers\" }]\n").context("the rules")?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    admin.admin(&["policy", "apply", &format!("{PROJECT}/{WAITS}"), file, "--yes"]).map(drop)
}

/// Uses that wait, each with a connection on which its requester waits for the answer.
struct Crowd {
    requests: Vec<String>,
    connections: JoinSet<Result<()>>,
}

impl Crowd {
    async fn gather(client: &Client, key: &str) -> Result<Self> {
        let (mut requests, mut connections) = (Vec::with_capacity(WAITING), JoinSet::new());
        for number in 0..WAITING {
            let mut stream = client.connect().await?;
            let mut buffer = Vec::new();
            let (path, body) = sign(key, number);
            let request = client.request(&path, Some(Uuid::now_v7()), &body);
            let (status, body) = ask(&mut stream, request.as_bytes(), &mut buffer).await?;
            ensure!(status == 202, "{status}: {}", String::from_utf8_lossy(&body));
            let body: Value = serde_json::from_slice(&body)?;
            let id = body.get("request_id").and_then(Value::as_str).context("an answer without a request")?.to_owned();
            let poll = client.bare("GET", &format!("/v1/requests/{id}?wait=25"));
            connections.spawn(async move {
                loop {
                    let (status, body) = ask(&mut stream, poll.as_bytes(), &mut buffer).await?;
                    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                    ensure!(status == 200, "{status}: {body}");
                    if body.get("state").and_then(Value::as_str) != Some("waiting") {
                        return Ok(());
                    }
                }
            });
            requests.push(id);
        }
        Ok(Self { requests, connections })
    }

    /// Gives all of them up; each connection must be told.
    async fn leave(mut self, client: &Client) -> Result<()> {
        let mut stream = client.connect().await?;
        let mut buffer = Vec::new();
        for id in self.requests {
            let cancel = client.bare("DELETE", &format!("/v1/requests/{id}"));
            let (status, body) = ask(&mut stream, cancel.as_bytes(), &mut buffer).await?;
            ensure!(status == 204, "{status}: {}", String::from_utf8_lossy(&body));
        }
        while let Some(connection) = self.connections.join_next().await {
            connection??;
        }
        Ok(())
    }
}
