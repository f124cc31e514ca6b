//! What the server says of its record beside its signers' journals, when somebody has tampered with either.

use std::{
    fs,
    io::{BufReader, Read as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use sealcard_api::algorithm::{ComponentRole, HashAlgorithm};
use sealcard_record::{Body, Event};
use sealcard_signer_protocol::{
    self as protocol, KeeperMessage, Operation, Request, RequestBody, Response, ResponseBody, Stated, StoreState,
    StoredKey, channel::Incoming,
};
use sealcard_tests::{
    Algorithm, Daemon, DatabaseKind, ENVIRONMENT, Finished, Playground, StoreKind, USER, run, wait_until,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    secrets::keys::stored_keys,
    support::{
        PATIENCE, builder, database,
        record::{expect_no_findings, read_record},
        rest::Rest,
    },
};

#[test]
fn a_use_of_a_sealed_key_behind_the_records_back_is_named() -> Result<()> {
    behind_the_records_back(StoreKind::Sealed, "default")
}

#[test]
fn a_use_of_a_tokens_key_behind_the_records_back_is_named() -> Result<()> {
    behind_the_records_back(StoreKind::SoftHsm, ENVIRONMENT)
}

#[test]
fn what_was_removed_from_the_record_of_a_sealed_key_is_named() -> Result<()> {
    removed_from_the_record(StoreKind::Sealed)
}

#[test]
fn what_was_removed_from_the_record_of_a_tokens_key_is_named() -> Result<()> {
    removed_from_the_record(StoreKind::SoftHsm)
}

#[test]
fn another_use_under_the_id_of_a_recorded_one_is_named() -> Result<()> {
    let mut playground = signed_once(StoreKind::Sealed)?;
    let request = last_use(&playground)?;
    playground.server.stop()?;
    let component = request.1;
    let keys = stored_keys(&playground, "default")?;
    let key = keys.into_iter().find(|key| key.component == component).context("no such key")?;
    sign_past_the_server(&playground, &playground.server.data().join("signer/default"), &key, request.0)?;
    playground.server.start_again(&[])?;
    playground.admin.wait_for_environment("default")?;
    let findings = findings(&playground)?;
    for words in ["it was used before", "over something else"] {
        let named = findings.iter().any(|one| one.contains(words) && one.contains(&request.0.to_string()));
        ensure!(named, "no {words:?} in {findings:#?}");
    }
    Ok(())
}

#[test]
fn the_record_is_shown_from_its_newest_entries_or_from_a_number_and_for_one_key() -> Result<()> {
    let playground = signed_once(StoreKind::Sealed)?;
    let whole: Vec<u64> = read_record(&Rest::admin(&playground)?)?.iter().map(|entry| entry.sequence).collect();
    let list = |arguments: &[&str]| -> Result<Vec<Value>> {
        let lines = playground.admin.admin(&[["record"].as_slice(), arguments, &["--json"]].concat())?.text();
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    };
    let numbers = |entries: &[Value]| -> Vec<u64> {
        entries.iter().filter_map(|entry| entry["entry"]["sequence"].as_u64()).collect()
    };
    ensure!(numbers(&list(&["export"])?) == whole, "not the whole record");
    ensure!(numbers(&list(&["export", "--after", "2"])?) == whole[2..], "not those after the second");
    // The intent of the signature is told by its outcome.
    let listed = numbers(&list(&["list"])?);
    ensure!(listed.len() == whole.len() - 1 && listed.last() == whole.last(), "{listed:?} of {whole:?}");
    ensure!(numbers(&list(&["list", "--limit", "3"])?) == listed[listed.len() - 3..], "not the newest three");
    let rest = Rest::admin(&playground)?;
    let newest = rest.get("/v1/record?order=newest&limit=2")?;
    let next = newest["next"].as_str().context("no next page")?;
    let before = rest.get(&format!("/v1/record?order=newest&limit=2&after={next}"))?;
    let pages = [newest, before].map(|page| numbers(page["items"].as_array().map_or(&[], Vec::as_slice))).concat();
    ensure!(pages.iter().rev().eq(&whole[whole.len() - 4..]), "{pages:?}");
    let name = playground.key(Algorithm::NistP256)?.fingerprint.clone();
    let keys = playground.admin.json(&["key", "list"])?;
    let key = keys["keys"].as_array().and_then(|keys| keys.iter().find(|key| key["fingerprint"] == name.as_str()));
    let key = key.context("no such key")?;
    let of_key = list(&["list", "--key", key["name"].as_str().context("no name")?, "--limit", "2"])?;
    ensure!(of_key.len() == 2 && of_key.iter().all(|line| line["entry"]["key"]["id"] == key["id"]), "{of_key:#?}");
    ensure!(of_key.iter().any(|line| line["entry"]["event"] == "use-outcome"), "{of_key:#?}");
    Ok(())
}

#[test]
fn followed_record_shows_a_signature_once_it_is_made() -> Result<()> {
    let playground = signed_once(StoreKind::Sealed)?;
    let scratch = tempfile::tempdir()?;
    let command = playground.admin.command(&["admin", "record", "list", "--follow", "--json"]);
    let mut follower = Daemon::spawn(&command, &scratch.path().join("lines"))?;
    let uses = |text: String| text.lines().filter(|line| line.contains("\"use-outcome\"")).count();
    wait_until("the signature made before", PATIENCE, || Ok((uses(follower.log()) == 1).then_some(())))?;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    wait_until("the signature made meanwhile", PATIENCE, || Ok((uses(follower.log()) == 2).then_some(())))?;
    let log = follower.log();
    let numbers: Vec<u64> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["entry"]["sequence"].as_u64())
        .collect();
    ensure!(numbers.is_sorted_by(|a, b| a < b), "an entry is repeated or out of order: {numbers:?}");
    ensure!(follower.ended()?.is_none(), "it ended by itself: {log}");
    follower.signal(Signal::SIGINT)?;
    follower.wait(PATIENCE)?;
    Ok(())
}

#[test]
fn signature_that_gpg_made_is_found_in_the_record() -> Result<()> {
    let playground = builder()?.database(DatabaseKind::Sqlite).start()?;
    let station = &playground.workstation;
    let file = station.write("release.tar", "content")?;
    for algorithm in [Algorithm::Ed25519, Algorithm::NistP256, Algorithm::Rsa2048] {
        let key = playground.key(algorithm)?;
        let signature = station.path(&format!("{}.sig", algorithm.name()));
        station.gpg(&["-u", &key.fingerprint, "-o", &signature, "--detach-sign", &file])?;
        let find =
            |file: &str| run(&mut playground.admin.command(&["admin", "record", "find", "--json", file]), PATIENCE);
        let found: Value = serde_json::from_slice(&find(&signature)?.success()?.stdout)?;
        let entry = &found["entry"];
        ensure!(entry["event"] == "use-outcome" && entry["state"] == "signed", "{found:#}");
        ensure!(entry["actor"]["name"] == USER && entry["peer"] == "127.0.0.1", "{found:#}");
        // The same signature with another last byte is nobody's.
        let mut bytes = fs::read(&signature)?;
        *bytes.last_mut().context("an empty signature")? ^= 1;
        let other = station.write("other.sig", bytes)?;
        let said = find(&other)?.failure()?.text();
        ensure!(!said.contains("use-outcome"), "{said}");
    }
    let list = playground.admin.admin(&["record", "list", "--user", USER, "--kind", "use", "--since", "1h"])?.text();
    ensure!(list.lines().count() == 4 && list.lines().skip(1).all(|line| line.contains(" ok")), "{list}");
    ensure!(list.contains(USER) && list.contains("127.0.0.1") && list.contains("sign sha"), "{list}");
    let sequence = list.lines().last().and_then(|line| line.split_whitespace().next()).context("no entry")?;
    let shown = playground.admin.admin(&["record", "show", sequence])?.text();
    ensure!(shown.contains("signature sha256") && shown.contains("use-outcome"), "{shown}");
    Ok(())
}

#[test]
fn exported_record_and_journal_are_verified_offline() -> Result<()> {
    let mut playground = signed_once(StoreKind::Sealed)?;
    let record = playground.scratch.path().join("record.jsonl");
    let text = record.to_str().context("a path that is not Unicode")?;
    playground.admin.admin(&["record", "export", text])?;
    playground.server.stop()?;
    let journal = playground.server.data().join("signer/default/journal.jsonl");
    let verify = |record: &Path| -> Result<Finished> {
        let mut sealcard = playground.admin.command(&["admin", "record", "verify", "--offline"]);
        run(sealcard.arg(record).arg("--journal").arg(&journal), PATIENCE)
    };
    let said = verify(&record)?.success()?.text();
    ensure!(said.contains("All is well"), "{said}");
    // The last two entries are the intent and the outcome of the signature.
    let whole = fs::read_to_string(&record)?;
    let lines: Vec<&str> = whole.lines().collect();
    let cut = record.with_extension("cut");
    fs::write(&cut, lines[..lines.len() - 2].join("\n"))?;
    let said = verify(&cut)?.failure()?.text();
    ensure!(said.contains("is not in the record"), "{said}");
    Ok(())
}

/// Somebody who has become root while the server was stopped signs with its signer.
fn behind_the_records_back(store: StoreKind, environment: &str) -> Result<()> {
    let mut playground = signed_once(store)?;
    playground.server.stop()?;
    let keys = stored_keys(&playground, environment)?;
    let key = keys.into_iter().find(|key| key.role == ComponentRole::Sign).context("no key that signs")?;
    let request = Uuid::now_v7();
    sign_past_the_server(&playground, &playground.server.data().join("signer").join(environment), &key, request)?;
    playground.server.start_again(&[])?;
    playground.admin.wait_for_environment(environment)?;
    let findings = findings(&playground)?;
    let [finding] = findings.as_slice() else { bail!("{findings:#?}") };
    for words in [&request.to_string(), &key.component.to_string(), "sign", "is not in the record"] {
        ensure!(finding.contains(words), "no {words:?} in {finding:?}");
    }
    Ok(())
}

/// Somebody cuts the last signature off the record and leaves no gap in it.
fn removed_from_the_record(store: StoreKind) -> Result<()> {
    let mut playground = signed_once(store)?;
    let request = last_use(&playground)?.0.to_string();
    playground.server.stop()?;
    let cut = "DROP TRIGGER record_is_never_shortened; DELETE FROM record WHERE sequence >=
        (SELECT max(sequence) FROM record WHERE kind = 'intent')";
    database::execute(&playground, cut)?;
    // Otherwise the server stops: the signer has signed a checkpoint with what is gone.
    run(&mut playground.server.command(&["new-log"]), PATIENCE)?.success()?;
    playground.server.start_again(&[])?;
    let environment = if store == StoreKind::Sealed { "default" } else { ENVIRONMENT };
    playground.admin.wait_for_environment(environment)?;
    let findings = findings(&playground)?;
    let named = findings.iter().any(|one| one.contains(&request) && one.contains("is not in the record"));
    ensure!(named, "request {request} is not among {findings:#?}");
    Ok(())
}

/// The last request that used a key, and the component that it used.
fn last_use(playground: &Playground) -> Result<(Uuid, Uuid)> {
    let record = read_record(&Rest::admin(playground)?)?;
    let outcome = |entry: &Body| match &entry.event {
        Event::UseOutcome(outcome) => Some((entry.request_id.0, outcome.component.0)),
        _ => None,
    };
    record.iter().rev().find_map(outcome).context("no outcome in the record")
}

/// With a record that is whole.
fn signed_once(store: StoreKind) -> Result<Playground> {
    let playground = builder()?.database(DatabaseKind::Sqlite).store(store).start()?;
    playground.workstation.try_sign(&playground.key(Algorithm::NistP256)?.fingerprint)?.success()?;
    expect_no_findings(&Rest::admin(&playground)?)?;
    Ok(playground)
}

/// What `sealcard admin record verify` says, which must not be that all is well.
fn findings(playground: &Playground) -> Result<Vec<String>> {
    let answer = run(&mut playground.admin.command(&["admin", "record", "verify", "--json"]), PATIENCE)?.failure()?;
    let answer: Value = serde_json::from_slice(&answer.stdout)?;
    Ok(serde_json::from_value(answer["findings"].clone())?)
}

/// Starts a signer as the server does, and has it sign.
fn sign_past_the_server(playground: &Playground, folder: &Path, key: &StoredKey, request: Uuid) -> Result<()> {
    let (link, theirs) = UnixStream::pair()?;
    link.set_read_timeout(Some(PATIENCE))?;
    let mut command = Command::new(playground.binaries.signer());
    command.args(["serve", "--socket-fd", "0", "--folder"]).arg(folder).env_clear();
    let mut signer = command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(Stdio::null()).spawn()?;
    let signed = brought_worker(&link).and_then(|worker| {
        let mut worker = BufReader::new(worker);
        if let ResponseBody::Status { state: StoreState::Locked, .. } = ask(&mut worker, RequestBody::Status)? {
            ask(&mut worker, RequestBody::Unlock)?;
        }
        let operation = Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![7; 32] };
        ask(&mut worker, RequestBody::Use { key: key.clone(), operation, stated: Stated::by_server(request) })
    });
    // It ends when its server does.
    drop(link);
    signer.wait()?;
    ensure!(matches!(signed?, ResponseBody::Signature(_)), "the signer gave no signature");
    Ok(())
}

fn brought_worker(link: &UnixStream) -> Result<UnixStream> {
    let mut incoming = Incoming::default();
    loop {
        if let KeeperMessage::Worker { .. } = incoming.wait(link)?.context("the keeper has ended")? {
            let worker = UnixStream::from(incoming.descriptor().context("a worker without a socket")?);
            worker.set_read_timeout(Some(PATIENCE))?;
            return Ok(worker);
        }
    }
}

fn ask(worker: &mut BufReader<UnixStream>, body: RequestBody) -> Result<ResponseBody> {
    worker.get_mut().write_all(&protocol::encode(&Request { id: 1, body })?)?;
    let mut length = [0; 4];
    worker.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    worker.read_exact(&mut answer)?;
    Ok(protocol::decode::<Response>(&answer)?.result?)
}
