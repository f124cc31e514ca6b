//! The JSON of commands that change the workstation: `login`, `logout`, `setup` and `reset` (`docs/json.md`).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{fs, process::Output};

use serde_json::{Value, json};
use support::{
    Identity,
    person::{Person, server, text},
    sockets::make_home,
};

/// The one document on standard output.
fn document(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

/// The names and the words of a document are as `docs/json.md` says.
fn expect_style(document: &Value) {
    match document {
        Value::Object(entries) => {
            for (name, value) in entries {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
                if name == "outcome" || name == "step" {
                    let word = value.as_str().unwrap();
                    assert!(word.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}: {word}");
                }
                expect_style(value);
            }
        }
        Value::Array(items) => items.iter().for_each(expect_style),
        _ => {}
    }
}

#[tokio::test]
async fn login_and_logout_say_who_is_logged_in_and_no_token() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--json"];
    let output = person.run(&[&login[..], &["--no-sync"]].concat(), "correct horse\n").await;
    let done = document(&output, 0);
    expect_style(&done);
    assert_eq!((&done["server"], &done["grant_store"]), (&json!(url), &json!("file")));
    assert_eq!(done["grant"]["principal_name"], "jane");
    assert_eq!((&done["gpg"], &done["sync"]), (&Value::Null, &Value::Null));
    assert!(!text(&output).contains("token-1"), "{}", text(&output));

    let done = document(&person.run(&["logout", "--json"], "").await, 0);
    expect_style(&done);
    assert_eq!(done, json!({"outcome": "logged-out", "server": url, "machine_login": false}));
    let done = document(&person.run(&["logout", "--json"], "").await, 0);
    assert_eq!(done["outcome"], "not-logged-in");

    document(&person.run(&[&login[..], &["--no-sync"]].concat(), "correct horse\n").await, 0);
    drop(server);
    let done = document(&person.run(&["logout", "--json"], "").await, 0);
    assert_eq!(done["outcome"], "not-revoked");
    assert!(done["reason"].as_str().unwrap().contains("can't reach"), "{done}");
}

#[tokio::test]
async fn a_failed_login_prints_no_document() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--json"];
    let output = person.run(&login, "wrong\n").await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", text(&output));
}

#[tokio::test]
async fn setup_says_what_became_of_gpg() {
    let person = Person::new();
    let home = person.path("gnupg");
    make_home(&home);
    fs::write(home.join("gpg-agent.conf"), "scdaemon-program /opt/other-scdaemon\n").unwrap();
    let mut outcomes = Vec::new();
    for (arguments, replaced) in [
        (&["setup"][..], json!("/opt/other-scdaemon")),
        (&["setup"], Value::Null),
        (&["setup", "--remove"], Value::Null),
        (&["setup", "--remove"], Value::Null),
    ] {
        let done = document(&person.run(&[arguments, &["--json"]].concat(), "").await, 0);
        expect_style(&done);
        assert_eq!(done["gpg"]["home"], home.to_str().unwrap());
        assert_eq!(done["gpg"]["replaced_scdaemon"], replaced);
        assert_eq!((&done["sync"], &done["tools"], &done["trusted"]), (&Value::Null, &json!([]), &json!([])));
        outcomes.push(done["gpg"]["outcome"].as_str().unwrap().to_owned());
    }
    assert_eq!(outcomes, ["set-up", "already-set-up", "removed", "not-set-up"]);
    let done = document(&person.run(&["setup", "--remove", "--git", "--json"], "").await, 0);
    assert_eq!((&done["gpg"], &done["tools"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn reset_reports_each_step() {
    let (person, identity) = (Person::new(), Identity::new("localhost"));
    let server = server(&identity).await;
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    make_home(&person.path("gnupg"));
    person.run(&["settoken", &url, "--fingerprint", &fingerprint], "sct_right").await;
    person.run(&["setup", "--no-sync"], "").await;
    fs::write(person.path("config/mine.txt"), "mine").unwrap();

    let output = person.run(&["reset", "--json"], "").await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{}", text(&output));
    let done = document(&person.run(&["reset", "--yes", "--json"], "").await, 0);
    expect_style(&done);
    assert_eq!(done["logout"]["outcome"], "logged-out");
    assert_eq!(done["unsync"], json!({"stubs": 0, "removed": [], "kept": []}));
    assert_eq!(done["setup"]["gpg"]["outcome"], "removed");
    assert_eq!(done["failed"], json!([]));
    assert_eq!(done["kept"], json!([person.path("config").to_str().unwrap()]));
}

#[tokio::test]
async fn a_reset_names_the_steps_that_failed() {
    let person = Person::new();
    make_home(&person.path("gnupg"));
    fs::create_dir_all(person.path("state")).unwrap();
    fs::write(person.path("state/known-cards.json"), "damaged").unwrap();
    let done = document(&person.run(&["reset", "--yes", "--json"], "").await, 1);
    expect_style(&done);
    assert_eq!(done["unsync"], Value::Null);
    assert_eq!(done["failed"][0]["step"], "unsync");
    assert!(done["failed"][0]["reason"].as_str().unwrap().contains("known-cards.json"), "{done}");
}
