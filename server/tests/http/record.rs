//! Reading and verifying the record.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use sealcard_api::{
    Timestamp,
    ids::{ComponentId, GrantId, KeyId, PrincipalId, ProjectId, RequestId},
    problem::ProblemCode,
    record::{RecordVerification, RequestState, VerificationState},
};
use sealcard_record::{
    Actor, Draft, Event, HexBytes, Named, Sha256,
    event::{Asked, DenialCause, Operation, SignerOperation, SigningKey, UseDenied, UseIntent},
};
use sealcard_server::storage::RecordFilter;
use sealcard_transparency::{Frontier, Hash};
use serde_json::Value;

use crate::{
    harness::{ADMIN, DEADLINE, PASSWORD, Running, Session},
    keys::{add_key, add_member, add_project},
};

const SIGNATURE: Sha256 = Sha256([0xab; 32]);

/// Two uses by `alice`, one still without outcome, and a denial of `bob`.
async fn with_uses(server: &Running, signing_key: SigningKey) -> [RequestId; 3] {
    let draft = |request, name: &str, event| {
        let actor = Actor::new(PrincipalId::new(), name, GrantId::new());
        Draft::new(request, event).by(actor).from_peer([192, 0, 2, 7].into())
    };
    let asked = Asked {
        digest: Some(HexBytes(vec![7; 32])),
        input_sha256: Some(Sha256([7; 32])),
        ..Asked::new(Operation::Sign, SignerOperation::Sign)
    };
    let intent = UseIntent { signing_key, component: ComponentId::new(), asked: asked.clone(), host: None };
    let mut outcome = intent.outcome(RequestState::Signed);
    outcome.signature_sha256 = Some(SIGNATURE);
    let reasons = vec!["the key is disabled".to_owned()];
    let denied = UseDenied::of_key(intent.signing_key.clone(), asked, DenialCause::Policy, reasons);
    let requests = [RequestId::new(), RequestId::new(), RequestId::new()];
    for (request, name, event) in [
        (requests[0], "alice", Event::UseIntent(intent.clone())),
        (requests[1], "alice", Event::UseIntent(intent)),
        (requests[0], "alice", Event::UseOutcome(outcome)),
        (requests[2], "bob", Event::UseDenied(denied)),
    ] {
        server.store.append_record(draft(request, name, event)).await.unwrap();
    }
    requests
}

async fn entries(session: &Session<'_>, query: &str) -> Vec<Value> {
    let page: Value = session.get(&format!("/v1/record?limit=500{query}")).await.json(StatusCode::OK);
    page["items"].as_array().unwrap().iter().map(|line| line["entry"].clone()).collect()
}

async fn events(session: &Session<'_>, query: &str) -> Vec<String> {
    let entries = entries(session, query).await;
    entries.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

fn some_key() -> SigningKey {
    SigningKey { project: Named::new(ProjectId::new(), "release"), key: Named::new(KeyId::new(), "tags") }
}

#[tokio::test]
async fn entries_are_answered_as_they_were_committed_to() {
    let server = Running::start().await;
    let admin = server.admin().await;
    with_uses(&server, some_key()).await;
    let answer = admin.get("/v1/record?limit=500").await;
    let text = answer.text();
    let rows = server.store.record(RecordFilter { limit: 500, ..RecordFilter::default() }).await;
    for row in rows.unwrap() {
        let line = format!("{{\"hash\":\"{}\",\"salt\":\"{}\",\"entry\":{}}}", row.hash, row.salt, row.body);
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn record_is_filtered_by_what_happened() {
    let server = Running::start().await;
    let admin = server.admin().await;
    server.try_login(ADMIN, "wrong horse battery").await.problem(ProblemCode::WrongCredentials);
    let requests = with_uses(&server, some_key()).await;
    let uses = ["use-intent", "use-intent", "use-outcome", "use-denied"];
    assert_eq!(events(&admin, "").await, [["login", "login-failed"].as_slice(), &uses].concat());
    assert_eq!(events(&admin, "&kind=intent,outcome,denied").await, uses);
    // The intent that has an outcome is told by it.
    assert_eq!(events(&admin, "&kind=intent,outcome,denied&folded=true").await, &uses[1..]);
    assert_eq!(events(&admin, "&denied=true").await, ["login-failed", "use-denied"]);
    assert_eq!(events(&admin, "&event=use-denied").await, ["use-denied"]);
    assert_eq!(events(&admin, &format!("&user={ADMIN}")).await, ["login", "login-failed"]);
    assert_eq!(events(&admin, "&order=newest&kind=outcome,denied").await, ["use-denied", "use-outcome"]);
    assert_eq!(events(&admin, &format!("&request={}", requests[0])).await, ["use-intent", "use-outcome"]);
    assert_eq!(events(&admin, &format!("&signature={SIGNATURE}")).await, ["use-outcome"]);
    assert_eq!(events(&admin, &format!("&signature={}", Sha256([1; 32]))).await, Vec::<String>::new());
    admin.get("/v1/record?kind=none").await.problem(ProblemCode::Invalid);
    admin.get("/v1/record?signature=ab").await.problem(ProblemCode::Invalid);
    admin.get("/v1/record?user=nobody").await.problem(ProblemCode::NotFound);
}

#[tokio::test]
async fn record_is_filtered_by_time() {
    let server = Running::start().await;
    let admin = server.admin().await;
    with_uses(&server, some_key()).await;
    // As if each entry had come two days after the one before.
    let unprotect = match std::env::var("SEALCARD_TEST_DATABASE").as_deref() {
        Ok("postgres") => "ALTER TABLE record DISABLE TRIGGER ALL",
        _ => "DROP TRIGGER record_is_never_changed",
    };
    server.sql(&format!("{unprotect}; UPDATE record SET time = 1700000000 + sequence * 172800;"));
    let at = |sequence: i64| Timestamp::from_unix(1_700_000_000 + sequence * 172_800);
    let numbers = async |query: String| -> Vec<u64> {
        entries(&admin, &query).await.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(format!("&since={}", at(4))).await, [4, 5]);
    assert_eq!(numbers(format!("&until={}", at(2))).await, [1, 2]);
    assert_eq!(numbers(format!("&since={}&until={}", at(2), at(3))).await, [2, 3]);
    assert_eq!(numbers(format!("&since={}&order=newest", at(4))).await, [5, 4]);
    assert_eq!(numbers(format!("&since={}", at(9))).await, Vec::<u64>::new());
    assert_eq!(numbers(format!("&until={}", at(0))).await, Vec::<u64>::new());
}

#[tokio::test]
async fn filtered_pages_follow_one_another() {
    let server = Running::start().await;
    let admin = server.admin().await;
    for _ in 0..3 {
        with_uses(&server, some_key()).await;
    }
    for order in ["oldest", "newest"] {
        let (mut after, mut numbers) = (String::new(), Vec::new());
        loop {
            let path = format!("/v1/record?limit=2&order={order}&kind=denied,outcome{after}");
            let page: Value = admin.get(&path).await.json(StatusCode::OK);
            let items = page["items"].as_array().unwrap();
            numbers.extend(items.iter().map(|line| line["entry"]["sequence"].as_u64().unwrap()));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [4, 5, 8, 9, 12, 13]);
        assert_eq!(numbers.is_sorted(), order == "oldest", "{numbers:?}");
    }
}

#[tokio::test]
async fn auditor_reads_only_the_project() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    let project = add_project(&admin, "release").await;
    add_project(&admin, "other").await;
    add_member(&admin, "release", "alice", "auditor").await;
    let key = add_key(&server, project, "tags", [1; 20]).await;
    let own = SigningKey { project: Named::new(project, "release"), key: Named::new(key, "tags") };
    let [request, ..] = with_uses(&server, own).await;
    let [foreign, ..] = with_uses(&server, some_key()).await;
    let alice = server.login("alice", PASSWORD).await;
    alice.get("/v1/record").await.problem(ProblemCode::Forbidden);
    alice.get(&format!("/v1/record?request={request}")).await.problem(ProblemCode::Forbidden);
    alice.get("/v1/record?project=other").await.problem(ProblemCode::NotFound);
    alice.bare(Method::POST, "/v1/record/verification").await.problem(ProblemCode::Forbidden);
    let of_project = ["project-added", "project-member-added", "use-intent", "use-intent", "use-outcome", "use-denied"];
    assert_eq!(events(&alice, "&project=release").await, of_project);
    assert_eq!(events(&alice, "&key=tags").await, of_project[2..]);
    assert_eq!(events(&alice, &format!("&project=release&request={request}")).await, ["use-intent", "use-outcome"]);
    assert_eq!(events(&alice, &format!("&project=release&request={foreign}")).await, Vec::<String>::new());
    assert_eq!(events(&alice, &format!("&project=release&signature={SIGNATURE}")).await.len(), 1);
    // Whether there is such a user is not told.
    assert_eq!(events(&alice, "&project=release&user=nobody").await, Vec::<String>::new());
    assert_eq!(events(&alice, &format!("&project=release&user={ADMIN}")).await, of_project[..2]);
}

#[tokio::test]
async fn removed_user_is_still_found_in_the_record() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.add_user("alice").await;
    server.login("alice", PASSWORD).await;
    admin.bare(Method::DELETE, "/v1/users/alice").await.done();
    assert_eq!(events(&admin, "&user=alice").await, ["login"]);
}

#[tokio::test]
async fn verification_is_started_once_and_watched_to_its_end() {
    let server = Running::start().await;
    let admin = server.admin().await;
    admin.get("/v1/record/verification").await.problem(ProblemCode::NotFound);
    let requests = with_uses(&server, some_key()).await;
    let started: RecordVerification =
        admin.bare(Method::POST, "/v1/record/verification").await.json(StatusCode::ACCEPTED);
    assert_eq!((started.state, started.total), (VerificationState::Running, 5));
    // A second caller watches the first one's, or starts another if that has ended.
    let second: RecordVerification =
        admin.bare(Method::POST, "/v1/record/verification").await.json(StatusCode::ACCEPTED);
    assert!(second.started >= started.started);
    let began = Instant::now();
    let report = loop {
        let now: RecordVerification = admin.get("/v1/record/verification").await.json(StatusCode::OK);
        match now.state {
            VerificationState::Running => assert!(began.elapsed() < DEADLINE, "{now:?}"),
            VerificationState::Finished => break now.report.unwrap(),
            VerificationState::Failed => panic!("{now:?}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((report.entries, report.unknown, report.more_findings), (5, 0, 0));
    let open = format!("request {}: an intent without an outcome", requests[1]);
    assert!(report.findings.iter().any(|finding| finding.starts_with(&open)), "{:?}", report.findings);
    let mut log = Frontier::new();
    for row in server.store.record(RecordFilter { limit: 500, ..RecordFilter::default() }).await.unwrap() {
        log.append(Hash(row.hash.0)).unwrap();
    }
    assert_eq!(report.root, log.root().to_string());
}
