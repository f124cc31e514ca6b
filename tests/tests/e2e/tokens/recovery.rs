//! Sixteen clients sign while something dies.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use sealcard_api::{Bytes, algorithm::HashAlgorithm, ids::KeyId, operations::SignRequest, record::RequestState};
use sealcard_bridge::{config::Paths, remote::Remote};
use sealcard_record::Body;
use sealcard_tests::{Algorithm, ENVIRONMENT, KeyFacts, P11Kit, Playground, StoreKind, Token, wait_until};
use uuid::Uuid;

use super::{kill_now, process, unseal};
use crate::support::{
    PATIENCE, builder,
    record::{expect_no_findings, read_record},
    rest::Rest,
};

const CLIENTS: usize = 16;

/// The promise.
const RECOVERY: Duration = Duration::from_secs(2);

/// A keeper that finds its PIN by itself verifies its journal before it starts a worker.
const KEEPERS_RECOVERY: Duration = Duration::from_secs(5);

/// How many signatures there must be before something dies, and after it.
const ENOUGH: usize = 150;

#[test]
fn a_killed_worker_is_replaced_within_two_seconds_under_load() -> Result<()> {
    let playground = playground(|token| Ok(token.config()))?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    under_load(&playground, RECOVERY, || kill(&playground, "worker"))
}

#[test]
fn a_killed_keeper_with_a_pin_file_comes_back_by_itself_under_load() -> Result<()> {
    let playground = playground(|token| Ok(token.config()))?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    under_load(&playground, KEEPERS_RECOVERY, || kill(&playground, "serve"))
}

#[test]
fn a_killed_keeper_with_a_typed_pin_signs_within_two_seconds_of_unseal_under_load() -> Result<()> {
    let playground = playground(|token| Ok(token.config_with("\"person\"", "")))?;
    unseal(&playground, Some(Token::PIN))?.success()?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    under_load(&playground, RECOVERY, || {
        kill(&playground, "serve")?;
        wait_until("a keeper that asks for the PIN", PATIENCE, || {
            Ok((playground.admin.environment(ENVIRONMENT)?.0 == "sealed").then_some(()))
        })?;
        let began = Instant::now();
        unseal(&playground, Some(Token::PIN))?.success()?;
        Ok(began)
    })
}

#[test]
fn a_killed_daemon_of_the_module_is_recovered_from_within_two_seconds_under_load() -> Result<()> {
    let mut daemon = None;
    let playground = playground(|token| {
        let folder = token.folder.join("p11-kit");
        let (started, remote) = P11Kit::serve(token, &folder)?;
        daemon = Some(started);
        *token = remote;
        Ok(token.config())
    })?;
    let mut daemon = daemon.context("no daemon")?;
    playground.admin.wait_for_environment(ENVIRONMENT)?;
    under_load(&playground, RECOVERY, || {
        let died = Instant::now();
        daemon.kill()?;
        daemon.start_again()?;
        Ok(died)
    })
}

/// Kills the process of the token's signer that was started with this verb, and tells when.
fn kill(playground: &Playground, verb: &str) -> Result<Instant> {
    let folder = playground.server.data().join("signer").join(ENVIRONMENT);
    let process = process(&folder, verb)?.with_context(|| format!("there is no process for {verb}"))?;
    let died = Instant::now();
    kill_now(process)?;
    Ok(died)
}

/// A playground with keys on a token and one more in the sealed store.
fn playground<'a>(prepare: impl FnOnce(&mut Token) -> Result<String> + 'a) -> Result<Playground> {
    builder()?.store(StoreKind::SoftHsm).prepare_token(prepare).start()
}

/// One signature that a client was given, or one that it was not.
struct Attempt {
    request: Option<String>,
    began: Instant,
    ended: Instant,
}

/// Lets clients sign with the token's key, and one with a key of another environment. `kill`s in the middle of it,
/// which tells from when on recovery counts; it must be over `within` that time.
fn under_load(playground: &Playground, within: Duration, mut kill: impl FnMut() -> Result<Instant>) -> Result<()> {
    let other = playground.admin.create_key_in("default", Algorithm::Ed25519, "sealed")?;
    let admin = Rest::admin(playground)?;
    let station = &playground.workstation;
    let paths = Paths::new(station.home().join("config/sealcard"), station.home().join("state/sealcard"))?;
    let (attempts, others, stop) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()), AtomicBool::new(false));
    let died = thread::scope(|scope| -> Result<Instant> {
        // Whatever happens below, the clients end.
        let _stop = Stop(&stop);
        for _ in 0..CLIENTS {
            scope.spawn(|| client(&paths, playground.key(Algorithm::NistP256), &stop, &attempts));
        }
        scope.spawn(|| client(&paths, Ok(&other), &stop, &others));
        let given = || count(&attempts, |attempt| attempt.request.is_some());
        wait_until("enough signatures", PATIENCE, || Ok((given() >= ENOUGH).then_some(())))?;
        let died = kill()?;
        let after = || count(&attempts, |attempt| attempt.request.is_some() && attempt.began > died);
        wait_until("enough signatures after it", PATIENCE, || Ok((after() >= ENOUGH).then_some(())))?;
        Ok(died)
    })?;
    let (attempts, others) = (attempts.into_inner(), others.into_inner());

    let first = attempts.iter().filter(|attempt| attempt.request.is_some() && attempt.began > died);
    let first = first.map(|attempt| attempt.ended).min().context("nothing was signed afterwards")?;
    let failed = attempts.iter().filter(|attempt| attempt.request.is_none()).count();
    eprintln!("signing again {:?} after it died; {failed} of {} attempts failed", first - died, attempts.len());
    ensure!(first - died < within, "signing again only {:?} after it died", first - died);
    ensure!(others.iter().all(|attempt| attempt.request.is_some()), "the other environment failed");
    let slowest = others.iter().map(|attempt| attempt.ended - attempt.began).max().context("nothing elsewhere")?;
    ensure!(slowest < RECOVERY, "the other environment took {slowest:?}");

    expect_each_recorded_once(&read_record(&admin)?, attempts.iter().chain(&others))?;
    expect_no_findings(&admin)
}

/// Ends the clients when dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn count(attempts: &Mutex<Vec<Attempt>>, wanted: impl Fn(&Attempt) -> bool) -> usize {
    attempts.lock().iter().filter(|attempt| wanted(attempt)).count()
}

/// Signs until it is told to stop. What fails is not tried again.
fn client(paths: &Paths, key: Result<&KeyFacts>, stop: &AtomicBool, attempts: &Mutex<Vec<Attempt>>) {
    let key: KeyId = serde_json::from_value(key.unwrap().id.clone().into()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let remote = Remote::open(paths).unwrap();
        while !stop.load(Ordering::SeqCst) {
            let began = Instant::now();
            let digest = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
            let request = SignRequest { hash: HashAlgorithm::Sha256, digest: Bytes(digest), context: None };
            let answer = remote.sign(key, Uuid::new_v4(), &request).await;
            let failed = answer.is_err();
            let request = answer.ok().map(|answer| answer.request_id.to_string());
            attempts.lock().push(Attempt { request, began, ended: Instant::now() });
            if failed {
                // As a person would: not at once.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
}

/// Every signature that was given is in the record as signed, once, and nothing is left open.
fn expect_each_recorded_once<'a>(record: &[Body], attempts: impl Iterator<Item = &'a Attempt>) -> Result<()> {
    let mut given = HashSet::new();
    for request in attempts.filter_map(|attempt| attempt.request.as_ref()) {
        ensure!(given.insert(request.clone()), "{request} was given twice");
    }
    let signed = record.iter().filter(|entry| entry.event.state() == Some(RequestState::Signed));
    let signed: Vec<String> = signed.map(|entry| entry.request_id.to_string()).collect();
    let distinct: HashSet<&String> = signed.iter().collect();
    ensure!(distinct.len() == signed.len(), "a request was signed twice");
    let lost = given.iter().filter(|request| !distinct.contains(request)).count();
    ensure!(lost == 0, "{lost} signatures are not in the record");
    Ok(())
}
