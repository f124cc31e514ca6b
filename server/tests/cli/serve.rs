//! Serving.

use std::{fs, path::Path};

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client, StatusCode};
use sealcard_server::tls;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::harness::{DEADLINE, PASSWORD, Place, failure, success, wait_for};

fn client(data: &Path) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ca = Certificate::from_pem(&fs::read(data.join("tls/ca.pem")).unwrap()).unwrap();
    Client::builder().tls_certs_only([ca]).timeout(DEADLINE).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_becomes_ready_and_its_administrator_logs_in() {
    let place = Place::new();
    success(&place.init(&["--admin", "root@example.org"]));
    let served = place.serve();
    let client = client(&place.data());
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let ready = client.get(format!("{}/readyz", served.address)).send().await.unwrap();
        if ready.status() == StatusCode::OK {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{}", ready.text().await.unwrap());
    }
    let login = json!({"type": "password", "user": "root@example.org", "password": PASSWORD});
    let answer = client.post(format!("{}/v1/login", served.address)).json(&login).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let issued: Value = answer.json().await.unwrap();
    let token = issued["token"].as_str().unwrap().to_owned();
    let typed = json!({"type": "password", "user": "typed-by-accident", "password": "x"});
    client.post(format!("{}/v1/login", served.address)).json(&typed).send().await.unwrap();
    let log = served.stop();
    for secret in [PASSWORD, &token[4..], "typed-by-accident"] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(log.contains("/v1/login") && log.contains("SIGTERM"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_takes_up_a_renewed_certificate() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    let served = place.serve();
    let (before, trusted) = (presented(&served.address), success(&place.run(&["tls", "fingerprint"])));
    let text = success(&place.run(&["tls", "renew"]));
    assert!(text.contains(trusted.trim()), "{text}");
    assert_eq!(success(&place.run(&["tls", "fingerprint"])), trusted, "the authority stays");
    served.signal(Signal::SIGHUP);
    wait_for(|| (presented(&served.address) != before).then_some(()));
    client(&place.data()).get(format!("{}/healthz", served.address)).send().await.unwrap();
    served.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn hangup_starts_the_signer_of_a_new_environment() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    let served = place.serve();
    let text = success(&place.run(&["environment", "add", "tests"]));
    assert!(text.contains("SIGHUP"), "{text}");
    served.signal(Signal::SIGHUP);
    let client = client(&place.data());
    let login = json!({"type": "password", "user": "admin", "password": PASSWORD});
    let answer = client.post(format!("{}/v1/login", served.address)).json(&login).send().await.unwrap();
    let issued: Value = answer.json().await.unwrap();
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let request = client.get(format!("{}/v1/environments/tests", served.address));
        let answer = request.bearer_auth(issued["token"].as_str().unwrap()).send().await.unwrap();
        let environment: Value = answer.json().await.unwrap();
        if environment["state"] == "ready" {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{environment}");
    }
    let log = served.stop();
    assert_eq!(log.matches("a new environment").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_is_logged_without_a_warning() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    let served = place.serve();
    ready(&place, &served.address, |status, _| status == 200).await;
    let log = served.stop();
    assert!(log.contains("the worker has ended"), "{log}");
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert!(warnings.iter().all(|line| line.contains("trial: the signers run as this server's user")), "{log}");
    assert_eq!(warnings.len(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_refuses_its_journal_says_why_and_once() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    fs::remove_file(place.data().join("signer/default/journal.jsonl")).unwrap();
    let served = place.serve();
    let admin = Caller::log_in(&place, &served.address, "admin").await;
    let reasons = wait_for_reason(&admin, "is missing").await;
    assert!(reasons.contains("journal.jsonl") && reasons.contains("backup"), "{reasons}");
    let others = ready(&place, &served.address, |status, _| status == 503).await;
    assert!(others.contains("does not answer.") && !others.contains("journal"), "{others}");
    // Its environment says the same.
    let (_, environment) = admin.ask("GET", "/v1/environments/default", None).await;
    assert!(environment["detail"].as_str().unwrap().contains("is missing"), "{environment}");
    let log = served.stop();
    assert_eq!(log.matches("signer: fails, is started again").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signers_reason_is_told_to_owners_and_not_to_other_key_users() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    let served = place.serve();
    ready(&place, &served.address, |status, _| status == 200).await;
    let admin = Caller::log_in(&place, &served.address, "admin").await;
    let (status, project) = admin.ask("POST", "/v1/projects", Some(json!({"name": "release"}))).await;
    assert_eq!(status, 201, "{project}");
    for (user, roles) in [("owner", vec!["owner", "key-user"]), ("worker", vec!["key-user"])] {
        admin.ask("POST", "/v1/users", Some(json!({"name": user, "password": PASSWORD}))).await;
        for role in roles {
            let member = json!({"kind": "user", "name": user, "role": role});
            let (status, problem) = admin.ask("PUT", "/v1/projects/release/members", Some(member)).await;
            assert_eq!(status, 204, "{problem}");
        }
    }
    let key = json!({"project": "release", "name": "tags", "algorithm": "ed25519", "user_id": "Tags"});
    let (status, key) = admin.ask("POST", "/v1/keys", Some(key)).await;
    assert_eq!(status, 201, "{key}");
    let sign = format!("/v1/keys/{}/sign", key["id"].as_str().unwrap());
    served.stop();

    let journal = place.data().join("signer/default/journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("\"certify\"", "\"decrypt\"", 1)).unwrap();
    let served = place.serve();
    wait_for_reason(&Caller::log_in(&place, &served.address, "admin").await, "broken at line").await;
    let digest = json!({"hash": "sha256", "digest": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="});
    for (user, told) in [("owner", true), ("worker", false)] {
        let caller = Caller::log_in(&place, &served.address, user).await;
        let (status, problem) = caller.ask("POST", &sign, Some(digest.clone())).await;
        assert_eq!((status, problem["code"].as_str().unwrap()), (503, "signer-unavailable"), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(detail.contains("journal.jsonl") && detail.contains("broken at line"), told, "{detail}");
        assert!(detail.starts_with("The signer does not start"), "{detail}");
    }
    served.stop();
}

/// Somebody who is logged in.
struct Caller {
    client: Client,
    address: String,
    token: String,
}

impl Caller {
    async fn log_in(place: &Place, address: &str, user: &str) -> Self {
        let client = client(&place.data());
        let login = json!({"type": "password", "user": user, "password": PASSWORD});
        let answer = client.post(format!("{address}/v1/login")).json(&login).send().await.unwrap();
        let issued: Value = answer.json().await.unwrap();
        Self { client, address: address.to_owned(), token: issued["token"].as_str().unwrap().to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.address);
        let request = self.client.request(method.parse().unwrap(), url).bearer_auth(&self.token);
        let request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string());
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }
}

/// Asks `/readyz` until it names this, and gives its text.
async fn wait_for_reason(caller: &Caller, wanted: &str) -> String {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let (status, answer) = caller.ask("GET", "/readyz", None).await;
        if answer.to_string().contains(wanted) {
            return answer.to_string();
        }
        assert!(tokio::time::Instant::now() < end, "{status} {answer}");
    }
}

/// Asks `/readyz` until its status and text are as wanted, and gives the text.
async fn ready(place: &Place, address: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
    let client = client(&place.data());
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let answer = client.get(format!("{address}/readyz")).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        if wanted(status, &text) {
            return text;
        }
        assert!(tokio::time::Instant::now() < end, "{status} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_ended_is_renewed_at_the_start() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    let trusted = success(&place.run(&["tls", "fingerprint"]));
    let data = place.data();
    let (certificate, key) = tls::default_pair(&data);
    let now = OffsetDateTime::now_utc();
    let ended = (now - Duration::days(730), now - Duration::days(1));
    tls::issue_server_until(&data, &["127.0.0.1".to_owned()], (&certificate, &key), ended).unwrap();
    let served = place.serve();
    client(&data).get(format!("{}/healthz", served.address)).send().await.unwrap();
    assert_eq!(success(&place.run(&["tls", "fingerprint"])), trusted);
    assert!(tls::validity(&certificate).unwrap().1 > now + Duration::days(700));
    let log = served.stop();
    assert!(log.contains("certificate has been renewed"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_warns_of_a_certificate_that_ends_in_ten_days() {
    let place = Place::new();
    success(&place.init(&["--name", "127.0.0.1"]));
    let data = place.data();
    let (certificate, key) = tls::default_pair(&data);
    let now = OffsetDateTime::now_utc();
    let ends = (now - Duration::days(720), now + Duration::days(10));
    tls::issue_server_until(&data, &["127.0.0.1".to_owned()], (&certificate, &key), ends).unwrap();
    // A certificate from elsewhere is not renewed by the server.
    fs::remove_file(data.join(tls::CA_KEY_FILE)).unwrap();
    let served = place.serve();
    client(&data).get(format!("{}/healthz", served.address)).send().await.unwrap();
    let log = served.stop();
    let warning = log.lines().find(|line| line.contains("server.pem expires on ")).unwrap_or_default();
    assert!(warning.contains("WARN") && warning.contains("days)"), "{log}");
}

/// SHA-256 of the certificate that the server shows to a new connection.
fn presented(address: &str) -> String {
    let target = address.strip_prefix("https://").unwrap();
    let output = std::process::Command::new("openssl")
        .args(["s_client", "-connect", target])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl is needed for this test");
    let mut chain = rustls::pki_types::pem::PemObject::pem_slice_iter(&output.stdout);
    let leaf: rustls::pki_types::CertificateDer<'_> = chain.next().unwrap().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[test]
fn an_unknown_key_names_its_line_and_an_unknown_variable_its_name() {
    let place = Place::new();
    success(&place.init(&[]));
    let file = place.data().join("server.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("colour = \"blue\"\n{good}")).unwrap();
    for command in [&["serve"][..], &["config", "check"]] {
        let error = failure(&place.run(command));
        assert!(error.contains("server.toml") && error.contains("line 1") && error.contains("colour"), "{error}");
    }
    fs::write(&file, good).unwrap();
    let output = place.command(&["config", "check"]).env("SEALCARD_SERVER_COLOUR", "blue").output().unwrap();
    assert!(failure(&output).contains("SEALCARD_SERVER_COLOUR"));
    let output = place.command(&["config", "check"]).env("SEALCARD_SERVER_LIMITS__REQUESTS", "7").output().unwrap();
    assert!(success(&output).contains("requests = 7"));
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let place = Place::new();
    success(&place.init(&[]));
    let served = place.serve();
    let error = failure(&place.run(&["serve"]));
    let place_of_it = place.data().canonicalize().unwrap();
    assert!(error.contains(&format!("another sealcard-server uses {}", place_of_it.display())), "{error}");
    assert!(!error.contains("can't open the database"), "{error}");
    assert!(!error.contains("EAGAIN"), "{error}");
    served.stop();
    place.serve().stop();
}

#[test]
fn a_folder_without_a_server_is_an_error_that_says_what_to_do() {
    let place = Place::new();
    let error = failure(&place.run(&["serve"]));
    assert!(error.contains("sealcard-server setup"), "{error}");
}
