//! Repeated requests: one use for one idempotency key.

use sealcard_api::{algorithm::KeyAlgorithm, ids::GrantId};
use sealcard_server::requests::{RequestError, UseRequest};
use sealcard_signer_protocol::Operation;

use crate::harness::{Place, UseKey as _, details, plaintext, request, sign, signature, story, told};

fn journal_lines(place: &Place) -> usize {
    std::fs::read_to_string(place.folder.path().join("signer/default/journal.jsonl")).unwrap().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gives_the_same_signature_and_uses_the_key_once() {
    let place = Place::new().await;
    // ECDSA signatures differ each time they are made.
    let key = place.key(KeyAlgorithm::NistP256).await;
    let request = request(key, sign(&[1; 32]));
    let before = journal_lines(&place);
    let first = place.requests.use_key(&place.caller(), request.clone()).await.unwrap();
    let again = place.requests.use_key(&place.caller(), request.clone()).await.unwrap();
    assert_eq!(again.request_id, first.request_id);
    assert_eq!(signature(again), signature(first.clone()));

    // Also after a restart.
    place.stop().await;
    let place = place.started().await;
    assert_eq!(signature(place.requests.use_key(&place.caller(), request).await.unwrap()), signature(first));
    assert_eq!(journal_lines(&place), before + 1);
    assert_eq!(place.store().key(key).await.unwrap().unwrap().signatures, 1);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_at_once_waits_for_the_first() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::NistP256).await;
    let request = request(key, sign(&[1; 32]));
    let before = journal_lines(&place);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (requests, caller, request) = (place.requests.clone(), place.caller(), request.clone());
        tasks.spawn(async move { signature(requests.use_key(&caller, request).await.unwrap()) });
    }
    let signatures = tasks.join_all().await;
    assert!(signatures.iter().all(|signature| *signature == signatures[0]));
    assert_eq!(journal_lines(&place), before + 1);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_bound_to_grant_key_operation_and_input() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let other = place.key(KeyAlgorithm::NistP256).await;
    let request = request(key, sign(&[1; 32]));
    place.requests.use_key(&place.caller(), request.clone()).await.unwrap();
    let before = journal_lines(&place);

    let other_grant = GrantId::new();
    place.add_grant(other_grant, place.user).await;
    let other_grant = place.let_in(other_grant).await;
    let ciphertext = vec![9; 32];
    let mismatches = [
        (other_grant, request.clone()),
        (place.caller(), UseRequest { key: other, ..request.clone() }),
        (place.caller(), UseRequest { operation: Operation::Decrypt { ciphertext }, ..request.clone() }),
        (place.caller(), UseRequest { operation: sign(&[2; 32]), ..request }),
    ];
    for (caller, request) in mismatches {
        let refused = place.requests.use_key(&caller, request.clone()).await;
        assert!(matches!(refused, Err(RequestError::Mismatch)), "{request:?} gave {refused:?}");
    }
    assert_eq!(journal_lines(&place), before);
    let record = place.record().await;
    let denied = record.iter().filter(|row| row.kind == "denied" && details(row)["cause"] == "idempotency-key");
    assert_eq!(denied.count(), 4);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decryption_is_done_and_recorded_anew_and_never_stored() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    // The base point: what comes of it is the public key itself, so the test knows it.
    let mut ciphertext = vec![0; 32];
    ciphertext[0] = 9;
    let request = request(key, Operation::Decrypt { ciphertext });
    let first = place.requests.use_key(&place.caller(), request.clone()).await.unwrap();
    let again = place.requests.use_key(&place.caller(), request).await.unwrap();
    assert_ne!(first.request_id, again.request_id);
    let record = place.record().await;
    for request in [first.request_id, again.request_id] {
        assert_eq!(story(&record, request), [told("intent", "signing"), told("outcome", "signed")]);
    }
    assert_eq!(plaintext(first), plaintext(again));
    let stored: i64 = place
        .raw()
        .query_row("SELECT count(*) FROM key_request WHERE signature IS NOT NULL", (), |row| row.get(0))
        .unwrap();
    assert_eq!(stored, 0);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_use_may_be_tried_again() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Rsa4096).await;
    let request = request(key, Operation::Decrypt { ciphertext: vec![1; 512] });
    for _ in 0..2 {
        let failed = place.requests.use_key(&place.caller(), request.clone()).await;
        assert!(matches!(failed, Err(RequestError::DecryptionFailed { .. })), "{failed:?}");
    }
    let outcomes = place.record().await.into_iter().filter(|row| row.state.as_deref() == Some("failed")).count();
    assert_eq!(outcomes, 2);
    place.stop().await;
}
