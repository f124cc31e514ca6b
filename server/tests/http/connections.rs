//! Limits of time and number, and stopping.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use reqwest::{Method, StatusCode};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sealcard_api::{
    admin::{Group, Page, User},
    problem::{Problem, ProblemCode},
};
use sealcard_server::tls::CA_FILE;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::harness::{DEADLINE, PASSWORD, Running, Session};

async fn connect(server: &Running) -> TlsStream<TcpStream> {
    try_connect(server).await.unwrap()
}

async fn try_connect(server: &Running) -> io::Result<TlsStream<TcpStream>> {
    tls(server, TcpStream::connect(server.address).await.unwrap()).await
}

/// The server's TLS on a connection.
pub(crate) async fn tls(server: &Running, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.folder.path().join(CA_FILE)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Where requests come from.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Everything until the server closes.
async fn read_to_close(stream: &mut TlsStream<TcpStream>) -> String {
    let mut out = Vec::new();
    match timeout(DEADLINE, stream.read_to_end(&mut out)).await.expect("the server closes in time") {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads one answer with a Content-Length or none.
async fn read_answer(stream: &mut TlsStream<TcpStream>) -> String {
    let mut out = Vec::new();
    while !out.ends_with(b"\r\n\r\n") {
        out.push(timeout(DEADLINE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(out).unwrap()
}

fn problem_of(answer: &str) -> Problem {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn a_slow_head_ends_the_connection_and_a_quiet_one_between_requests_does_not() {
    let server = Running::with(|limits| limits.head_seconds = 1).await;
    let mut slow = connect(&server).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let started = Instant::now();
    assert_eq!(read_to_close(&mut slow).await, "");
    assert!(started.elapsed() < Duration::from_secs(10));

    // Idle for longer than a head may take: the slow one and the one without a login give the time.
    let admin = server.admin().await;
    let request = format!("HEAD /v1/cards HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", admin.token);
    let (mut idle, mut anonymous) = (connect(&server).await, connect(&server).await);
    idle.write_all(request.as_bytes()).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    anonymous.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut anonymous).await.starts_with("HTTP/1.1 204"));
    let mut slow = connect(&server).await;
    slow.write_all(b"GET /heal").await.unwrap();
    assert_eq!(read_to_close(&mut slow).await, "");
    assert_eq!(read_to_close(&mut anonymous).await, "");
    idle.write_all(request.as_bytes()).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_trickles_in_does_not_gain_time_with_each_byte() {
    let server = Running::with(|limits| limits.head_seconds = 1).await;
    let mut slow = connect(&server).await;
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let closed = timeout(DEADLINE, async {
        loop {
            ticks.tick().await;
            let mut byte = [0];
            let written = slow.write_all(b"x").await;
            let read = timeout(Duration::from_millis(1), slow.read(&mut byte)).await;
            if written.is_err() || matches!(read, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
    });
    closed.await.expect("the server closes");
    assert!(started.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let server = Running::with(|limits| limits.idle_seconds = 1).await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut idle).await.starts_with("HTTP/1.1 204"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_timeout() {
    body_times_out(&Running::with(|limits| limits.request_seconds = 1).await).await;
    // Without a login it has less time than other requests.
    body_times_out(&Running::with(|limits| limits.head_seconds = 1).await).await;
}

async fn body_times_out(server: &Running) {
    let mut stream = connect(server).await;
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_to_close(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(problem_of(&answer).code, ProblemCode::Timeout);
}

/// A request whose body does not come, once the server has asked for it.
async fn without_body(server: &Running, path: &str, token: Option<&str>) -> TlsStream<TcpStream> {
    let mut stream = connect(server).await;
    let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/json\r\ncontent-length: 9\r\n\
         expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream
}

#[tokio::test]
async fn requests_whose_bodies_do_not_come_keep_nobody_out() {
    let server = Running::with(|limits| limits.requests = 2).await;
    let admin = server.admin().await;
    admin.add_user("other").await;
    let other = server.login("other", PASSWORD).await;
    let mut slow = Vec::new();
    for _ in 0..6 {
        slow.push(without_body(&server, "/v1/login", None).await);
        slow.push(without_body(&server, "/v1/groups", Some(&admin.token)).await);
        slow.push(without_body(&server, "/v1/groups", Some(&other.token)).await);
    }
    let _: Page<User> = admin.get("/v1/users").await.json(StatusCode::OK);
    let _ = server.login("other", PASSWORD).await;
    for mut stream in slow {
        stream.write_all(b"{}       ").await.unwrap();
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 4"));
    }
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_to_come_again() {
    let server = Running::with(|limits| (limits.requests, limits.password_checks) = (1, 1)).await;
    // A login waits until the password of another one was checked.
    let check = server.state.authentication.passwords.permit(LOOPBACK).await.unwrap();
    let waiting = tokio::spawn({
        let (client, url) = (server.client().clone(), server.url("/v1/login"));
        let body = json!({"type": "password", "user": "nobody", "password": PASSWORD, "label": "test"});
        async move { client.post(url).json(&body).send().await.unwrap().status() }
    });
    let overloaded = async {
        loop {
            let response = server.client().get(server.url("/v1/server")).send().await.unwrap();
            if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                return response;
            }
        }
    };
    let response = timeout(DEADLINE, overloaded).await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    let problem: Problem = response.json().await.unwrap();
    assert_eq!(problem.code, ProblemCode::Overloaded);

    drop(check);
    assert_eq!(timeout(DEADLINE, waiting).await.unwrap().unwrap(), StatusCode::UNAUTHORIZED);
    let response = server.client().get(server.url("/v1/server")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn idle_connections_without_a_login_make_room_for_others() {
    let server = Running::with(|limits| (limits.connections, limits.head_seconds) = (6, 60)).await;
    let admin = server.admin().await;
    let _: Page<User> = admin.get("/v1/users").await.json(StatusCode::OK);
    let mut idle = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(&server).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 204"));
        idle.push(stream);
    }
    // All places are taken. One that has just become idle is not closed at once.
    let another = async { while try_connect(&server).await.is_err() {} };
    timeout(DEADLINE, another).await.unwrap();
    assert_eq!(read_to_close(&mut idle[0]).await, "");
    // The connection with a login is still there: a new one would close another of them.
    let _: Page<User> = admin.get("/v1/users").await.json(StatusCode::OK);
}

#[tokio::test]
async fn nonsense_on_a_connection_ends_it_and_the_server_lives() {
    let server = Running::start().await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut out = Vec::new();
    let _ = timeout(DEADLINE, tcp.read_to_end(&mut out)).await.expect("the server closes in time");
    let mut tls = connect(&server).await;
    tls.write_all(b"\x16\x03\x01 nonsense\r\n\r\n").await.unwrap();
    assert!(read_to_close(&mut tls).await.starts_with("HTTP/1.1 400"));
    let response = server.client().get(server.url("/healthz")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn answers_without_a_login_beyond_the_rate_are_late() {
    let server = Running::with(|limits| limits.anonymous_requests = 1).await;
    let mut stranger = connect(&server).await;
    let started = Instant::now();
    // Two seconds' answers are given in advance; the fourth waits.
    for _ in 0..4 {
        stranger.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(read_answer(&mut stranger).await.starts_with("HTTP/1.1 204"));
    }
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn stopping_lets_a_running_request_end_and_closes_idle_connections() {
    let server = Running::start().await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 204"));
    let mut busy = connect(&server).await;
    let head = "POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: \
        100-continue\r\n\r\n";
    busy.write_all(head.as_bytes()).await.unwrap();
    assert!(read_answer(&mut busy).await.starts_with("HTTP/1.1 100"));

    let stopping = tokio::spawn(server.stop());
    assert_eq!(read_to_close(&mut idle).await, "", "an idle connection is closed at once");
    busy.write_all(b"{}").await.unwrap();
    assert!(read_to_close(&mut busy).await.starts_with("HTTP/1.1 400"));
    assert!(timeout(DEADLINE, stopping).await.unwrap().unwrap());
}

/// Longer than a body may take without its sender being judged again.
const TAKES_ITS_TIME: Duration = Duration::from_millis(50);

/// A request whose head is let in, and whose body comes when the test wants it to.
struct Halved {
    stream: TlsStream<TcpStream>,
    rest: String,
}

impl Halved {
    async fn begin(server: &Running, session: &Session<'_>, path: &str, body: &str) -> Self {
        let mut stream = connect(server).await;
        let (token, length) = (&session.token, body.len());
        let (first, rest) = body.split_at(length - 1);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The body is asked for when the caller has been judged.
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 100"));
        stream.write_all(first.as_bytes()).await.unwrap();
        tokio::time::sleep(TAKES_ITS_TIME).await;
        Self { stream, rest: rest.to_owned() }
    }

    async fn end(mut self) -> String {
        self.stream.write_all(self.rest.as_bytes()).await.unwrap();
        read_to_close(&mut self.stream).await
    }
}

#[tokio::test]
async fn what_is_taken_away_while_a_body_comes_does_not_count_any_more() {
    let server = Running::start().await;
    let admin = server.admin().await;
    let body = |name: &str| format!(r#"{{"name": "{name}"}}"#);

    let kept = Halved::begin(&server, &admin, "/v1/groups", &body("kept")).await;
    let answer = kept.end().await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");

    admin.add_user("other").await;
    let _: User = admin
        .send(Method::PATCH, "/v1/users/other", json!({"add_roles": ["administrator"]}))
        .await
        .json(StatusCode::OK);
    let other = server.login("other", PASSWORD).await;
    let less = Halved::begin(&server, &other, "/v1/groups", &body("less")).await;
    let revoked = Halved::begin(&server, &other, "/v1/groups", &body("revoked")).await;
    let _: User = admin
        .send(Method::PATCH, "/v1/users/other", json!({"remove_roles": ["administrator"]}))
        .await
        .json(StatusCode::OK);
    let less = problem_of(&less.end().await);
    assert_eq!(less.code, ProblemCode::Forbidden);
    assert!(less.detail.as_ref().is_some_and(|detail| detail.contains("Only administrators")), "{less:?}");
    admin.bare(Method::DELETE, &format!("/v1/grants/{}", other.issued.grant.id)).await.done();
    assert_eq!(problem_of(&revoked.end().await).code, ProblemCode::GrantRevoked);
    let groups: Page<Group> = admin.get("/v1/groups").await.json(StatusCode::OK);
    assert_eq!(groups.items.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["kept"]);
}
