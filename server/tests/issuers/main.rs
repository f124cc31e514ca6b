//! Keys of an issuer of our own, which rotates them, is down, or answers wrongly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::sync::Arc;

use sealcard_api::Timestamp;
use sealcard_oidc::{Algorithm, MAX_DOCUMENT};
use sealcard_server::issuers::{Issuers, KeysError};
use tokio::task::JoinSet;

use self::harness::{Answer, TestIssuer, key_set};

const OLD: (Option<&str>, Algorithm) = (Some("old"), Algorithm::EdDsa);
const NEW: (Option<&str>, Algorithm) = (Some("new"), Algorithm::EdDsa);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_796_000_000 + seconds)
}

fn unavailable<T: std::fmt::Debug>(result: Result<T, KeysError>) -> String {
    match result {
        Err(KeysError::Unavailable { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn tokens_that_come_together_need_one_fetch() {
    let server = TestIssuer::start().await;
    let issuers = Arc::new(server.issuers());
    let mut together = JoinSet::new();
    for _ in 0..8 {
        let (issuers, issuer) = (Arc::clone(&issuers), server.issuer());
        together.spawn(async move { issuers.keys(&issuer, OLD, at(0)).await });
    }
    for keys in together.join_all().await {
        assert!(keys.unwrap().find(OLD.0, OLD.1).is_some());
    }
    assert_eq!(server.requests(), ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn rotated_key_is_found_and_the_old_one_is_gone() {
    let server = TestIssuer::start().await;
    let (issuers, issuer) = (server.issuers(), server.issuer());
    issuers.keys(&issuer, OLD, at(0)).await.unwrap();
    server.set("/keys", Answer::ok(key_set(&["new"])));
    assert_eq!(issuers.keys(&issuer, NEW, at(59)).await, Err(KeysError::UnknownKey));
    issuers.keys(&issuer, NEW, at(60)).await.unwrap();
    assert_eq!(issuers.keys(&issuer, OLD, at(61)).await, Err(KeysError::UnknownKey));
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn tokens_with_made_up_keys_lead_to_one_fetch_a_minute() {
    let server = TestIssuer::start().await;
    let (issuers, issuer) = (server.issuers(), server.issuer());
    for number in 0..20 {
        let id = format!("made-up-{number}");
        let refused = issuers.keys(&issuer, (Some(&id), Algorithm::Es256), at(number)).await;
        assert_eq!(refused, Err(KeysError::UnknownKey));
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn keys_serve_a_day_while_the_issuer_is_down() {
    let server = TestIssuer::start().await;
    let (issuers, issuer) = (server.issuers(), server.issuer());
    issuers.keys(&issuer, OLD, at(0)).await.unwrap();
    server.set("/.well-known/openid-configuration", Answer::status(503));
    issuers.keys(&issuer, OLD, at(3600)).await.unwrap();
    issuers.keys(&issuer, OLD, at(86_399)).await.unwrap();
    let why = unavailable(issuers.keys(&issuer, OLD, at(86_460)).await);
    assert!(why.contains("503"), "{why}");
    server.set("/.well-known/openid-configuration", server.configuration());
    unavailable(issuers.keys(&issuer, OLD, at(86_500)).await);
    issuers.keys(&issuer, OLD, at(86_520)).await.unwrap();
}

#[tokio::test]
async fn wrong_answers_give_no_keys() {
    let server = TestIssuer::start().await;
    let issuer = server.issuer();
    let large = format!("{{\"keys\": [], \"x\": \"{}\"}}", "a".repeat(MAX_DOCUMENT));
    let elsewhere = format!("{{\"issuer\":\"{}/\",\"jwks_uri\":\"{0}/keys\"}}", issuer.as_str());
    let plain = format!("{{\"issuer\":\"{}\",\"jwks_uri\":\"http://127.0.0.1/keys\"}}", issuer.as_str());
    let configuration = "/.well-known/openid-configuration";
    for (path, answer, says) in [
        ("/keys", Answer::ok(large), "more than 65536 bytes"),
        ("/keys", Answer::redirect("/other"), "302"),
        ("/keys", Answer::ok(r#"{"keys": []}"#.to_owned()), "no key for signatures"),
        ("/keys", Answer::status(404), "404"),
        (configuration, Answer::ok(elsewhere), "another issuer"),
        (configuration, Answer::ok(plain), "no https address"),
        (configuration, Answer::ok("<html>".to_owned()), "no JSON object"),
        (configuration, Answer::redirect("/other"), "302"),
    ] {
        server.set("/keys", Answer::ok(key_set(&["old"])));
        server.set(configuration, server.configuration());
        server.set("/other", Answer::ok(key_set(&["old"])));
        server.set(path, answer);
        let why = unavailable(server.issuers().keys(&issuer, OLD, at(0)).await);
        assert!(why.contains(says), "{why}");
    }
    assert!(!server.requests().contains(&"/other".to_owned()));
}

#[tokio::test]
async fn private_address_is_not_asked_unless_allowed() {
    let server = TestIssuer::start().await;
    let issuers = Issuers::new(Some(server.certificate()), false).unwrap();
    let why = unavailable(issuers.keys(&server.issuer(), OLD, at(0)).await);
    assert!(why.contains("not a public address"), "{why}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn certificate_of_another_authority_is_refused() {
    let (server, other) = (TestIssuer::start().await, TestIssuer::start().await);
    let issuers = Issuers::new(Some(other.certificate()), true).unwrap();
    unavailable(issuers.keys(&server.issuer(), OLD, at(0)).await);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn issuer_that_does_not_answer_is_given_up() {
    let server = TestIssuer::start().await;
    server.set("/keys", Answer::Never);
    let why = unavailable(server.issuers().keys(&server.issuer(), OLD, at(0)).await);
    assert!(why.contains("in time"), "{why}");
}
