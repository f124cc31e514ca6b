//! Keeper and worker: what happens when either fails, and who gets to see a secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::{Signer, generate, init, using, verify_journal};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::envelope::{Binding, Purpose, RecipientKey};
use sealcard_signer_protocol::{
    KeeperAnswer, KeeperRefusal, KeeperRequestBody, Operation, ResponseBody, SecretKind, SignerError, StoreState,
    StoredKey,
};
use sealcard_test_pause::Pause;

const PASSPHRASE: &str = "correct horse battery";

fn sign(byte: u8) -> Operation {
    Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![byte; 32] }
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

fn signs(signer: &mut Signer, key: &StoredKey, byte: u8) {
    let answer = signer.operate(key, sign(byte));
    assert!(matches!(answer, Ok(ResponseBody::Signature(_))), "{answer:?}");
}

/// A folder sealed with a passphrase, and what `init` printed.
fn sealed_folder() -> (tempfile::TempDir, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let printed = init(folder.path(), &["--seal", "passphrase", "--passphrase-file", "-"], PASSPHRASE);
    (folder, serde_json::from_str(&printed).unwrap())
}

fn unseal(folder: &Path) {
    let output = common::run(&["unseal", "--folder", folder.to_str().unwrap(), "--passphrase-file", "-"], PASSPHRASE);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_worker_that_is_killed_is_replaced_at_once_and_nobody_enters_a_passphrase_again() {
    let (folder, _) = sealed_folder();
    let mut signer = Signer::start(folder.path());
    unseal(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    signs(&mut signer, &key, 1);
    for round in 0..3_u8 {
        let worker = signer.worker_pid();
        let pause = Pause::of(worker).unwrap();
        let waiting = signer.send(using(&key, sign(2)));
        let start = Instant::now();
        send(worker, Signal::SIGKILL);
        drop(pause);
        assert!(signer.rest().is_empty(), "request {waiting} was in flight and has no answer");
        assert_ne!(signer.next_worker(), worker);
        signs(&mut signer, &key, 3);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        let line = signer.wait_for_log(&format!("event=worker-ended process={worker} "));
        assert!(line.contains("why=\"signal SIGKILL\""), "round {round}: {line}");
    }
    assert!(signer.stop().success());
    let (fine, text) = verify_journal(folder.path());
    assert!(fine && text.starts_with("entries: 5\n"), "{text}");
}

#[test]
fn a_worker_that_does_not_answer_is_killed_and_replaced() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let worker = signer.worker_pid();
    let _pause = Pause::of(worker).unwrap();
    assert_ne!(signer.next_worker(), worker);
    signs(&mut signer, &key, 1);
    let line = signer.wait_for_log("event=worker-ended");
    assert!(line.contains("why=\"killed: it does not answer\""), "{line}");
}

#[test]
fn a_worker_that_the_server_gives_up_is_replaced() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let worker = signer.worker_pid();
    let replace = KeeperRequestBody::ReplaceWorker { process: worker };
    assert_eq!(signer.ask_keeper(replace.clone()), Ok(KeeperAnswer::Replacing));
    let next = signer.next_worker();
    assert_ne!(next, worker);
    // Said too late, it does not hit the next one.
    assert_eq!(signer.ask_keeper(replace), Ok(KeeperAnswer::Replacing));
    assert!(!signer.status().0);
    assert_eq!(signer.worker_pid(), next);
}

#[test]
fn when_the_keeper_is_killed_the_worker_ends_too_and_another_signer_takes_over() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let worker = signer.worker_pid();
    send(signer.pid(), Signal::SIGKILL);
    assert!(signer.rest().is_empty());
    // Both have closed their standard error.
    assert!(!signer.wait_for_end().success());
    let end = Instant::now() + common::DEADLINE;
    loop {
        let state = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        // A zombie waits for whoever takes its parent's place to reap it.
        if state.is_empty() || state.contains(") Z ") {
            break;
        }
        assert!(Instant::now() < end, "{state}");
        std::thread::yield_now();
    }
    let mut next = Signer::start(folder.path());
    signs(&mut next, &key, 1);
    assert_eq!(next.status().1.sequence, 2);
}

#[test]
fn the_journal_goes_on_without_a_gap_while_workers_die_at_work() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    let mut answered = 1;
    for _ in 0..10 {
        let ids: Vec<u64> = (0..200).map(|n| signer.send(using(&key, sign(n)))).collect();
        // Somewhere in the middle.
        assert!(signer.wait(ids[20]).is_ok());
        send(signer.worker_pid(), Signal::SIGKILL);
        answered += 21;
        signer.next_worker();
    }
    let head = signer.status().1;
    assert!(head.sequence >= answered, "{head:?}");
    assert!(signer.stop().success());
    let (fine, text) = verify_journal(folder.path());
    assert!(fine && text.starts_with(&format!("entries: {}\n", head.sequence)), "{text}");
}

#[test]
fn no_secret_is_in_the_arguments_or_the_environment_of_either_process() {
    let (folder, _) = sealed_folder();
    let mut signer = Signer::start_with(folder.path(), |command| {
        command.env("PLANTED", "for nobody");
    });
    unseal(folder.path());
    let worker = signer.worker_pid();
    let of = |pid: u32, name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(of(worker, "environ"), b"");
    let arguments = format!("sealcard-signer\0worker\0--folder\0{}\0", folder.path().display());
    assert_eq!(String::from_utf8(of(worker, "cmdline")).unwrap(), arguments);
    let keeper = [of(signer.pid(), "environ"), of(signer.pid(), "cmdline")].concat();
    assert!(!String::from_utf8(keeper).unwrap().contains(PASSPHRASE));
}

#[test]
fn a_worker_that_nobody_keeps_does_nothing() {
    let folder = common::folder();
    let path = folder.path().to_str().unwrap();
    let by_hand = Command::new(common::BINARY)
        .args(["worker", "--folder", path])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&by_hand.stderr).into_owned();
    assert!(!by_hand.status.success() && text.contains("started by `sealcard-signer serve`"), "{text}");
}

#[test]
fn a_passphrase_comes_through_the_server_in_an_envelope_that_opens_once() {
    let (folder, printed) = sealed_folder();
    let mut signer = Signer::start(folder.path());
    assert!(signer.status().0);
    let asked = signer.ask_keeper(KeeperRequestBody::Status);
    let worker = Some(signer.worker_pid());
    let sealed = KeeperAnswer::Status { state: StoreState::Sealed, secret: SecretKind::Passphrase, worker };
    assert_eq!(asked, Ok(sealed));

    // A wrong one costs time, and its nonce.
    let (nonce, wrong) = envelope(&mut signer, &printed, "wrong horse battery");
    let attempt = KeeperRequestBody::UnsealWith { nonce, envelope: wrong };
    let start = Instant::now();
    let refused = signer.ask_keeper(attempt.clone());
    assert_eq!(refused, Err(KeeperRefusal::StaysSealed("the passphrase is wrong".into())));
    assert!(start.elapsed() >= Duration::from_millis(500));
    assert_eq!(signer.ask_keeper(attempt), Err(KeeperRefusal::Nonce));

    // One nonce does not open another's envelope.
    let (first, _) = envelope(&mut signer, &printed, PASSPHRASE);
    let (_, second) = envelope(&mut signer, &printed, PASSPHRASE);
    let mixed = KeeperRequestBody::UnsealWith { nonce: first, envelope: second };
    assert_eq!(signer.ask_keeper(mixed), Err(KeeperRefusal::Envelope));
    assert!(signer.status().0);

    let (nonce, right) = envelope(&mut signer, &printed, PASSPHRASE);
    let attempt = KeeperRequestBody::UnsealWith { nonce, envelope: right };
    assert_eq!(signer.ask_keeper(attempt.clone()), Ok(KeeperAnswer::Unsealed));
    // Whoever was told so can use keys at once.
    let made = signer.ask(generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign));
    assert!(made.is_ok(), "{made:?}");
    assert_eq!(signer.states.last(), Some(&StoreState::Open));
    assert_eq!(signer.ask_keeper(attempt), Err(KeeperRefusal::Nonce));
    assert_eq!(signer.ask_keeper(KeeperRequestBody::Unseal), Ok(KeeperAnswer::AlreadyOpen));
}

/// A fresh nonce, and a passphrase in an envelope for it. The keeper's key is the one whose fingerprint `init` printed.
fn envelope(signer: &mut Signer, printed: &serde_json::Value, passphrase: &str) -> ([u8; 32], Vec<u8>) {
    let answer = signer.ask_keeper(KeeperRequestBody::Recipient);
    let Ok(KeeperAnswer::Recipient { public_key, nonce }) = answer else { panic!("{answer:?}") };
    let keeper = RecipientKey(public_key);
    assert_eq!(keeper.fingerprint().to_string(), printed["keeper-key"]);
    (nonce, keeper.close(Purpose::Unseal, &Binding::unseal(&keeper, &nonce), passphrase.as_bytes()).unwrap())
}

#[test]
fn a_keeper_opens_no_envelope_of_another_and_none_that_nobody_wants() {
    let (folder, printed) = sealed_folder();
    let (other, _) = sealed_folder();
    let mut signer = Signer::start(folder.path());
    let mut another = Signer::start(other.path());
    let (_, foreign) = envelope(&mut signer, &printed, PASSPHRASE);
    let Ok(KeeperAnswer::Recipient { nonce, .. }) = another.ask_keeper(KeeperRequestBody::Recipient) else { panic!() };
    let attempt = KeeperRequestBody::UnsealWith { nonce, envelope: foreign };
    assert_eq!(another.ask_keeper(attempt), Err(KeeperRefusal::Envelope));

    let unattended = common::folder();
    let mut signer = Signer::start(unattended.path());
    let Ok(KeeperAnswer::Recipient { nonce, .. }) = signer.ask_keeper(KeeperRequestBody::Recipient) else { panic!() };
    let attempt = KeeperRequestBody::UnsealWith { nonce, envelope: vec![1; 100] };
    assert!(matches!(signer.ask_keeper(attempt), Err(KeeperRefusal::NotWanted(_))));
}

#[test]
fn a_key_file_that_comes_back_opens_the_seal_when_the_server_asks() {
    let folder = common::folder();
    let (key, away) = (folder.path().join("master.key"), folder.path().join("away"));
    std::fs::rename(&key, &away).unwrap();
    let mut signer = Signer::start(folder.path());
    assert!(signer.status().0);
    assert!(matches!(signer.ask_keeper(KeeperRequestBody::Unseal), Err(KeeperRefusal::StaysSealed(_))));
    let make = generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    assert_eq!(signer.ask(make), Err(SignerError::Sealed));
    std::fs::rename(&away, &key).unwrap();
    assert_eq!(signer.ask_keeper(KeeperRequestBody::Unseal), Ok(KeeperAnswer::Unsealed));
    assert!(!signer.status().0);
}
