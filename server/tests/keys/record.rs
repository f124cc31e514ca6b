//! The record: append-only, and every change of it is found.

use sealcard_api::{
    algorithm::{ComponentRole, HashAlgorithm, KeyAlgorithm},
    context::{Process, UseContext},
    record::RecordKind,
};
use sealcard_record::Event;
use sealcard_server::{requests::UseRequest, signers::UseError};
use sealcard_signer_protocol::{Certification, GrowthError, JournalEntry, RequestBody, SignerError, Stated};
use sealcard_transparency::{Frontier, Hash};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Place, UseKey as _, details, request, sign};

const UNPROTECTED: &str = "DROP TRIGGER record_is_never_changed; DROP TRIGGER record_is_never_shortened;";

/// Entries of making a key: begun, six certifications, created.
const MADE: u64 = 8;

/// A place with a few signatures, and a sound record.
async fn used() -> Place {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    for n in 0..3 {
        place.sign(key, &[n; 32]).await;
    }
    let verified = place.verify().await;
    assert_eq!(verified.findings, Vec::<String>::new());
    assert_eq!(verified.entries, MADE + 3 * 2);
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn outcome_and_journal_name_each_other() {
    let place = used().await;
    let signer = place.requests.signers.get(place.environment).unwrap();
    let (head, entries) = signer.journal(1).await.unwrap();
    let entry = entries.last().unwrap();
    let last = place.record().await.pop().unwrap();
    let Event::UseOutcome(outcome) = sealcard_record::parse(&last.body).unwrap().event else { panic!("{last:?}") };
    assert_eq!((outcome.journal, entry.sequence), (Some(entry.sequence), head.sequence));
    assert_eq!(entry.stated.request, last.request_id.0);
    let made_by = |entry: &JournalEntry| (entry.stated.principal, entry.stated.grant);
    assert!(entries.iter().all(|entry| made_by(entry) == (Some(place.user.0), Some(place.grant.0))), "{entries:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signer_signs_checkpoints_of_a_log_that_only_grows() {
    let place = used().await;
    let signer = place.requests.signers.get(place.environment).unwrap();
    let (component, stated) = (Uuid::now_v7(), Stated::by_server(Uuid::now_v7()));
    let key = signer.make_checkpoint_key(component, "example.org/log", None, stated).await.unwrap();
    assert_eq!(signer.last_checkpoint(component).await, Ok(None));
    let mut log = Frontier::new();
    log.append(Hash::leaf(b"one")).unwrap();
    let first = log.head();
    let note = signer.sign_checkpoint(key.clone(), first, (0, vec![])).await.unwrap();
    assert!(note.starts_with("example.org/log\n1\n"), "{note}");
    assert_eq!(signer.last_checkpoint(component).await, Ok(Some(first)));
    log.append(Hash::leaf(b"two")).unwrap();
    let proof = vec![Hash::leaf(b"two")];
    let refused = signer.sign_checkpoint(key.clone(), log.head(), (1, vec![Hash::leaf(b"other")])).await;
    let error = GrowthError::Inconsistent { size: 2, last: 1 };
    assert_eq!(refused, Err(UseError::Refused(SignerError::Checkpoint(error))));
    signer.sign_checkpoint(key, log.head(), (1, proof)).await.unwrap();
    place.stop().await;
}

async fn findings_after(change: &'static str) -> Vec<String> {
    let place = used().await.tampered(UNPROTECTED).await.tampered(change).await;
    let findings = place.verify().await.findings;
    place.stop().await;
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_to_change_or_shorten_the_record() {
    let place = used().await;
    let raw = place.raw();
    for sql in ["UPDATE record SET time = 0", "DELETE FROM record", "DELETE FROM signing_key"] {
        assert!(raw.execute_batch(sql).is_err(), "{sql}");
    }
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_entry_is_found() {
    let findings = findings_after("DELETE FROM record WHERE sequence = 10").await;
    assert!(findings.iter().any(|f| f.contains("entry 10 is missing")), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_entry_is_found() {
    let findings =
        findings_after("UPDATE record SET body = replace(body, '127.0.0.1', '127.0.0.2') WHERE sequence = 11").await;
    assert!(findings.len() == 1 && findings[0].contains("entry 11"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_no_longer_tells_what_the_body_tells_is_found() {
    let findings = findings_after("UPDATE record SET principal_id = zeroblob(16) WHERE sequence = 11").await;
    assert!(findings.len() == 1 && findings[0].contains("columns"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_was_cut_off_the_end_is_found_in_the_journal() {
    let findings = findings_after("DELETE FROM record WHERE sequence > 12").await;
    let cut = "the record had 13 entries, but it has 12: its end was cut off";
    assert!(findings.len() == 2 && findings[0].contains(cut), "{findings:?}");
    assert!(findings[1].contains("is not in the record"), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_made_behind_the_records_back_is_found() {
    let findings = findings_after("UPDATE record SET body = replace(body, 'key-begun', 'key-other')").await;
    assert!(findings.iter().any(|f| f.contains("generate with component")), "{findings:?}");
}

/// Whoever has taken the server over might hide behind an old request of key management.
#[tokio::test(flavor = "multi_thread")]
async fn a_certification_that_key_management_did_not_make_is_found() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let row = place.store().key(key).await.unwrap().unwrap();
    let made = place.record().await;
    let (old, noted) = (made[0].request_id, made[1].clone());
    assert!(noted.body.contains("key-certify"), "{noted:?}");
    let primary = row.components.iter().find(|component| component.role == ComponentRole::Certify).unwrap();
    let primary = place.store().stored_component(primary.id).await.unwrap().unwrap();
    let certify = |digest: Vec<u8>| RequestBody::Certify {
        key: primary.clone(),
        certification: Certification { hash: HashAlgorithm::Sha256, digest },
        stated: Stated::by_server(old.0),
    };
    let signer = place.requests.signers.get(row.environment_id).unwrap();
    signer.ask(certify(vec![7; 32])).await.unwrap();
    let findings = place.verify().await.findings;
    let what = format!("certify with component {} for request {old} is not in the record", primary.component);
    assert!(findings.len() == 1 && findings[0].contains(&what), "{findings:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certification_that_is_taken_out_of_the_record_is_found() {
    let findings =
        findings_after("UPDATE record SET body = replace(body, 'key-certify', 'key-other') WHERE sequence = 3").await;
    assert!(findings.iter().any(|f| f.contains("certify with component")), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_the_journal_lacks_is_found() {
    let place = used().await;
    place.stop().await;
    let journal = place.folder.path().join("signer/default/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    let shorter: String = text.lines().take(text.lines().count() - 1).flat_map(|line| [line, "\n"]).collect();
    std::fs::write(&journal, shorter).unwrap();
    let place = place.started().await;
    let findings = place.verify().await.findings;
    assert!(findings[0].contains("the journals do not"), "{findings:?}");
    assert!(findings.len() == 2 && findings[1].contains("the end is missing"), "{findings:?}");
    place.stop().await;
}

/// All hashes of the log are made anew, so that the log itself fits.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_written_anew_is_found_by_what_the_journal_states() {
    let place = used().await.tampered(UNPROTECTED).await;
    place.stop().await;
    let raw = place.raw();
    raw.execute_batch("UPDATE record SET body = replace(body, '127.0.0.1', '127.0.0.2') WHERE sequence = 9").unwrap();
    let (text, salt): (String, Vec<u8>) = raw
        .query_row("SELECT body, salt FROM record WHERE sequence = 9", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let hash = sealcard_record::leaf_hash(&text, &sealcard_record::Salt(salt.try_into().unwrap())).unwrap();
    raw.execute("UPDATE record SET hash = ?1 WHERE sequence = 9", [hash.0]).unwrap();
    drop(raw);
    let place = place.started().await;
    let findings = place.verify().await.findings;
    assert!(findings.len() == 1 && findings[0].contains("it was written anew"), "{findings:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_changed_by_hand_is_named() {
    for (change, named) in [
        ("UPDATE signing_key SET disabled = 1", "was changed: disabled is true, the record says false"),
        ("UPDATE signing_key SET environment_id = zeroblob(16)", "was changed: environment_id is"),
        ("UPDATE signing_key SET certificate = 'other'", "was changed: certificate_sha256 is"),
        ("UPDATE component_key SET expires = expires + 86400 WHERE role = 'sign'", "can sign was changed: expires is"),
        ("UPDATE component_key SET public_key = zeroblob(32) WHERE role = 'decrypt'", "can decrypt was changed"),
        ("DELETE FROM component_key WHERE role = 'authenticate'", "can authenticate is missing"),
        ("INSERT INTO pin_attempt SELECT id, 'refused', zeroblob(16), 0 FROM environment", "PIN claim of default"),
    ] {
        let change = format!("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {change}");
        let place = used().await.tampered(Box::leak(change.into_boxed_str())).await;
        let findings = place.verify().await.findings;
        assert!(findings.iter().any(|finding| finding.contains(named)), "{named}: {findings:#?}");
        place.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journals_of_servers_that_are_gone_are_compared() {
    let place = used().await;
    // Copies of journals that have the uses already are journals like others: what they have is used twice.
    let journals = place.folder.path().join("journals");
    std::fs::create_dir(&journals).unwrap();
    let own = place.folder.path().join("signer/default/journal.jsonl");
    std::fs::copy(own, journals.join("old-server.jsonl")).unwrap();
    let findings = place.verify().await.findings;
    assert!(findings.iter().all(|finding| finding.contains("journal journals/old-server.jsonl")
        || finding.contains("journal default")), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.contains("it was used before")), "{findings:#?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_does_not_answer_is_named() {
    let place = used().await;
    place.requests.signers.stop().await;
    let findings = place.verify().await.findings;
    assert!(findings.len() == 1 && findings[0].contains("was not compared"), "{findings:?}");
    place.store().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_key_with_another_public_half_or_from_another_row_does_not_open() {
    for change in [
        "UPDATE component_key SET public_key = zeroblob(32) WHERE role = 'sign'",
        "UPDATE component_key SET handle = (SELECT handle FROM component_key WHERE role = 'certify') WHERE role = \
         'sign'",
        "UPDATE component_key SET handle = CAST(substr(handle, 1, length(handle) - 1) || x'00' AS BLOB) WHERE role = \
         'sign'",
    ] {
        let place = used().await;
        let key = place.store().keys(sealcard_server::storage::KeyFilter { limit: 1, ..Default::default() }).await;
        let key = key.unwrap()[0].id;
        let place = place.tampered(change).await;
        let refused = place.perform(key, sign(&[1; 32])).await;
        assert!(matches!(refused, Err(sealcard_server::requests::RequestError::Fault(_))), "{change}: {refused:?}");
        assert_eq!(place.record().await.last().unwrap().state.as_deref(), Some("failed"), "{change}");
        place.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_in_intents_and_denials_and_bind_no_idempotency_key() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let context = |why: &str| UseContext {
        host: Some("laptop".to_owned()),
        processes: vec![Process { command: Some("gpg -bsau tags".to_owned()), ..Process::default() }],
        justification: Some(why.to_owned()),
    };
    let first = UseRequest { context: context("Release 1.0"), ..request(key, sign(&[1; 32])) };
    let response = place.requests.use_key(&place.caller(), first.clone()).await.unwrap();
    let again = UseRequest { context: context("Release 2.0"), ..first.clone() };
    assert_eq!(place.requests.use_key(&place.caller(), again).await.unwrap().request_id, response.request_id);
    let other_input = UseRequest { operation: sign(&[2; 32]), ..first };
    place.requests.use_key(&place.caller(), other_input).await.unwrap_err();

    let record = place.record().await;
    let of_kind = |kind: RecordKind| {
        let rows = record.iter().filter(|row| row.kind == kind.name()).map(details);
        rows.filter(|entry| entry["key"]["id"] == key.to_string()).collect::<Vec<Value>>()
    };
    let claims = json!({
        "host": "laptop",
        "processes": [{"command": "gpg -bsau tags"}],
        "justification": "Release 1.0",
    });
    for (kind, expected) in
        [(RecordKind::Intent, Some(&claims)), (RecordKind::Denied, Some(&claims)), (RecordKind::Outcome, None)]
    {
        let entries = of_kind(kind);
        assert_eq!(entries.iter().map(|entry| entry.get("claims")).collect::<Vec<_>>(), [expected], "{kind:?}");
    }
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}
