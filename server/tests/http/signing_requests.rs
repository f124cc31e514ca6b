//! Signing requests that can be asked for, waited for and given up: `/v1/requests/{request}`.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use sealcard_api::{
    Bytes, IDEMPOTENCY_KEY_HEADER,
    algorithm::ComponentRole,
    ids::{KeyId, PrincipalId, RequestId},
    problem::ProblemCode,
    record::RequestState,
    requests::SigningRequest,
};
use sealcard_record::{
    Draft, Event,
    event::{Asked, Operation, SignerOperation, UseDenied},
};
use sealcard_server::storage::{FactsQuery, NewRequest, Snapshot, StorageError, Target, Verdict};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract,
    harness::{Answer, PASSWORD, Running, Session},
};

/// Stores a request of this principal in this state.
async fn add_request(
    server: &Running,
    session: &Session<'_>,
    principal: PrincipalId,
    state: RequestState,
) -> RequestId {
    let (id, key) = (RequestId::new(), KeyId::new());
    let request = NewRequest {
        id,
        principal,
        grant: session.issued.grant.id,
        idempotency_key: Uuid::new_v4(),
        key,
        operation: "sign",
        input_sha256: [0; 32],
        node: server.store.node(),
    };
    let query = FactsQuery { token: [0; 32], target: Target::Key(key, ComponentRole::Sign) };
    let asked = Asked::new(Operation::Sign, SignerOperation::Sign);
    let entry = Draft::new(id, Event::UseDenied(UseDenied::of_unknown_key(key, asked)));
    let decide = move |_: Snapshot<'_>| Ok::<_, StorageError>(Verdict { next: Some((state, entry)), value: () });
    server.store.begin_request(request, query, None, decide).await.unwrap();
    id
}

#[tokio::test]
async fn waiting_request_is_cancelled_once_by_its_requester() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    admin.add_user("bob").await;
    let (alice, bob) = (server.login("alice", PASSWORD).await, server.login("bob", PASSWORD).await);
    let principal = alice.issued.grant.principal;
    let id = add_request(&server, &alice, principal, RequestState::Waiting).await;
    let path = format!("/v1/requests/{id}");

    let shown: SigningRequest = alice.get(&path).await.json(StatusCode::OK);
    assert_eq!((shown.id, shown.state, shown.principal), (id, RequestState::Waiting, principal));
    // Strangers learn nothing; an administrator sees it and can't cancel it.
    bob.get(&path).await.problem(ProblemCode::NotFound);
    bob.bare(Method::DELETE, &path).await.problem(ProblemCode::NotFound);
    let _: SigningRequest = admin.get(&path).await.json(StatusCode::OK);
    admin.bare(Method::DELETE, &path).await.problem(ProblemCode::Forbidden);

    alice.bare(Method::DELETE, &path).await.done();
    let shown: SigningRequest = alice.get(&path).await.json(StatusCode::OK);
    assert_eq!(shown.state, RequestState::Cancelled);
    let refused = alice.bare(Method::DELETE, &path).await.problem(ProblemCode::Conflict);
    assert!(refused.detail.as_ref().is_some_and(|detail| detail.contains("is cancelled")), "{refused:?}");
    let record = server.record().await;
    let cancelled: Vec<_> = record.iter().filter(|entry| entry.to_string().contains("use-cancelled")).collect();
    assert!(cancelled.len() == 1 && cancelled[0].to_string().contains(&id.to_string()), "{cancelled:?}");
}

#[tokio::test]
async fn request_is_waited_for_until_it_ends_or_the_time_is_over() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let principal = admin.issued.grant.principal;
    let id = add_request(&server, &admin, principal, RequestState::Waiting).await;
    let path = format!("/v1/requests/{id}?wait=1");
    let started = Instant::now();
    let shown: SigningRequest = admin.get(&path).await.json(StatusCode::OK);
    assert_eq!(shown.state, RequestState::Waiting);
    assert!(started.elapsed() >= Duration::from_secs(1));

    let long = format!("/v1/requests/{id}?wait=20");
    let cancel = format!("/v1/requests/{id}");
    let (shown, ()) = tokio::join!(admin.get(&long), async { admin.bare(Method::DELETE, &cancel).await.done() });
    let shown: SigningRequest = shown.json(StatusCode::OK);
    assert_eq!(shown.state, RequestState::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(20), "it waits for nothing");

    admin.get(&format!("/v1/requests/{id}?wait=61")).await.problem(ProblemCode::Invalid);
    admin.get(&format!("/v1/requests/{}", RequestId::new())).await.problem(ProblemCode::NotFound);
}

/// The answer to a use of a key that does not exist.
async fn use_unknown_key(session: &Session<'_>) -> Answer {
    let path = format!("/v1/keys/{}/sign", KeyId::new());
    let request = session.server.client().post(session.server.url(&path)).bearer_auth(&session.token);
    let request = request.header(IDEMPOTENCY_KEY_HEADER, Uuid::new_v4().to_string());
    let body = json!({"hash": "sha256", "digest": Bytes(vec![1; 32])});
    let answer = Answer::of(request.json(&body).send().await.unwrap()).await;
    contract::check(&Method::POST, &path, answer.status, "application/problem+json", &answer.body);
    answer
}

#[tokio::test]
async fn uses_beyond_a_budget_are_told_when_to_come_again() {
    let server = Running::with(|limits| (limits.denials_per_minute, limits.uses_per_minute) = (3, 6)).await;
    let admin = server.admin().await;
    for _ in 0..3 {
        use_unknown_key(&admin).await.problem(ProblemCode::NotFound);
    }
    let beyond = |answer: Answer, code| {
        let problem = answer.problem(code);
        let seconds = problem.retry_after.unwrap();
        assert!((1..=60).contains(&seconds));
        assert_eq!(answer.headers["retry-after"], seconds.to_string());
        assert!(problem.detail.unwrap().contains(&format!("{seconds} seconds")));
    };
    for _ in 0..3 {
        beyond(use_unknown_key(&admin).await, ProblemCode::TooManyAttempts);
    }
    beyond(use_unknown_key(&admin).await, ProblemCode::TooManyUses);
    // Another one has a budget of its own, and all else goes on.
    admin.add_user("alice").await;
    let alice = server.login("alice", PASSWORD).await;
    use_unknown_key(&alice).await.problem(ProblemCode::NotFound);
}
