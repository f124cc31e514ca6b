//! The server's client against a TLS server on this machine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::time::Duration;

use sealcard_api::{
    Bytes,
    algorithm::HashAlgorithm,
    ids::{KeyId, RequestId},
    operations::{SignRequest, SignatureResponse},
    problem::ProblemCode,
};
use sealcard_bridge::{
    config::{Paths, Trust},
    remote::{Remote, RemoteError, Route, UnreachableKind, observe},
};
use support::{Identity, Reply, Server, Workstation, issued};
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

fn signature() -> SignatureResponse {
    SignatureResponse { signature: Bytes(vec![1, 2, 3]), request_id: RequestId::new() }
}

fn request() -> SignRequest {
    SignRequest { hash: HashAlgorithm::Sha256, digest: Bytes(vec![7; 32]), context: None }
}

/// The way without a proxy.
fn directly(server: &str) -> Route {
    let nowhere = Paths::new("/nonexistent/c".into(), "/nonexistent/s".into()).unwrap();
    Route::to(server.parse().unwrap(), &nowhere).unwrap()
}

async fn sign(remote: &Remote) -> Result<SignatureResponse, RemoteError> {
    remote.sign(KeyId::new(), Uuid::new_v4(), &request()).await
}

async fn workstation_pinned_to(server: &Server, identity: &Identity) -> (Workstation, Remote) {
    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let workstation = Workstation::new(&server.url(), trust).with_grant(&server.url(), "token-1");
    let remote = Remote::open(&workstation.paths).unwrap();
    (workstation, remote)
}

#[tokio::test]
async fn a_server_of_the_given_ca_is_trusted_and_gets_the_token() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::ok(&signature())).await;
    let workstation = Workstation::new(&server.url(), Trust::CaFile {})
        .with_ca(&identity.ca_pem)
        .with_grant(&server.url(), "token-1");
    let remote = Remote::open(&workstation.paths).unwrap();
    assert_eq!(remote.registry_version(), None);
    sign(&remote).await.unwrap();
    assert_eq!(remote.registry_version(), Some(7));
    assert_eq!(server.asked()[0].headers["authorization"], "Bearer token-1");
}

#[tokio::test]
async fn a_server_of_another_ca_gets_nothing() {
    let (identity, other) = (Identity::new("localhost"), Identity::new("localhost"));
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::ok(&signature())).await;
    for trust in [Trust::CaFile {}, Trust::System {}] {
        let workstation =
            Workstation::new(&server.url(), trust).with_ca(&other.ca_pem).with_grant(&server.url(), "token-1");
        let error = sign(&Remote::open(&workstation.paths).unwrap()).await.unwrap_err();
        assert!(matches!(error, RemoteError::CertificateChanged(_)), "{error:?}");
        assert!(error.advice().unwrap().contains("sealcard trust"));
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_by_ca_and_accepted_by_fingerprint() {
    let identity = Identity::new("elsewhere.example");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::ok(&signature())).await;
    let by_ca = Workstation::new(&server.url(), Trust::CaFile {})
        .with_ca(&identity.ca_pem)
        .with_grant(&server.url(), "token-1");
    let error = sign(&Remote::open(&by_ca.paths).unwrap()).await.unwrap_err();
    assert!(matches!(error, RemoteError::CertificateChanged(_)), "{error:?}");
    assert!(error.to_string().ends_with("it is for elsewhere.example, not for localhost"), "{error}");
    assert!(error.advice().unwrap().contains("the name that the certificate is for"));
    let (_by_pin, remote) = workstation_pinned_to(&server, &identity).await;
    sign(&remote).await.unwrap();
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_named_as_such() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let workstation = Workstation::new(&url, Trust::System {}).with_grant(&url, "token-1");
    let error = sign(&Remote::open(&workstation.paths).unwrap()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { kind: UnreachableKind::NotTls, .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("can't reach {url}: that port does not speak TLS"));
    task.abort();
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused_and_both_are_named() {
    let (identity, renewed) = (Identity::new("localhost"), Identity::new("localhost"));
    let server = Server::start(renewed.config(&renewed.key), |_, _| Reply::ok(&signature())).await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    match sign(&remote).await.unwrap_err() {
        RemoteError::CertificateChanged(error) => {
            assert_eq!(error.expected, Some(identity.fingerprint()));
            assert_eq!(error.seen, Some(renewed.fingerprint()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.asked().len(), 0);
    assert_eq!(observe(&directly(&server.url())).await.unwrap().certificate().sha256, renewed.fingerprint());
}

#[tokio::test]
async fn a_copied_certificate_without_its_private_key_is_refused() {
    let identity = Identity::new("localhost");
    let thief = rcgen::KeyPair::generate().unwrap();
    let server = Server::start(identity.config(&thief), |_, _| Reply::ok(&signature())).await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    assert!(sign(&remote).await.is_err());
    assert!(observe(&directly(&server.url())).await.is_err());
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_request_whose_connection_broke_is_repeated_once_with_the_same_idempotency_key() {
    let identity = Identity::new("localhost");
    let server =
        Server::start(
            identity.config(&identity.key),
            |number, _| {
                if number == 1 { Reply::Close } else { Reply::ok(&signature()) }
            },
        )
        .await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    let (key, idempotency) = (KeyId::new(), Uuid::new_v4());
    remote.sign(key, idempotency, &request()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    for request in &asked {
        assert_eq!(request.path, format!("/v1/keys/{key}/sign"));
        assert_eq!(request.headers["idempotency-key"], idempotency.to_string());
        assert_eq!(request.body, asked[0].body);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_twice_is_an_error() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::Close).await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    let error = sign(&remote).await.unwrap_err();
    assert!(matches!(error, RemoteError::Unreachable { kind: UnreachableKind::Broken, .. }), "{error:?}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_costs_nothing() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| {
        Reply::JsonThenClose(200, serde_json::to_string(&signature()).unwrap())
    })
    .await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    for _ in 0..10 {
        sign(&remote).await.unwrap();
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |number, _| {
        if number < 4 { Reply::problem(ProblemCode::Overloaded) } else { Reply::ok(&signature()) }
    })
    .await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    sign(&remote).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stays_busy_is_not_waited_for_until_the_time_is_up() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::problem(ProblemCode::Overloaded)).await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    assert_eq!(sign(&remote).await.unwrap_err().code(), Some(ProblemCode::Overloaded));
    assert!(server.asked().len() > 5, "{} attempts", server.asked().len());
}

#[tokio::test]
async fn a_denial_is_not_repeated_and_keeps_its_code() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::problem(ProblemCode::Forbidden)).await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    assert_eq!(sign(&remote).await.unwrap_err().code(), Some(ProblemCode::Forbidden));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_no_sealcard_answer_is_told_from_a_problem() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |number, _| match number {
        1 => Reply::Json(502, "<html>Bad gateway</html>".to_owned()),
        _ => Reply::Json(200, "{}".to_owned()),
    })
    .await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    for _ in 0..2 {
        let error = sign(&remote).await.unwrap_err();
        assert!(matches!(error, RemoteError::BadAnswer { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cases = [
        (format!("https://127.0.0.1:{closed}"), UnreachableKind::Refused),
        ("https://no-such-host.invalid".to_owned(), UnreachableKind::Name),
    ];
    for (server, expected) in cases {
        let trust = Trust::Certificate { sha256: Identity::new("localhost").fingerprint() };
        let workstation = Workstation::new(&server, trust).with_grant(&server, "token-1");
        match sign(&Remote::open(&workstation.paths).unwrap()).await.unwrap_err() {
            RemoteError::Unreachable { kind, .. } => assert_eq!(kind, expected),
            other => panic!("{other:?}"),
        }
        match observe(&directly(&server)).await.unwrap_err() {
            RemoteError::Unreachable { kind, .. } => assert_eq!(kind, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_machine_without_login_says_so_and_notices_a_later_login() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::ok(&signature())).await;
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path().join("config"), folder.path().join("state")).unwrap();
    let remote = Remote::open(&paths).unwrap();
    assert!(matches!(sign(&remote).await.unwrap_err(), RemoteError::NotLoggedIn { reason: None }));

    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let (config, store) = (trust, sealcard_bridge::config::GrantStore::File);
    sealcard_bridge::config::Config {
        server: server.url(),
        user: None,
        grant_store: store,
        notify_waiting: true,
        trust: config,
    }
    .save(&paths)
    .unwrap();
    assert!(matches!(sign(&remote).await.unwrap_err(), RemoteError::NotLoggedIn { reason: None }));
    let grant = sealcard_bridge::grant::Grant::new(server.url(), issued("token-1", 0, 3600)).unwrap();
    sealcard_bridge::grant::save(&paths, store, &grant).unwrap();
    sign(&remote).await.unwrap();
}

#[tokio::test]
async fn a_grant_of_another_server_is_never_sent() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::ok(&signature())).await;
    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let workstation = Workstation::new(&server.url(), trust).with_grant("https://other.example", "token-1");
    let error = sign(&Remote::open(&workstation.paths).unwrap()).await.unwrap_err();
    assert!(matches!(error, RemoteError::NotLoggedIn { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_refused_grant_is_replaced_by_a_newer_one_of_the_store_or_the_person_is_told() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, asked| {
        if asked.headers["authorization"] == "Bearer token-2" {
            Reply::ok(&signature())
        } else {
            Reply::problem(ProblemCode::GrantRevoked)
        }
    })
    .await;
    let (workstation, remote) = workstation_pinned_to(&server, &identity).await;
    match sign(&remote).await.unwrap_err() {
        RemoteError::NotLoggedIn { reason: Some(problem) } => assert_eq!(problem.code, ProblemCode::GrantRevoked),
        other => panic!("{other:?}"),
    }
    // The remote has read token-1 again by the next request; meanwhile someone logs in.
    assert!(sign(&remote).await.is_err());
    workstation.store(&server.url(), issued("token-2", 0, 3600));
    sign(&remote).await.unwrap();
}

#[tokio::test]
async fn a_grant_past_half_of_its_time_is_renewed_in_the_background() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, asked| match asked.path.as_str() {
        "/v1/grants/refresh" => Reply::ok(&issued("token-2", 0, 3600)),
        _ => Reply::ok(&signature()),
    })
    .await;
    let (workstation, remote) = workstation_pinned_to(&server, &identity).await;
    workstation.store_due(&server.url(), "token-1");
    sign(&remote).await.unwrap();
    remote.settle().await;
    assert!(
        workstation
            .stored()
            .same_token(&sealcard_bridge::grant::Grant::new(server.url(), issued("token-2", 0, 3600)).unwrap())
    );
    sign(&remote).await.unwrap();
    let tokens: Vec<_> =
        server.asked().iter().map(|asked| (asked.path.len() > 20, asked.headers["authorization"].clone())).collect();
    assert_eq!(tokens.last().unwrap().1, "Bearer token-2");
    assert_eq!(server.asked().iter().filter(|asked| asked.path == "/v1/grants/refresh").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_at_once_renew_a_grant_once_and_none_loses_it() {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, asked| match asked.path.as_str() {
        "/v1/grants/refresh" => Reply::ok(&issued("token-2", 0, 3600)),
        _ => Reply::ok(&issued("", 0, 3600).grant),
    })
    .await;
    let (workstation, _remote) = workstation_pinned_to(&server, &identity).await;
    workstation.store_due(&server.url(), "token-1");
    let mut processes = Vec::new();
    for _ in 0..8 {
        let process = tokio::process::Command::new(env!("CARGO_BIN_EXE_sealcard"))
            .arg("status")
            .env("SEALCARD_CONFIG_FOLDER", workstation.paths.config_folder())
            .env("SEALCARD_STATE_FOLDER", workstation.paths.state_folder())
            .env("GNUPGHOME", workstation.folder.path())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(std::process::Stdio::null())
            .output();
        processes.push(tokio::spawn(tokio::time::timeout(Duration::from_secs(60), process)));
    }
    for process in processes {
        let output = process.await.unwrap().unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(server.asked().iter().filter(|asked| asked.path == "/v1/grants/refresh").count(), 1);
    let renewed = sealcard_bridge::grant::Grant::new(server.url(), issued("token-2", 0, 3600)).unwrap();
    assert!(workstation.stored().same_token(&renewed));
}

#[tokio::test]
async fn a_batch_with_another_number_of_results_is_no_answer() {
    use sealcard_api::operations::{SignBatchItem, SignBatchRequest, SignBatchResponse, SignBatchResult};
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, asked| {
        assert!(!asked.headers.contains_key("idempotency-key"));
        Reply::ok(&SignBatchResponse { results: vec![SignBatchResult::Signed(signature())] })
    })
    .await;
    let (_workstation, remote) = workstation_pinned_to(&server, &identity).await;
    let item =
        || SignBatchItem { idempotency_key: Uuid::new_v4(), hash: HashAlgorithm::Sha256, digest: Bytes(vec![7; 32]) };
    let one = SignBatchRequest { items: vec![item()], context: None };
    assert_eq!(remote.sign_batch(KeyId::new(), &one).await.unwrap().len(), 1);
    let two = SignBatchRequest { items: vec![item(), item()], context: None };
    let error = remote.sign_batch(KeyId::new(), &two).await.unwrap_err();
    assert!(matches!(error, RemoteError::BadAnswer { .. }), "{error:?}");
}
