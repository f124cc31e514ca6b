//! What a stop in the middle leaves behind.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_api::{
    admin::EnvironmentState,
    algorithm::{ComponentRole, KeyAlgorithm},
    ids::{ComponentId, RequestId},
};
use sealcard_record::{
    Draft, Event,
    event::{self, Asked, SignerOperation, UseIntent},
};
use sealcard_server::{
    signing::{Done, SigningError, Wish},
    storage::{Database, Idempotency, NewRequest, Store, UseOf},
};
use sealcard_test_pause::Pause;
use tokio::time::timeout;
use uuid::Uuid;

use crate::harness::{DEADLINE, Place, sign, signature, story, told};

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_without_outcome_is_unknown_after_a_restart_and_is_not_repeated() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    // What a server leaves behind that dies between intent and outcome.
    let wish = Wish { key, idempotency_key: Uuid::new_v4(), operation: sign(&[1; 32]) };
    place.signing.perform(place.asker(), wish.clone()).await.unwrap();
    let place = place
        .tampered(
            "UPDATE key_request SET state = 'signing', signature = NULL;
             DROP TRIGGER record_is_never_shortened; DELETE FROM record WHERE kind = 'outcome';",
        )
        .await;
    let record = place.record().await;
    let intent = record.iter().find(|row| row.kind == "intent").unwrap();
    assert_eq!(story(&record, intent.request_id), [told("intent", "signing"), told("outcome", "unknown")]);
    let refused = place.signing.perform(place.asker(), wish).await;
    assert!(matches!(refused, Err(SigningError::OutcomeUnknown)), "{refused:?}");
    place.sign(key, &[1; 32]).await;
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_without_outcome_is_named_by_the_verification() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let asker = place.asker();
    let (principal, grant, token) = (asker.principal, asker.grant, asker.token);
    let use_of = UseOf { key, role: ComponentRole::Sign, principal, grant, token };
    let request = NewRequest {
        id: RequestId::new(),
        idempotency: Idempotency { use_of, key: Uuid::new_v4(), operation: "sign", input_sha256: [0; 32] },
        component: Uuid::new_v4(),
        project: place.project,
        node: place.store().node(),
    };
    let intent = UseIntent {
        signing_key: place.store().use_names(principal, key).await.unwrap().1,
        component: ComponentId(request.component),
        asked: Asked::new(event::Operation::Sign, SignerOperation::Sign),
        host: None,
    };
    let intent = Draft::new(request.id, Event::UseIntent(intent));
    let id = request.id;
    let judged = place.store().key_use(use_of).await.unwrap().unwrap();
    place.store().begin_request(request, judged, intent).await.unwrap();
    let findings = place.verify().await.findings;
    assert!(findings.len() == 1 && findings[0].contains(&id.to_string()), "{findings:?}");
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_dies_in_the_middle_leaves_an_unknown_use_and_is_replaced() {
    let place = Place::new().await;
    let key = place.key(KeyAlgorithm::Ed25519).await;
    let signer = place.signing.signers.get(place.environment).unwrap();
    let mut attempts = 0;
    loop {
        attempts += 1;
        assert!(attempts <= 20, "the signer was never killed in the middle");
        let process = signer.process_id().unwrap();
        let wish = Wish { key, idempotency_key: Uuid::new_v4(), operation: sign(&[1; 32]) };
        let ended = kill_after_intent(&place, process, wish.clone()).await;
        let record = place.record().await;
        let state = record.last().unwrap().state.clone().unwrap();
        // The next use finds another process.
        signature(timeout(DEADLINE, place.perform(key, sign(&[2; 32]))).await.unwrap().unwrap());
        assert_ne!(signer.process_id(), Some(process));
        match (ended, state.as_str()) {
            (Err(SigningError::SignerUnavailable), "unknown") => {
                let repeated = place.signing.perform(place.asker(), wish).await;
                assert!(matches!(repeated, Err(SigningError::OutcomeUnknown)), "{repeated:?}");
                break;
            }
            // The request had not left the server yet when the signer died: it was not asked, or another one was.
            (Err(SigningError::SignerUnavailable), "failed") | (Ok(_), "signed") => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(signer.state().await, EnvironmentState::Ready);
    assert_eq!(place.verify().await.findings, Vec::<String>::new());
    place.stop().await;
}

/// What comes of a use whose signer, which stands still, is killed once the intent is durable.
async fn kill_after_intent(place: &Place, process: u32, wish: Wish) -> Result<Done, SigningError> {
    let pause = Pause::of(process).unwrap();
    let commits = place.store().commits();
    let task = tokio::spawn({
        let (signing, asker) = (place.signing.clone(), place.asker());
        async move { signing.perform(asker, wish).await }
    });
    let intent_is_durable = async {
        while place.store().commits() == commits {
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
    place.signing.signers.stop().await;
    let wish = Wish { key, idempotency_key: Uuid::new_v4(), operation: sign(&[1; 32]) };
    let failed = timeout(DEADLINE, place.signing.perform(place.asker(), wish.clone())).await.unwrap();
    assert!(matches!(failed, Err(SigningError::SignerUnavailable)), "{failed:?}");
    assert_eq!(place.record().await.last().unwrap().state.as_deref(), Some("failed"));
    place.store().close().await;
    let place = place.started().await;
    place.signing.perform(place.asker(), wish).await.unwrap();
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() {
    let place = Place::new().await;
    let error = Store::open(&Database::Sqlite(place.database())).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("another sealcard-server"), "{error}");
    place.stop().await;
}
