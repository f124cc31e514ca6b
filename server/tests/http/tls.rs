//! The certificate.

use std::sync::Arc;

use reqwest::{Client, Method};
use sealcard_server::tls::{self, ServerTls};

use crate::harness::{Running, client, make_tls};

#[tokio::test]
async fn a_client_that_trusts_the_authority_connects_and_others_do_not() {
    let server = Running::start().await;
    server.ask(Method::GET, "/healthz", None, None).await.done();
    let stranger = tempfile::tempdir().unwrap();
    make_tls(stranger.path());
    let other = client(stranger.path());
    assert!(other.get(server.url("/healthz")).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn only_tls_1_3_is_spoken() {
    let server = Running::start().await;
    let old = Client::builder().tls_version_max(reqwest::tls::Version::TLS_1_2).tls_danger_accept_invalid_certs(true);
    let error = old.build().unwrap().get(server.url("/healthz")).send().await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let server = Running::start().await;
    let data = server.folder.path();
    let (certificate, key) = tls::default_pair(data);
    let (before, trusted) = (std::fs::read(&certificate).unwrap(), ServerTls::fingerprint(&certificate).unwrap());
    let first = server.tls.current();
    tls::issue_server(data, &["localhost".to_owned()], &certificate, &key).unwrap();
    assert_ne!(std::fs::read(&certificate).unwrap(), before);
    assert_eq!(ServerTls::fingerprint(&certificate).unwrap(), trusted, "the authority stays");
    server.tls.reload().unwrap();
    let second = server.tls.current();
    assert!(!Arc::ptr_eq(&first, &second));
    // The same authority signed it, so a client that trusts the authority notices nothing.
    client(data).get(server.url("/healthz")).send().await.unwrap();

    std::fs::write(&key, "nonsense").unwrap();
    assert!(server.tls.reload().is_err());
    assert!(Arc::ptr_eq(&second, &server.tls.current()));
    client(data).get(server.url("/healthz")).send().await.unwrap();
}
