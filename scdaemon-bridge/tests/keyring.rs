//! The grant in a real keyring: gnome-keyring on a D-Bus session of its own.
//!
//! Needs the Debian packages `gnome-keyring` and `dbus`.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{path::Path, process::Stdio, time::Duration};

use sealcard_api::{grants::ServerInfo, problem::ProblemCode};
use sealcard_bridge::config::{Config, GrantStore, Paths};
use support::{Identity, Reply, Server, issued};

/// Starts an unlocked keyring, waits until it answers, and runs the script's arguments as a script.
const WITH_KEYRING: &str = r#"
set -eu
printf 'keyring password\n' | gnome-keyring-daemon --unlock --components=secrets >/dev/null
lock() {
    dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
        org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login >/dev/null
}
# Activation by the bus makes this wait for the daemon.
timeout 20 dbus-send --session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
    org.freedesktop.DBus.Peer.Ping >/dev/null
login() {
    echo 'correct horse' |
        "$SEALCARD" login "$SERVER" --fingerprint "$FINGERPRINT" --user jane --password-file - --no-sync
}
"#;

async fn server(identity: &Identity) -> Server {
    Server::start(identity.config(&identity.key), |_, asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/v1/server") => {
            Reply::ok(&ServerInfo { server_id: uuid::Uuid::from_u128(1), version: "0.1.0".to_owned(), trial: false })
        }
        ("POST", "/v1/login") => Reply::ok(&issued("keyring-token", 0, 3600)),
        (method, "/v1/grants/current") if asked.headers["authorization"] == "Bearer keyring-token" => match method {
            "DELETE" => Reply::Json(204, String::new()),
            _ => Reply::ok(&issued("", 0, 3600).grant),
        },
        _ => Reply::problem(ProblemCode::Unauthenticated),
    })
    .await
}

/// Runs the script; gives its exit code and what it printed.
async fn run(folder: &Path, server: &Server, identity: &Identity, script: &str) -> (Option<i32>, String) {
    let runtime_folder = folder.join("run");
    std::fs::create_dir(&runtime_folder).unwrap();
    let output = tokio::process::Command::new("dbus-run-session")
        .args(["--", "sh", "-c", &format!("{WITH_KEYRING}\n{script}")])
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", &runtime_folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("GNUPGHOME", folder.join("gnupg"))
        .env("SEALCARD_CONFIG_FOLDER", folder.join("config"))
        .env("SEALCARD_STATE_FOLDER", folder.join("state"))
        .env("SEALCARD", env!("CARGO_BIN_EXE_sealcard"))
        .env("SERVER", server.url())
        .env("FINGERPRINT", identity.fingerprint().hex())
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), output).await.unwrap();
    let output = output.expect("dbus-run-session should start: install the packages dbus and gnome-keyring");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn stored_in(folder: &Path) -> GrantStore {
    let paths = Paths::new(folder.join("config"), folder.join("state")).unwrap();
    Config::load(&paths).unwrap().unwrap().grant_store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unlocked_keyring_holds_the_grant_and_no_file_does() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::new("localhost"));
    let server = server(&identity).await;
    let script = r#"login; "$SEALCARD" status; test ! -e "$SEALCARD_CONFIG_FOLDER/grant"; "$SEALCARD" logout
        if "$SEALCARD" status; then exit 9; fi"#;
    let (code, text) = run(folder.path(), &server, &identity, script).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Login saved to the system's keyring."), "{text}");
    assert_eq!(stored_in(folder.path()), GrantStore::Nowhere, "{text}");
    assert!(text.contains("Logged out") && text.contains("Not logged in."), "{text}");
    assert!(server.asked().iter().any(|asked| asked.method == "DELETE"), "the grant should be revoked: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_keyring_is_named_and_never_waited_for() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::new("localhost"));
    let server = server(&identity).await;
    let script = r#"login; lock; code=0; timeout 20 "$SEALCARD" status || code=$?; exit $code"#;
    let (code, text) = run(folder.path(), &server, &identity, script).await;
    assert_eq!(stored_in(folder.path()), GrantStore::Keyring, "{text}");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("keyring is locked"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_beside_a_locked_keyring_keeps_the_grant_in_a_file() {
    let (folder, identity) = (tempfile::tempdir().unwrap(), Identity::new("localhost"));
    let server = server(&identity).await;
    // Something must lie in the keyring to be locked; a locked empty one can't be told from an empty one.
    let script = r#"login; lock
        again='echo "correct horse" | "$SEALCARD" login --user jane --password-file - --no-sync'
        timeout 20 sh -c "$again"; "$SEALCARD" status"#;
    let (code, text) = run(folder.path(), &server, &identity, script).await;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(stored_in(folder.path()), GrantStore::File, "{text}");
}
