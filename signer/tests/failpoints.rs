//! What a signer leaves behind that dies between its steps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Signer, using, verify_journal};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::Operation;

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
