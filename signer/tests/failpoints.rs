//! What a signer leaves behind that dies between its steps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Signer, using, verify_journal};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::{Growth, LogHead, Operation, RequestBody, ResponseBody};
use uuid::Uuid;

/// The number of journal entries after one key was made and the signer died using it.
fn entries_after_dying_at(failpoint: &str) -> String {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    assert!(signer.stop().success());

    let mut signer = Signer::start_with(folder.path(), |command| {
        command.env("FAILPOINTS", format!("{failpoint}=return"));
    });
    signer.send(using(&key, Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] }));
    assert!(signer.rest().is_empty(), "no answer left");
    assert!(signer.wait_for_log("event=worker-ended").contains("signal SIGABRT"));
    assert!(signer.stop().success());

    let (fine, text) = verify_journal(folder.path());
    assert!(fine, "{text}");
    // And the next signer starts.
    assert!(!Signer::start(folder.path()).status().0);
    text.lines().next().unwrap().to_owned()
}

#[test]
fn before_the_journal_there_is_no_entry() {
    assert_eq!(entries_after_dying_at("signer::before_journal"), "entries: 1");
}

#[test]
fn after_the_journal_the_entry_is_there() {
    assert_eq!(entries_after_dying_at("signer::after_journal"), "entries: 2");
}

#[test]
fn before_the_answer_the_entry_is_there() {
    assert_eq!(entries_after_dying_at("signer::before_answer"), "entries: 2");
}

/// What a signer knows of a checkpoint after it died at this point while it signed it.
fn checkpoint_after_dying_at(failpoint: &str) -> Option<LogHead> {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let component = Uuid::now_v7();
    let origin = "example.org/log".to_owned();
    let make = RequestBody::GenerateCheckpointKey { component, origin, master_key: None, stated: common::stated() };
    let Ok(ResponseBody::CheckpointKey(key)) = signer.ask(make) else { panic!() };
    assert!(signer.stop().success());

    let mut signer = Signer::start_with(folder.path(), |command| {
        command.env("FAILPOINTS", format!("{failpoint}=return"));
    });
    let growth = Growth { head: HEAD, old_size: 0, proof: vec![] };
    let sign = RequestBody::SignCheckpoint { key, growth, stated: common::stated() };
    signer.send(sign.clone());
    assert!(signer.rest().is_empty(), "no answer left");
    assert!(signer.stop().success());

    let mut signer = Signer::start(folder.path());
    let Ok(ResponseBody::CheckpointState { last }) = signer.ask(RequestBody::CheckpointState { component }) else {
        panic!()
    };
    assert!(matches!(signer.ask(sign), Ok(ResponseBody::Checkpoint { .. })), "the same one is signed again");
    last
}

const HEAD: LogHead = LogHead { size: 3, root: [7; 32] };

#[test]
fn checkpoint_is_remembered_from_its_entry_on() {
    assert_eq!(checkpoint_after_dying_at("signer::before_journal"), None);
    assert_eq!(checkpoint_after_dying_at("signer::after_journal"), Some(HEAD));
    assert_eq!(checkpoint_after_dying_at("signer::operation"), Some(HEAD));
    assert_eq!(checkpoint_after_dying_at("signer::before_answer"), Some(HEAD));
}

#[test]
fn an_operation_that_hangs_costs_the_worker_and_nothing_else() {
    let folder = common::folder();
    let mut signer = Signer::start_with(folder.path(), |command| {
        command.env("FAILPOINTS", "signer::operation=sleep(600000)");
    });
    let key = signer.generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    signer.send(using(&key, Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] }));
    assert!(signer.rest().is_empty(), "no answer left");
    let line = signer.wait_for_log("event=worker-ended");
    assert!(line.contains("killed: an operation takes too long"), "{line}");
    signer.next_worker();
    assert!(!signer.status().0);
    assert_eq!(signer.status().1.sequence, 2, "the journal knows of the use");
}
