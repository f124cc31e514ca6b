//! What a stop in the middle leaves behind.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_api::{
    admin::EnvironmentState,
    algorithm::{ComponentRole, KeyAlgorithm},
    ids::ComponentId,
    record::RequestState,
};
use sealcard_record::{
    Event, Named,
    event::{self, Asked, SignerOperation, SigningKey, UseIntent},
};
use sealcard_server::{
    requests::{RequestError, UseRequest, UseResponse},
    storage::{Database, FactsQuery, NewRequest, Snapshot, StorageError, Store, Target, Verdict},
};
use sealcard_test_pause::Pause;
use tokio::time::timeout;
use uuid::Uuid;

use crate::harness::{DEADLINE, Place, UseKey as _, request, sign, signature, story, told};

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_without_outcome_is_unknown_after_a_restart_and_is_not_repeated() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    // What a server leaves behind that dies between intent and outcome.
    let request = request(key, sign(&[1; 32]));
    place.requests.use_key(&place.caller(), request.clone()).await.unwrap();
    let place = place
        .tampered(
            "UPDATE key_request SET state = 'signing', signature = NULL;
             DROP TRIGGER record_is_never_shortened; DELETE FROM record WHERE kind = 'outcome';",
        )
        .await;
    let record = place.record().await;
    let intent = record.iter().find(|row| row.kind == "intent").unwrap();
    assert_eq!(story(&record, intent.request_id), [told("intent", "signing"), told("outcome", "unknown")]);
    let refused = place.requests.use_key(&place.caller(), request).await;
    assert!(matches!(refused, Err(RequestError::OutcomeUnknown)), "{refused:?}");
    place.sign(key, &[1; 32]).await;
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_without_outcome_is_named_by_the_verification() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let caller = place.caller();
    let request = NewRequest {
        id: caller.request_id,
        principal: caller.principal,
        grant: caller.grant,
        idempotency_key: Uuid::new_v4(),
        key,
        operation: "sign",
        input_sha256: [0; 32],
        node: place.store().node(),
    };
    let query = FactsQuery { token: caller.token, target: Target::Key(key, ComponentRole::Sign) };
    let intent = Event::UseIntent(UseIntent {
        signing_key: SigningKey { project: Named::new(place.project, "project"), key: Named::new(key, "ed25519") },
        component: ComponentId::new(),
        asked: Asked::new(event::Operation::Sign, SignerOperation::Sign),
        host: None,
    });
    let id = request.id;
    let begin = move |_: Snapshot<'_>| {
        let next = Some((RequestState::Signing, sealcard_record::Draft::new(id, intent)));
        Ok::<_, StorageError>(Verdict { next, value: () })
    };
    place.store().begin_request(request, query, None, begin).await.unwrap();
    let findings = place.verify().await.findings;
    assert!(findings.len() == 1 && findings[0].contains(&id.to_string()), "{findings:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_dies_in_the_middle_leaves_an_unknown_use_and_is_replaced() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let signer = place.requests.signers.get(place.environment).unwrap();
    let mut attempts = 0;
    loop {
        attempts += 1;
        assert!(attempts <= 20, "the signer was never killed in the middle");
        let process = signer.process_id().unwrap();
        let request = request(key, sign(&[1; 32]));
        let ended = kill_after_intent(&place, process, request.clone()).await;
        let record = place.record().await;
        let state = record.last().unwrap().state.clone().unwrap();
        // The next use finds another process.
        signature(timeout(DEADLINE, place.perform(key, sign(&[2; 32]))).await.unwrap().unwrap());
        assert_ne!(signer.process_id(), Some(process));
        match (ended, state.as_str()) {
            (Err(RequestError::SignerUnavailable), "unknown") => {
                let repeated = place.requests.use_key(&place.caller(), request).await;
                assert!(matches!(repeated, Err(RequestError::OutcomeUnknown)), "{repeated:?}");
                break;
            }
            // The request had not left the server yet when the signer died: it was not asked, or another one was.
            (Err(RequestError::SignerUnavailable), "failed") | (Ok(_), "signed") => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(signer.state().await, EnvironmentState::Ready);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

/// What comes of a use whose signer, which stands still, is killed once the intent is durable.
async fn kill_after_intent(place: &Place, process: u32, request: UseRequest) -> Result<UseResponse, RequestError> {
    let pause = Pause::of(process).unwrap();
    let commits = place.store().writer_load().commits;
    let task = tokio::spawn({
        let (requests, caller) = (place.requests.clone(), place.caller());
        async move { requests.use_key(&caller, request).await }
    });
    let intent_is_durable = async {
        while place.store().writer_load().commits == commits {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, intent_is_durable).await.unwrap();
    kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL).unwrap();
    drop(pause);
    timeout(DEADLINE, task).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_signer_a_use_fails_and_may_be_repeated() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    place.requests.signers.stop().await;
    let request = request(key, sign(&[1; 32]));
    let failed = timeout(DEADLINE, place.requests.use_key(&place.caller(), request.clone())).await.unwrap();
    assert!(matches!(failed, Err(RequestError::SignerUnavailable)), "{failed:?}");
    assert_eq!(place.record().await.last().unwrap().state.as_deref(), Some("failed"));
    place.store().close().await;
    let place = place.started().await;
    place.requests.use_key(&place.caller(), request).await.unwrap();
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let place = Place::new().await;
    let error = Store::open(&Database::Sqlite(place.database())).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("another sealcard-server"), "{error}");
    place.stop().await;
}
