//! Uses of keys: rows of their own, and entries in the record with them.

use sealcard_api::{
    ids::{GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    record::{RecordKind, RequestState},
};

use super::*;

fn request(principal: PrincipalId, key: Uuid) -> NewRequest {
    NewRequest {
        id: RequestId::new(),
        idempotency: Idempotency {
            principal,
            key,
            grant: GrantId::new(),
            signing_key: KeyId::new(),
            operation: "sign",
            input_sha256: [7; 32],
        },
        component: Uuid::new_v4(),
        project: ProjectId::new(),
        node: Uuid::new_v4(),
    }
}

fn entry(request: &NewRequest, kind: RecordKind, state: RequestState) -> Draft {
    Draft {
        kind,
        request_id: request.id,
        principal: Some(request.idempotency.principal),
        project: None,
        key: Some(request.idempotency.signing_key),
        state: Some(state),
        details: json!({"text": "a \" and a \\, an ä, a 💳, and \n {\"sequence\":0"}),
    }
}

async fn begin(store: &Store, request: &NewRequest) -> Result<Begun, StorageError> {
    let request = request.clone();
    let intent = entry(&request, RecordKind::Intent, RequestState::Signing);
    store.write(move |tx| Box::pin(async move { tx.begin_request(&request, intent).await })).await
}

async fn finish(store: &Store, request: &NewRequest, signature: &'static [u8]) -> Result<(), StorageError> {
    let outcome = entry(request, RecordKind::Outcome, RequestState::Signed);
    let counted = Some(request.idempotency.signing_key);
    store.write(move |tx| Box::pin(async move { tx.finish_request(Some(signature), counted, outcome).await })).await
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_use_and_a_use_has_one_outcome() {
    for place in Place::both() {
        let store = place.store().await;
        let first = request(PrincipalId::new(), Uuid::new_v4());
        assert_eq!(begin(&store, &first).await.unwrap(), Begun::New);
        let repeated = NewRequest { id: RequestId::new(), ..first.clone() };
        let Begun::Known(known) = begin(&store, &repeated).await.unwrap() else { panic!("it is known") };
        assert_eq!((known.id, known.state), (first.id, RequestState::Signing));
        assert!(matches!(finish(&store, &repeated, b"no").await, Err(StorageError::NotFound(_))));

        finish(&store, &first, b"signature").await.unwrap();
        assert!(matches!(finish(&store, &first, b"another").await, Err(StorageError::NotFound(_))));
        let Begun::Known(known) = begin(&store, &repeated).await.unwrap() else { panic!("it is known") };
        assert_eq!((known.state, known.signature.as_deref()), (RequestState::Signed, Some(b"signature".as_slice())));

        let mut other = repeated.clone();
        other.idempotency.input_sha256 = [8; 32];
        assert_eq!(begin(&store, &other).await.unwrap(), Begun::Mismatch);
        // Only what was done is in the record.
        check_chain(&store, 2).await;
    }
}

/// Alone, each has a transaction of its own; in company they share one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_of_two_servers_alone_and_in_company_are_one_chain() {
    const EACH: u64 = 40;
    let place = Place::postgres();
    let stores = [place.store().await, Store::open(&place.database()).await.unwrap()];
    let principal = PrincipalId::new();
    let mut all = JoinSet::new();
    for company in [1, 8] {
        for store in &stores {
            for n in 0..company {
                let store = store.clone();
                all.spawn(async move {
                    for _ in 0..EACH / company {
                        let _paced = store.begin_use();
                        let request = request(principal, Uuid::new_v4());
                        assert_eq!(begin(&store, &request).await.unwrap(), Begun::New);
                        finish(&store, &request, b"signature").await.unwrap();
                        attempt(&store, n, false).await.unwrap();
                    }
                });
            }
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
    }
    check_chain(&stores[0], 2 * 2 * EACH * 3).await;
}

/// The same request at both servers at once: one of them does it, and neither waits for the other for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_at_two_servers_is_one_use() {
    let place = Place::postgres();
    let stores = [place.store().await, Store::open(&place.database()).await.unwrap()];
    let principal = PrincipalId::new();
    for n in 1..=30 {
        let same = request(principal, Uuid::new_v4());
        let mut both = JoinSet::new();
        for store in &stores {
            let (store, request) = (store.clone(), NewRequest { id: RequestId::new(), ..same.clone() });
            both.spawn(async move { begin(&store, &request).await.unwrap() });
        }
        let begun = both.join_all().await;
        assert_eq!(begun.iter().filter(|begun| **begun == Begun::New).count(), 1, "{begun:?}");
        check_chain(&stores[0], n).await;
    }
}
