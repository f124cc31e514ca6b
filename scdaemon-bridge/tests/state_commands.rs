//! Tokens, traces and versions: commands that change or show what lies on the workstation.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};

use support::{
    Identity,
    person::{Person, server, text},
};

#[tokio::test]
async fn a_token_or_a_grant_is_put_in_place_without_a_question() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    for secret in ["sct_right\n", "scg_granted elsewhere\n"] {
        let person = Person::new();
        let output = person.run(&["settoken", &url, "--fingerprint", &fingerprint], secret).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(!text(&output).contains(secret.trim()));
        assert_eq!(person.run(&["status"], "").await.status.code(), Some(0));
        assert!(!person.path("gnupg").exists(), "gpg was touched");
    }
}

#[tokio::test]
async fn a_wrong_token_or_grant_changes_nothing() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    for secret in ["sct_wrong\n", "scg_wrong\n", "\n", ""] {
        let person = Person::new();
        let output = person.run(&["settoken", &url, "--fingerprint", &fingerprint], secret).await;
        assert_eq!(output.status.code(), Some(1), "{secret:?}: {}", text(&output));
        assert!(!person.paths().config_file().exists() && !person.paths().grant_file().exists());
    }
    assert_eq!(Person::new().run(&["settoken", &url], "sct_right").await.status.code(), Some(1));
}

#[tokio::test]
async fn the_environment_logs_in_what_no_option_names() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = Person::new();
    fs::write(person.path("ca.pem"), &identity.ca_pem).unwrap();
    fs::write(person.path("password"), "correct horse\n").unwrap();
    let (ca, password) = (person.path("ca.pem"), person.path("password"));
    let known =
        |person: Person| person.with("SEALCARD_SERVER", server.url()).with("SEALCARD_CA_FILE", ca.to_str().unwrap());
    for person in [
        known(Person::new()).with("SEALCARD_TOKEN", "sct_right"),
        known(Person::new()).with("SEALCARD_USER", "jane").with("SEALCARD_PASSWORD_FILE", password.to_str().unwrap()),
    ] {
        let output = person.run(&["login", "--no-sync"], "").await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(!text(&output).contains("sct_right"));
    }
    // Who names a user means a user, whatever token lies around.
    let person = known(Person::new()).with("SEALCARD_TOKEN", "sct_right");
    let output = person.run(&["login", "--no-sync", "--user", "jane", "--password-file", "-"], "wrong\n").await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let output = known(Person::new()).run(&["login", "--no-sync"], "").await;
    assert!(text(&output).contains("--token-file"), "{}", text(&output));
}

#[tokio::test]
async fn the_trace_tells_what_was_asked_and_no_secret() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    let person = Person::new();
    let path = person.paths().trace_file();
    assert_eq!(person.run(&login, "correct horse\n").await.status.code(), Some(0));
    assert!(!path.exists());
    person.run(&["trace", "on"], "").await;
    assert_eq!(person.run(&login, "correct horse\n").await.status.code(), Some(0));
    person.run(&["trace", "off"], "").await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read_to_string(&path).unwrap();
    assert!(before.contains("http POST /v1/login") && before.contains("success"), "{before}");
    for secret in ["correct horse", "token-1", "Bearer"] {
        assert!(!before.contains(secret), "{before}");
    }
    person.run(&["status"], "").await;
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    let shown = text(&person.run(&["trace", "show", "--lines", "1"], "").await);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert_eq!(text(&person.run(&["trace", "path"], "").await).trim(), path.to_str().unwrap());
    person.run(&["trace", "clear"], "").await;
    assert!(!path.exists());
}

#[tokio::test]
async fn versions_are_told_with_and_without_a_server() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = Person::new();
    let told = |output: std::process::Output| -> serde_json::Value { serde_json::from_slice(&output.stdout).unwrap() };
    let versions = told(person.run(&["version", "--json"], "").await);
    assert_eq!(
        (&versions["sealcard"], &versions["server"]),
        (&env!("CARGO_PKG_VERSION").into(), &serde_json::Value::Null)
    );
    assert!(versions["gpg"].as_str().unwrap().starts_with("2."));
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    person.run(&["settoken", &url, "--fingerprint", &fingerprint], "sct_right").await;
    assert_eq!(told(person.run(&["version", "--json"], "").await)["server"]["version"], "0.1.0");
    drop(server);
    let versions = told(person.run(&["version", "--json"], "").await);
    assert!(versions["server"]["error"].as_str().unwrap().contains("refused"), "{versions}");
}

#[tokio::test]
async fn a_reset_asks_first_and_leaves_nothing_of_sealcard_and_everything_else() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = Person::new();
    let conf = person.path("gnupg/gpg-agent.conf");
    fs::create_dir(person.path("gnupg")).unwrap();
    fs::write(&conf, "default-cache-ttl 60\n").unwrap();
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    person.run(&["settoken", &url, "--fingerprint", &fingerprint], "sct_right").await;
    person.run(&["setup", "--no-sync"], "").await;
    person.run(&["trace", "on"], "").await;
    person.run(&["status"], "").await;
    fs::write(person.path("config/mine.txt"), "mine").unwrap();

    let output = person.run(&["reset"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("--yes") && person.paths().config_file().exists(), "{}", text(&output));
    let output = person.run(&["reset", "--yes"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "DELETE").count(), 1);
    assert_eq!(fs::read_to_string(&conf).unwrap(), "default-cache-ttl 60\n");
    assert!(!person.path("state").exists());
    let left: Vec<_> = fs::read_dir(person.path("config")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.txt"]);
    let output = person.run(&["reset", "--yes"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}
