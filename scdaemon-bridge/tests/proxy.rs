//! The way to the server through an HTTP proxy.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use sealcard_api::ids::KeyId;
use sealcard_bridge::{
    config::{Exceptions, Proxy, ProxyChoice, Trust},
    remote::{Remote, RemoteError, Route, UnreachableKind, observe},
};
use support::{
    Identity, Reply, Server, Workstation, issued,
    person::{Person, server, text},
    proxy::Proxy as ProxyServer,
};

/// `jane:s3cret` in base64.
const JANE: &str = "Basic amFuZTpzM2NyZXQ=";

fn choose(workstation: &Workstation, address: &str, except: &str) {
    let proxy = Proxy::parse(address).unwrap().with_exceptions(Exceptions::parse(except));
    ProxyChoice::Through(Box::new(proxy)).save(&workstation.paths).unwrap();
}

async fn trusted() -> (Server, Workstation, Remote) {
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |_, _| Reply::ok(&issued("", 0, 3600).grant)).await;
    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let workstation = Workstation::new(&server.url(), trust).with_grant(&server.url(), "token-1");
    let remote = Remote::open(&workstation.paths).unwrap();
    (server, workstation, remote)
}

#[tokio::test]
async fn a_request_goes_through_the_proxy_with_its_password_and_nobody_else_gets_that() {
    let proxy = ProxyServer::start(Some(JANE)).await;
    let (server, workstation, remote) = trusted().await;
    choose(&workstation, &format!("http://jane:s3cret@127.0.0.1:{}", proxy.port), "");
    remote.whoami().await.unwrap();
    assert_eq!(proxy.asked(), [format!("CONNECT localhost:{} HTTP/1.1", server.port)]);
    assert!(!server.asked()[0].headers.contains_key("proxy-authorization"));
    let route = Route::to(server.url().parse().unwrap(), &workstation.paths).unwrap();
    observe(&route).await.unwrap();
    assert_eq!(proxy.asked().len(), 2);
}

#[tokio::test]
async fn a_choice_made_while_a_scdaemon_runs_holds_for_its_next_request() {
    let proxy = ProxyServer::start(None).await;
    let (_server, workstation, remote) = trusted().await;
    remote.whoami().await.unwrap();
    assert!(proxy.asked().is_empty());
    choose(&workstation, &proxy.url(), "");
    remote.whoami().await.unwrap();
    assert_eq!(proxy.asked().len(), 1);
    ProxyChoice::Direct.save(&workstation.paths).unwrap();
    remote.whoami().await.unwrap();
    assert_eq!(proxy.asked().len(), 1);
}

#[tokio::test]
async fn an_excepted_server_is_reached_directly() {
    let (_server, workstation, remote) = trusted().await;
    choose(&workstation, "http://127.0.0.1:1", "localhost");
    remote.whoami().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_not_there_is_named_and_no_password_is() {
    let proxy = ProxyServer::start(Some(JANE)).await;
    let (_server, workstation, remote) = trusted().await;
    for (address, expected) in [
        (format!("http://jane:wr0ng@127.0.0.1:{}", proxy.port), UnreachableKind::Proxy),
        ("http://jane:wr0ng@127.0.0.1:1".to_owned(), UnreachableKind::Refused),
        ("http://jane:wr0ng@no-such-host.invalid:1".to_owned(), UnreachableKind::Name),
    ] {
        choose(&workstation, &address, "");
        let route = Route::to("https://localhost:1".parse().unwrap(), &workstation.paths).unwrap();
        for error in [remote.whoami().await.unwrap_err(), observe(&route).await.unwrap_err()] {
            match &error {
                RemoteError::Unreachable { kind, server, .. } => {
                    assert_eq!(*kind, expected, "{error}");
                    assert!(server.contains("through the proxy"), "{error}");
                }
                other => panic!("{other:?}"),
            }
            assert!(!format!("{error} {error:?}").contains("wr0ng"));
        }
    }
}

#[tokio::test]
async fn a_signature_through_a_proxy_is_repeated_as_any_other() {
    let proxy = ProxyServer::start(None).await;
    let identity = Identity::new("localhost");
    let server = Server::start(identity.config(&identity.key), |number, _| match number {
        1 => Reply::Close,
        _ => Reply::Json(200, r#"{"signature":"AQ==","request_id":"00000000-0000-4000-8000-000000000000"}"#.to_owned()),
    })
    .await;
    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let workstation = Workstation::new(&server.url(), trust).with_grant(&server.url(), "token-1");
    choose(&workstation, &proxy.url(), "");
    let request = sealcard_api::operations::SignRequest {
        hash: sealcard_api::algorithm::HashAlgorithm::Sha256,
        digest: sealcard_api::Bytes(vec![7; 32]),
        context: None,
    };
    let remote = Remote::open(&workstation.paths).unwrap();
    remote.sign(KeyId::new(), uuid::Uuid::new_v4(), &request).await.unwrap();
    let keys: Vec<_> = server.asked().iter().map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
}

#[tokio::test]
async fn a_login_adopts_the_environments_proxy_for_commands_and_scdaemon_that_lack_it() {
    let proxy = ProxyServer::start(Some(JANE)).await;
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = Person::new()
        .with("HTTPS_PROXY", format!("http://jane:s3cret@127.0.0.1:{}", proxy.port))
        .with("NO_PROXY", "x.y");
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    let output = person.run(&login, "wrong battery\n").await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(!person.paths().proxy_file().exists(), "a failed login left its proxy");
    let output = person.run(&login, "correct horse\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));

    let person = person.without_variables();
    let before = proxy.asked().len();
    assert_eq!(person.run(&["status"], "").await.status.code(), Some(0));
    // The question who is logged in, and the look at the certificate.
    assert_eq!(proxy.asked().len(), before + 2);
    for arguments in [&["proxy"][..], &["proxy", "show", "--json"], &["doctor"]] {
        let shown = text(&person.run(arguments, "").await);
        assert!(shown.contains(&proxy.url()) && !shown.contains("s3cret") && !shown.contains("amFuZ"), "{shown}");
    }
    assert_eq!(person.run(&["proxy", "unset"], "").await.status.code(), Some(0));
    let before = proxy.asked().len();
    assert_eq!(person.run(&["status"], "").await.status.code(), Some(0));
    assert_eq!(proxy.asked().len(), before);
}

#[tokio::test]
async fn a_proxy_is_set_by_hand_with_a_password_that_stays_off_the_command_line() {
    use std::os::unix::fs::PermissionsExt as _;
    let proxy = ProxyServer::start(Some(JANE)).await;
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = Person::new();
    let visible = format!("http://jane:s3cret@127.0.0.1:{}", proxy.port);
    let output = person.run(&["proxy", "set", &visible], "").await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let url = proxy.url();
    let set = ["proxy", "set", &url, "--user", "jane", "--password-file", "-", "--except", ".lan,10.0.0.0/8"];
    let output = person.run(&set, "s3cret\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let mode = std::fs::metadata(person.paths().proxy_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    assert_eq!(person.run(&login, "correct horse\n").await.status.code(), Some(0));
    assert!(!proxy.asked().is_empty());
}
