//! A quota of so many uses gives exactly so many signatures, however many ask at once.

use std::{collections::HashSet, fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_api::{
    Bytes, algorithm::HashAlgorithm, ids::KeyId, operations::SignRequest, problem::ProblemCode, record::RequestState,
};
use sealcard_bridge::{config::Paths, remote::Remote};
use sealcard_tests::{Algorithm, DatabaseKind, run};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{MANY_DENIALS, apply, expect_reason, many_denials, remove};
use crate::{
    nodes,
    support::{
        expect_no_prompt,
        record::{expect_no_findings, read_record, uses_in_state},
        rest::Rest,
    },
};

#[test]
fn thirty_two_gpg_at_once_get_what_a_quota_allows_on_sqlite() -> Result<()> {
    parallel_gpg(DatabaseKind::Sqlite)
}

#[test]
fn thirty_two_gpg_at_once_get_what_a_quota_allows_on_postgres() -> Result<()> {
    parallel_gpg(DatabaseKind::Postgres)
}

/// Two quotas: the smaller one decides, and what it refuses costs nothing of the larger one.
fn parallel_gpg(database: DatabaseKind) -> Result<()> {
    const ALLOWED: usize = 41;
    const ASKED: usize = 96;
    let playground = many_denials()?.database(database).start()?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let rules = |uses| {
        format!(
            "[rule.some]\nquota = [{{ per = \"user\", uses = {uses}, window = \"52w\" }}, \
             {{ per = \"key\", uses = {}, window = \"364d\" }}]\n",
            ALLOWED + 1
        )
    };
    apply(&playground.admin, &rules(ALLOWED))?;
    station.write("text", "What is signed\n")?;
    let sign = format!(
        "mkdir out; seq {ASKED} | xargs -P 32 -I @ sh -c \
         'gpg --batch -q -u {key} -o out/@.sig --detach-sign text 2>out/@.err || test -s out/@.err'"
    );
    run(&mut station.command("sh", &["-c", &sign]), Duration::from_secs(120))?.success()?;
    let mut made = 0;
    for number in 1..=ASKED {
        let signature = station.path(&format!("out/{number}.sig"));
        if fs::metadata(&signature).is_ok_and(|meta| meta.len() > 0) {
            station.gpg(&["--verify", &signature, &station.path("text")])?;
            made += 1;
        } else {
            let said = fs::read_to_string(station.path(&format!("out/{number}.err")))?;
            ensure!(said.contains("Forbidden"), "{said}");
        }
    }
    ensure!(made == ALLOWED, "{made} signatures of {ALLOWED} that the quota allows");
    let denied = station.try_sign(key)?.failure()?;
    expect_reason(station, &denied, &["rule some", &format!("{ALLOWED} uses per user"), "nothing is left until"])?;

    // The other quota has one left, and another one with more uses counts what was used before.
    apply(&playground.admin, &rules(ALLOWED + 10))?;
    station.try_sign(key)?.success()?;
    let denied = station.try_sign(key)?.failure()?;
    expect_reason(station, &denied, &[&format!("{} uses per key", ALLOWED + 1)])?;
    let admin = Rest::admin(&playground)?;
    let signed = uses_in_state(&read_record(&admin)?, RequestState::Signed);
    ensure!(signed == ALLOWED + 1, "{signed} are recorded");
    expect_no_findings(&admin)?;
    remove(&playground.admin)?;
    station.try_sign(key)?.success()?;
    expect_no_prompt(&playground)
}

const CLIENTS: usize = 128;

#[test]
fn clients_of_two_servers_get_what_a_quota_allows() -> Result<()> {
    const ALLOWED: usize = 201;
    const EACH: usize = 4;
    let nodes = nodes::start(&MANY_DENIALS)?;
    let playground = &nodes.playground;
    let station = &playground.workstation;
    apply(
        &playground.admin,
        &format!("[rule.some]\nquota = [{{ per = \"project\", uses = {ALLOWED}, window = \"52w\" }}]\n"),
    )?;
    let paths = Paths::new(station.home().join("config/sealcard"), station.home().join("state/sealcard"))?;
    let key: KeyId = serde_json::from_value(playground.key(Algorithm::Ed25519)?.id.clone().into())?;
    let halves: Vec<_> = (0..2)
        .map(|_| {
            let paths = paths.clone();
            thread::spawn(move || clients(&paths, key, CLIENTS / 2, EACH))
        })
        .collect();
    let mut requests = HashSet::new();
    let mut denied = 0;
    for half in halves {
        for answer in half.join().map_err(|_| anyhow::anyhow!("a client panicked"))?? {
            match answer {
                Ok(request) => ensure!(requests.insert(request.clone()), "{request} twice"),
                Err(reason) => {
                    ensure!(reason.contains("rule some") && reason.contains("nothing is left until"), "{reason}");
                    denied += 1;
                }
            }
        }
    }
    ensure!(requests.len() == ALLOWED, "{} signatures of {ALLOWED} that the quota allows", requests.len());
    ensure!(denied == CLIENTS * EACH - ALLOWED, "{denied} were denied");
    let cluster = playground.cluster.as_ref().context("no cluster")?;
    let signed = cluster.sql("SELECT count(*) FROM record WHERE kind = 'outcome' AND state = 'signed'")?;
    ensure!(signed.trim() == ALLOWED.to_string(), "{signed} are recorded");
    let busy = cluster.sql("SELECT count(DISTINCT node_id) FROM key_request WHERE state = 'signed'")?;
    ensure!(busy.trim() == "2", "{busy} servers signed");
    for server in [&playground.server, &nodes.second] {
        let answer =
            Rest::user(playground)?.at(server).sign(&key.to_string(), &[1; 32], &Uuid::new_v4().to_string())?;
        ensure!(answer.status == 403, "{answer:?}");
    }
    Ok(())
}

/// So many clients, each with a connection of its own: what each was given, or why it was denied.
fn clients(paths: &Paths, key: KeyId, count: usize, each: usize) -> Result<Vec<Result<String, String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..count {
            let remote = Remote::open(paths)?;
            clients.spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..each {
                    let digest = Bytes(vec![u8::try_from(number)?; 32]);
                    let request = SignRequest { hash: HashAlgorithm::Sha256, digest, context: None };
                    answers.push(match remote.sign(key, Uuid::new_v4(), &request).await {
                        Ok(signature) => Ok(signature.request_id.to_string()),
                        Err(error) if error.code() == Some(ProblemCode::Forbidden) => Err(error.to_string()),
                        Err(error) => return Err(error.into()),
                    });
                }
                anyhow::Ok(answers)
            });
        }
        let mut answers = Vec::new();
        while let Some(client) = clients.join_next().await {
            answers.extend(client??);
        }
        Ok(answers)
    })
}
