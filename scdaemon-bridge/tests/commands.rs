//! The `sealcard` command as a person or a script runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "commands/login.rs"]
mod login;
mod support;

use std::fs;

use sealcard_bridge::config::{Config, Trust};
use support::{
    Identity,
    person::{Person, server, text},
};

#[tokio::test]
async fn wrong_usage_is_exit_code_2_and_help_is_0() {
    let person = Person::new();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["login", "--help"], 0),
        (&["admin", "key", "create", "--help"], 0),
        (&["--version"], 0),
        (&[], 2),
        (&["nonsense"], 2),
        (&["login", "http://localhost"], 2),
        (&["login", "https://localhost", "--fingerprint", "12"], 2),
        (&["login", "https://localhost", "--user", "a", "--token-file", "b"], 2),
        (&["admin", "project", "add-member", "p", "--role", "key-user"], 2),
        (&["admin", "project", "add-member", "p", "--role", "king", "--user", "a"], 2),
    ] {
        let output = person.run(arguments, "").await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    }
}

#[tokio::test]
async fn output_that_is_no_terminal_has_no_colours() {
    let output = Person::new().run(&["--help"], "").await;
    assert!(!text(&output).contains('\u{1b}'));
}

#[tokio::test]
async fn a_login_by_ca_file_keeps_a_private_grant_and_status_finds_it() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let ca = person.path("ca.pem");
    fs::write(&ca, &identity.ca_pem).unwrap();
    let url = server.url();
    let login =
        ["login", &url, "--ca-file", ca.to_str().unwrap(), "--user", "jane", "--password-file", "-", "--no-sync"];
    let output = person.run(&login, "correct horse\n").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    fs::remove_file(&ca).unwrap();

    let output = person.run(&["status", "--json"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["state"], &status["grant"]["principal_name"]), (&"logged-in".into(), &"jane".into()));
    // 3600 s, renewable for a day: it ends within 2 days.
    assert_eq!(person.run(&["status", "--days", "2"], "").await.status.code(), Some(1));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(person.paths().grant_file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_unknown_server_gets_no_password_when_nobody_can_be_asked() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let url = server.url();
    let output = person.run(&["login", &url, "--user", "jane", "--password-file", "-"], "correct horse\n").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains(&identity.fingerprint().to_string()), "{}", text(&output));
    assert_eq!(server.asked().len(), 0);
    assert!(!person.paths().config_file().exists());
}

#[tokio::test]
async fn a_wrong_fingerprint_or_ca_gets_no_password() {
    let (person, identity, other) = (Person::new(), Identity::new("localhost"), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, ca, wrong) = (server.url(), person.path("ca.pem"), other.fingerprint().to_string());
    fs::write(&ca, &other.ca_pem).unwrap();
    for trust in [["--fingerprint", &wrong], ["--ca-file", ca.to_str().unwrap()]] {
        let arguments = [&["login", &url, "--user", "jane", "--password-file", "-"][..], &trust].concat();
        let output = person.run(&arguments, "correct horse\n").await;
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    }
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test]
async fn a_wrong_password_changes_nothing_and_is_not_shown() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    assert_eq!(person.run(&login, "correct horse\n").await.status.code(), Some(0));
    let before = fs::read(person.paths().grant_file()).unwrap();
    let output = person.run(&login, "wrong battery\n").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("The name or the password is wrong"), "{}", text(&output));
    assert!(!text(&output).contains("battery"));
    assert_eq!(fs::read(person.paths().grant_file()).unwrap(), before);
}

#[tokio::test]
async fn a_second_login_revokes_the_first_grant() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    for _ in 0..2 {
        let output = person.run(&login, "correct horse\n").await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    assert_eq!(server.asked().iter().filter(|asked| asked.method == "DELETE").count(), 1);
}

#[tokio::test]
async fn a_logout_without_a_server_still_removes_the_grant() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    assert_eq!(person.run(&login, "correct horse\n").await.status.code(), Some(0));
    drop(server);
    assert_eq!(person.run(&["status"], "").await.status.code(), Some(2));
    let output = person.run(&["logout"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("was not revoked"), "{}", text(&output));
    assert!(!person.paths().grant_file().exists());
}

#[tokio::test]
async fn a_renewed_certificate_is_trusted_only_by_its_fingerprint() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let old = Identity::new("localhost").fingerprint();
    Config {
        server: server.url(),
        user: None,
        grant_store: sealcard_bridge::config::GrantStore::File,
        notify_waiting: true,
        trust: Trust::Certificate { sha256: old },
    }
    .save(&person.paths())
    .unwrap();
    let output = person.run(&["trust"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains(&identity.fingerprint().to_string()) && text(&output).contains(&old.to_string()));
    assert_eq!(person.run(&["trust", "--fingerprint", &old.hex()], "").await.status.code(), Some(1));
    let seen = identity.fingerprint().hex();
    assert_eq!(person.run(&["trust", "--fingerprint", &seen], "").await.status.code(), Some(0));
    assert_eq!(person.run(&["trust"], "").await.status.code(), Some(0));
}

#[tokio::test]
async fn setting_up_and_undoing_it_leaves_the_gnupg_home_as_it_was() {
    let person = Person::new();
    let conf = person.path("gnupg/gpg-agent.conf");
    fs::create_dir(person.path("gnupg")).unwrap();
    fs::write(&conf, "default-cache-ttl 60\nscdaemon-program /usr/lib/gnupg/scdaemon\n").unwrap();
    let before = fs::read(&conf).unwrap();
    for _ in 0..2 {
        let output = person.run(&["setup"], "").await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert!(fs::read_to_string(&conf).unwrap().contains("/sealcard-scdaemon\n"));
        assert!(person.path("gnupg/sealcard.conf").exists());
    }
    for _ in 0..2 {
        let output = person.run(&["setup", "--remove"], "").await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    assert_eq!(fs::read(&conf).unwrap(), before);
    assert!(!person.path("gnupg/sealcard.conf").exists());
    assert!(!person.path("gnupg/gpg-agent.conf.sealcard-backup").exists());
}

#[tokio::test]
async fn the_doctor_names_the_first_step_to_someone_who_is_new() {
    let person = Person::new();
    let output = person.run(&["doctor"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("sealcard login") && text(&output).contains("sealcard setup"), "{}", text(&output));
}
