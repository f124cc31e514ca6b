//! Uses that wait: for a signer that does not answer, for the same request made before.

use std::time::Duration;

use sealcard_api::{algorithm::KeyAlgorithm, record::RecordKind};
use sealcard_server::{requests::RequestError, storage::StorageError};
use sealcard_test_pause::Pause;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::harness::{DEADLINE, Place, UseKey as _, request, sign, signature};

fn stop_worker(place: &Place) -> Pause {
    Pause::of(place.requests.signers.get(place.environment).unwrap().process_id().unwrap()).unwrap()
}

async fn count(place: &Place, kind: RecordKind) -> usize {
    place.record().await.iter().filter(|row| row.kind == kind.name()).count()
}

async fn wait_for(place: &Place, kind: RecordKind, number: usize) {
    let there = async {
        while count(place, kind).await < number {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_whose_caller_has_gone_counts_until_its_end() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let pause = stop_worker(&place);
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let request = request(key, sign(&[1; 32]));
        let (requests, caller) = (place.requests.clone(), place.caller());
        callers.spawn(async move { requests.use_key(&caller, request).await });
    }
    wait_for(&place, RecordKind::Intent, 1).await;
    // Long enough for all that get a permit; shorter would only make the test weaker.
    sleep(Duration::from_millis(500)).await;
    let begun = count(&place, RecordKind::Intent).await;
    assert!(begun < 64, "{begun}");
    callers.shutdown().await;
    assert!(timeout(Duration::from_millis(100), place.perform(key, sign(&[2; 32]))).await.is_err());
    assert_eq!(count(&place, RecordKind::Intent).await, begun);

    drop(pause);
    wait_for(&place, RecordKind::Outcome, begun).await;
    place.sign(key, &[3; 32]).await;
    assert_eq!(count(&place, RecordKind::Outcome).await, begun + 1);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_that_waits_is_judged_anew_when_the_first_has_ended() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let request = request(key, sign(&[1; 32]));
    let perform = || {
        let (requests, caller, request) = (place.requests.clone(), place.caller(), request.clone());
        tokio::spawn(async move { requests.use_key(&caller, request).await })
    };
    let pause = stop_worker(&place);
    let first = perform();
    wait_for(&place, RecordKind::Intent, 1).await;
    let repetition = perform();
    // Long enough for it to be judged and to wait; shorter would only make the test weaker.
    sleep(Duration::from_millis(200)).await;
    let grant = place.grant;
    let revoked: Result<bool, StorageError> = place.store().write(move |tx| tx.revoke_grant(grant)).await;
    assert!(revoked.unwrap());
    drop(pause);
    signature(timeout(DEADLINE, first).await.unwrap().unwrap().unwrap());
    let refused = timeout(DEADLINE, repetition).await.unwrap().unwrap();
    assert!(matches!(refused, Err(RequestError::Denied { .. })), "{refused:?}");
    place.stop().await;
}
