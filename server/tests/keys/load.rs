//! Many uses at once.

use std::collections::HashSet;

use sealcard_api::algorithm::KeyAlgorithm;

use crate::harness::{Place, UseKey as _, request, sign, story, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_uses_at_once_are_all_recorded_in_fewer_commits() {
    const USES: u64 = 200;
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let before = place.store().writer_load().commits;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..USES {
        let (requests, caller) = (place.requests.clone(), place.caller());
        let digest = std::array::from_fn(|i| n.to_be_bytes()[i % 8]);
        let request = request(key, sign(&digest));
        tasks.spawn(async move { requests.use_key(&caller, request).await.unwrap().request_id });
    }
    let requests: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(requests.len() as u64, USES);
    let commits = place.store().writer_load().commits - before;
    assert!(commits < USES, "{commits} commits for {USES} uses, each of which is written twice");

    let record = place.record().await;
    for request in requests {
        assert_eq!(story(&record, request), [told("intent", "signing"), told("outcome", "signed")]);
    }
    assert!(record.iter().zip(1..).all(|(row, sequence)| row.sequence == sequence), "no gap");
    assert_eq!(place.store().key(key).await.unwrap().unwrap().signatures, USES);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}
