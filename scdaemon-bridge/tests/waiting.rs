//! Uses that wait for people, against a TLS server on this machine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealcard_api::{
    Bytes, Timestamp,
    algorithm::HashAlgorithm,
    approvals::WaitingUse,
    ids::{ApprovalId, KeyId, PrincipalId, RequestId},
    operations::{SignBatchItem, SignBatchRequest, SignBatchResponse, SignBatchResult, SignRequest, SignatureResponse},
    problem::ProblemCode,
    record::RequestState,
    requests::SigningRequest,
};
use sealcard_bridge::{
    config::Trust,
    remote::{Remote, RemoteError, WaitEnd, WaitObserver},
};
use support::{Asked, Identity, Reply, Server, Workstation};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(20);

/// What a wait is told to.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl WaitObserver for Heard {
    fn waits(&self, waiting: &WaitingUse, _: Timestamp) {
        self.0.lock().unwrap().push(format!("waits for {}", waiting.wants.join(", ")));
    }

    fn ended(&self, _: &WaitingUse, end: &WaitEnd) {
        self.0.lock().unwrap().push(format!("{end:?}"));
    }
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn waiting(seconds: i64) -> WaitingUse {
    let now = Timestamp::now().unix();
    WaitingUse {
        request_id: RequestId::new(),
        approval: ApprovalId::new(),
        wants: vec!["the approval of 2 members of approvers".to_owned()],
        approvers: vec!["anna".to_owned(), "ben".to_owned()],
        deadline: Timestamp::from_unix(now + seconds),
        expires: Timestamp::from_unix(now + 3600),
    }
}

fn accepted(waiting: &WaitingUse) -> Reply {
    Reply::Json(202, serde_json::to_string(waiting).unwrap())
}

fn state(asked: &Asked, state: RequestState) -> Reply {
    let id = asked.path.split(['/', '?']).nth(3).unwrap().parse().unwrap();
    Reply::ok(&SigningRequest {
        id,
        state,
        principal: PrincipalId::new(),
        project: None,
        key: KeyId::new(),
        operation: "sign".to_owned(),
        approval: None,
        rejection: (state == RequestState::Rejected).then(|| "anna rejected it: wrong commit".to_owned()),
        signature: None,
    })
}

fn signature() -> SignatureResponse {
    SignatureResponse { signature: Bytes(vec![1, 2, 3]), request_id: RequestId::new() }
}

fn request() -> SignRequest {
    SignRequest { hash: HashAlgorithm::Sha256, digest: Bytes(vec![7; 32]), context: None }
}

struct Setup {
    server: Server,
    remote: Remote,
    heard: Arc<Heard>,
    _workstation: Workstation,
}

impl Setup {
    async fn new(behaviour: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let identity = Identity::new("localhost");
        let server = Server::start(identity.config(&identity.key), behaviour).await;
        let trust = Trust::Certificate { sha256: identity.fingerprint() };
        let workstation = Workstation::new(&server.url(), trust).with_grant(&server.url(), "token-1");
        let heard = Arc::new(Heard::default());
        let remote = Remote::open(&workstation.paths).unwrap().observed_by(Arc::<Heard>::clone(&heard));
        Self { server, remote, heard, _workstation: workstation }
    }

    async fn sign(&self) -> Result<SignatureResponse, RemoteError> {
        tokio::time::timeout(DEADLINE, self.remote.sign(KeyId::new(), Uuid::now_v7(), &request())).await.unwrap()
    }

    fn asked(&self, method: &str) -> Vec<Asked> {
        self.server.asked().into_iter().filter(|asked| asked.method == method).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !holds() {
            assert!(Instant::now() < end, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn approved_use_is_sent_again_with_the_same_key_and_body() {
    let first = waiting(60);
    let setup = Setup::new(move |number, asked| match (asked.method.as_str(), number) {
        ("POST", 1) => accepted(&first),
        ("POST", _) => Reply::ok(&signature()),
        // The first answer comes at once: nobody has decided by then.
        (_, 2) => state(asked, RequestState::Waiting),
        _ => state(asked, RequestState::Approved),
    })
    .await;
    setup.sign().await.unwrap();
    let posts = setup.asked("POST");
    assert_eq!(posts.len(), 2);
    assert_eq!((&posts[0].path, &posts[0].body), (&posts[1].path, &posts[1].body));
    assert_eq!(posts[0].headers["idempotency-key"], posts[1].headers["idempotency-key"]);
    let polls = setup.asked("GET");
    assert!(polls.len() == 2 && polls.iter().all(|asked| asked.path.ends_with("?wait=25")), "{polls:?}");
    assert_eq!(setup.heard.all(), ["waits for the approval of 2 members of approvers", "Approved"]);
    assert!(setup.asked("DELETE").is_empty());
}

#[tokio::test]
async fn use_that_waits_for_something_else_then_waits_again() {
    let (first, second) = (waiting(60), WaitingUse { wants: vec!["another approval".to_owned()], ..waiting(60) });
    let ids = (first.request_id, second.request_id);
    let setup = Setup::new(move |number, asked| match (asked.method.as_str(), number) {
        ("POST", 1) => accepted(&first),
        ("POST", 3) => accepted(&second),
        ("POST", _) => Reply::ok(&signature()),
        _ => state(asked, RequestState::Approved),
    })
    .await;
    setup.sign().await.unwrap();
    let polls = setup.asked("GET");
    assert!(polls[0].path.contains(&ids.0.to_string()) && polls[1].path.contains(&ids.1.to_string()));
    let expected = ["waits for the approval of 2 members of approvers", "waits for another approval", "Approved"];
    assert_eq!(setup.heard.all(), expected);
}

#[tokio::test]
async fn rejected_use_names_who_rejected_it_and_why() {
    let first = waiting(60);
    let id = first.request_id;
    let setup = Setup::new(move |number, asked| match number {
        1 => accepted(&first),
        _ => state(asked, RequestState::Rejected),
    })
    .await;
    let error = setup.sign().await.unwrap_err();
    assert_eq!((error.code(), error.request_id()), (Some(ProblemCode::Rejected), Some(id)));
    assert!(error.to_string().contains("anna rejected it: wrong commit"), "{error}");
    assert!(setup.asked("DELETE").is_empty());
    assert!(setup.heard.all()[1].starts_with("Rejected("));
}

#[tokio::test]
async fn use_that_nobody_decides_says_how_to_go_on() {
    let first = waiting(1);
    let command = format!("sealcard approve {}", sealcard_bridge::waiting::short_id(first.approval));
    let setup = Setup::new(move |number, asked| match number {
        1 => accepted(&first),
        _ => state(asked, RequestState::Waiting),
    })
    .await;
    let error = setup.sign().await.unwrap_err();
    assert!(matches!(error, RemoteError::Undecided { .. }), "{error:?}");
    assert!(error.to_string().contains(&command) && error.advice().unwrap().contains("again"), "{error}");
    // It can be approved later still.
    assert!(setup.asked("DELETE").is_empty());
    assert_eq!(setup.heard.all()[1], "Undecided");
}

#[tokio::test]
async fn request_that_ended_at_the_server_is_not_waited_for() {
    for end in [RequestState::Expired, RequestState::Cancelled] {
        let first = waiting(60);
        let setup = Setup::new(move |number, asked| match number {
            1 => accepted(&first),
            _ => state(asked, end),
        })
        .await;
        let error = setup.sign().await.unwrap_err();
        match end {
            RequestState::Expired => assert!(matches!(error, RemoteError::Undecided { .. }), "{error:?}"),
            _ => assert!(matches!(error, RemoteError::GivenUp { .. }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn denied_use_gets_the_answer_to_the_use_itself() {
    let first = waiting(60);
    let setup = Setup::new(move |number, asked| match (asked.method.as_str(), number) {
        ("POST", 1) => accepted(&first),
        ("POST", _) => Reply::problem(ProblemCode::Forbidden),
        _ => state(asked, RequestState::Denied),
    })
    .await;
    assert_eq!(setup.sign().await.unwrap_err().code(), Some(ProblemCode::Forbidden));
}

#[tokio::test]
async fn broken_connections_and_a_restart_do_not_end_the_wait() {
    let first = waiting(60);
    let setup = Setup::new(move |number, asked| match (asked.method.as_str(), number) {
        ("POST", 1) => accepted(&first),
        (_, 2) => Reply::Close,
        (_, 3) => Reply::problem(ProblemCode::Overloaded),
        (_, 4) => Reply::Json(502, "<html>Bad gateway</html>".to_owned()),
        ("GET", _) => state(asked, RequestState::Approved),
        // Twice each: one broken connection is repaired at once.
        (_, 6..=8) => Reply::Close,
        _ => Reply::ok(&signature()),
    })
    .await;
    setup.sign().await.unwrap();
    assert_eq!(setup.heard.all()[1], "Approved");
}

#[tokio::test]
async fn server_that_is_started_again_is_found_again() {
    let (identity, first) = (Identity::new("localhost"), waiting(60));
    let server = Server::start(identity.config(&identity.key), {
        let first = first.clone();
        move |number, _| if number == 1 { accepted(&first) } else { Reply::Close }
    })
    .await;
    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let workstation = Workstation::new(&server.url(), trust).with_grant(&server.url(), "token-1");
    let remote = Remote::open(&workstation.paths).unwrap();
    let signing = tokio::spawn(async move { remote.sign(KeyId::new(), Uuid::now_v7(), &request()).await });
    let end = Instant::now() + DEADLINE;
    while server.asked().len() < 2 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let port = server.port;
    drop(server);
    // Nobody listens for a while.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!signing.is_finished());
    let again = Server::start_on(port, identity.config(&identity.key), |_, asked| match asked.method.as_str() {
        "GET" => state(asked, RequestState::Approved),
        _ => Reply::ok(&signature()),
    })
    .await;
    tokio::time::timeout(DEADLINE, signing).await.unwrap().unwrap().unwrap();
    assert_eq!(again.asked().len(), 2);
}

#[tokio::test]
async fn dropped_use_is_given_up_at_the_server() {
    let first = waiting(60);
    let path = format!("/v1/requests/{}", first.request_id);
    let setup = Setup::new(move |number, asked| match (asked.method.as_str(), number) {
        (_, 1) => accepted(&first),
        ("DELETE", _) => Reply::Json(204, String::new()),
        _ => state(asked, RequestState::Waiting),
    })
    .await;
    let remote = setup.remote.clone();
    let signing = tokio::spawn(async move { remote.sign(KeyId::new(), Uuid::now_v7(), &request()).await });
    setup.until("a poll", || !setup.asked("GET").is_empty()).await;
    signing.abort();
    let _ = signing.await;
    setup.remote.settle().await;
    let given_up = setup.asked("DELETE");
    assert!(given_up.len() == 1 && given_up[0].path == path, "{given_up:?}");
    assert_eq!(setup.heard.all()[1], "GivenUp");
}

#[tokio::test]
async fn own_limit_ends_the_wait_and_leaves_the_request() {
    let first = waiting(60);
    let setup = Setup::new(move |number, asked| match number {
        1 => accepted(&first),
        _ => state(asked, RequestState::Waiting),
    })
    .await;
    let remote = setup.remote.waiting_at_most(Duration::ZERO);
    let error = remote.sign(KeyId::new(), Uuid::now_v7(), &request()).await.unwrap_err();
    assert!(
        error.to_string().starts_with("it waits for the approval of 2 members of approvers (anna, ben)"),
        "{error}"
    );
    assert_eq!(setup.server.asked().len(), 1);
}

#[tokio::test]
async fn items_of_a_batch_that_wait_go_on_at_once_and_alone() {
    let (one, other) = (waiting(60), waiting(60));
    let approved = Arc::new(AtomicBool::new(false));
    let setup = Setup::new({
        let (one, other, approved) = (one.clone(), other.clone(), Arc::clone(&approved));
        move |_, asked| match asked.method.as_str() {
            "POST" if asked.path.ends_with("sign-batch") => Reply::ok(&SignBatchResponse {
                results: vec![
                    SignBatchResult::Waiting(one.clone()),
                    SignBatchResult::Signed(signature()),
                    SignBatchResult::Waiting(other.clone()),
                ],
            }),
            "POST" => Reply::ok(&signature()),
            _ if asked.path.contains(&other.request_id.to_string()) => state(asked, RequestState::Rejected),
            _ if approved.load(Ordering::Relaxed) => state(asked, RequestState::Approved),
            _ => state(asked, RequestState::Waiting),
        }
    })
    .await;
    let key = KeyId::new();
    let item =
        || SignBatchItem { idempotency_key: Uuid::now_v7(), hash: HashAlgorithm::Sha256, digest: Bytes(vec![7; 32]) };
    let batch = SignBatchRequest { items: vec![item(), item(), item()], context: None };
    let results = setup.remote.sign_batch(key, &batch).await.unwrap();
    let wait = |at: usize| {
        let (remote, once) = (setup.remote.clone(), batch.items[at].idempotency_key);
        let SignBatchResult::Waiting(waiting) = results[at].clone() else { panic!("{:?}", results[at]) };
        tokio::spawn(async move { remote.sign_waiting(key, once, &request(), waiting).await })
    };
    let (first, third) = (wait(0), wait(2));
    let rejected = tokio::time::timeout(DEADLINE, third).await.unwrap().unwrap().unwrap_err();
    assert_eq!(rejected.code(), Some(ProblemCode::Rejected));
    assert!(!first.is_finished());
    approved.store(true, Ordering::Relaxed);
    tokio::time::timeout(DEADLINE, first).await.unwrap().unwrap().unwrap();
    let again = setup.asked("POST").pop().unwrap();
    assert_eq!(again.headers["idempotency-key"], batch.items[0].idempotency_key.to_string());
    assert_eq!(again.path, format!("/v1/keys/{key}/sign"));
}

/// The server's clock counts: one that is an hour ahead does not lengthen the wait.
#[tokio::test]
async fn deadline_is_one_of_the_servers_clock() {
    let ahead = WaitingUse { deadline: Timestamp::from_unix(Timestamp::now().unix() + 3601), ..waiting(0) };
    let setup = Setup::new(move |number, asked| match number {
        1 => accepted(&ahead),
        _ => state(asked, RequestState::Waiting),
    })
    .await;
    setup.server.set_clock_ahead(3600);
    let error = setup.sign().await.unwrap_err();
    assert!(matches!(error, RemoteError::Undecided { .. }), "{error:?}");
}
