//! `sealcard admin` against a server that answers from a script.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _};

use sealcard_api::{
    Bytes,
    tokens::{KeeperKey, Secret},
};
use sealcard_bridge::config::{Config, GrantStore, Trust};
use sealcard_record::{Salt, leaf_hash};
use sealcard_signer_protocol::envelope::{PrivateKey, RecipientKey};
use serde_json::{Value, json};
use support::{
    Asked, Identity, Reply, Server,
    person::{Person, text},
};

const ID: &str = "019384f0-0000-7000-8000-000000000001";

fn grant(id: u32, label: &str) -> Value {
    json!({
        "id": format!("019384f0-0000-7000-8000-{id:012}"), "principal": ID, "principal_name": "alice",
        "roles": [], "label": label, "created": "2026-01-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z",
        "refreshable_until": "2099-01-01T00:00:00Z", "kind": "user", "last_used": "2020-01-02T00:00:00Z",
        "last_address": "192.0.2.7", "login_method": "password",
    })
}

fn answer(number: usize, asked: &Asked) -> Reply {
    let page = |items: Value| Reply::ok(&json!({"items": items}));
    match (asked.method.as_str(), asked.path.split('?').next().unwrap_or_default()) {
        ("GET", "/v1/grants") => page(json!([grant(1, "laptop"), grant(2, "desktop"), grant(3, "desktop")])),
        ("POST", "/v1/service-accounts/ci/tokens") => Reply::ok(&json!({
            "secret": "sct_only-once",
            "token": {"id": ID, "label": "", "created": "2026-01-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z"},
        })),
        ("GET", "/v1/users") => page(json!([])),
        ("GET", "/v1/environments/default/keeper") => Reply::ok(&KeeperKey {
            recipient: Bytes(signer_key().0.to_vec()),
            nonce: Bytes(vec![7; 32]),
            secret: Secret::Passphrase,
        }),
        ("GET", "/v1/record") => record(asked),
        (_, "/v1/record/verification") => Reply::ok(&verification(number)),
        ("GET", "/v1/cards") => {
            Reply::ok(&json!({"server_id": ID, "registry_version": 1, "cards": [], "truncated": true}))
        }
        ("POST", "/v1/keys/import/plan") => Reply::problem(sealcard_api::problem::ProblemCode::Invalid),
        ("DELETE", _) => Reply::Json(204, String::new()),
        _ => Reply::problem(sealcard_api::problem::ProblemCode::NotFound),
    }
}

/// The signer's key that the server offers.
fn signer_key() -> RecipientKey {
    PrivateKey::new([2; 32].into()).recipient().unwrap()
}

/// Entries of the record.
const ENTRIES: u64 = 20_000;

/// A page of the record.
fn record(asked: &Asked) -> Reply {
    let query = asked.path.split_once('?').unwrap().1;
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| parameter(name).map(|text| text.parse::<u64>().unwrap());
    let (limit, after) = (number("limit").unwrap(), number("after"));
    assert!(limit <= 500);
    let sequences: Vec<u64> = match parameter("order") {
        Some("newest") => (1..after.unwrap_or(ENTRIES + 1)).rev().take(limit as usize).collect(),
        _ => (after.unwrap_or(0) + 1..=ENTRIES).take(limit as usize).collect(),
    };
    let last = sequences.last().filter(|last| ![1, ENTRIES].contains(*last)).map(u64::to_string);
    Reply::ok(&json!({"items": sequences.into_iter().map(entry).collect::<Vec<_>>(), "next": last}))
}

/// An entry of the record as the server answers it.
fn entry(sequence: u64) -> Value {
    json!({"hash": "00".repeat(32), "salt": "00".repeat(16), "entry": {
        "schema": 1, "sequence": sequence, "time": "2026-01-01T00:00:00Z", "request_id": ID,
        "actor": {"id": ID, "name": "alice", "grant": ID}, "peer": "192.0.2.7", "event": "use-outcome",
        "project": {"id": ID, "name": "release"}, "key": {"id": ID, "name": "=tags"}, "component": ID,
        "operation": "sign", "signer_operation": "sign", "hash": "sha256", "digest": "d1".repeat(32),
        "state": "failed", "error": "x".repeat(1500),
    }})
}

/// A verification of the record, which is done when it was asked for three times.
fn verification(asked: usize) -> Value {
    let state = json!({"state": "running", "started": "2026-01-01T00:00:00Z", "entries": asked, "total": 2});
    if asked < 3 {
        return state;
    }
    json!({"state": "finished", "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:01Z", "entries": 2,
        "total": 2, "report": {"entries": 2, "root": "ab".repeat(32), "unknown": 0,
            "findings": ["entry 2: its hash does not fit"], "more_findings": 0}})
}

/// An administrator who is logged in.
async fn administrator(identity: &Identity) -> (Person, Server) {
    let (person, server) = (Person::new(), Server::start(identity.config(&identity.key), answer).await);
    Config {
        server: server.url(),
        user: None,
        grant_store: GrantStore::File,
        notify_waiting: true,
        trust: Trust::Certificate { sha256: identity.fingerprint() },
    }
    .save(&person.paths())
    .unwrap();
    let grant = sealcard_bridge::grant::Grant::new(server.url(), support::issued("token-1", 0, 3600)).unwrap();
    sealcard_bridge::grant::save(&person.paths(), GrantStore::File, &grant).unwrap();
    (person, server)
}

async fn run(person: &Person, arguments: &[&str]) -> (i32, String) {
    let output = person.run(&[&["admin"], arguments].concat(), "").await;
    (output.status.code().unwrap(), text(&output))
}

fn deleted(server: &Server) -> Vec<String> {
    server.asked().into_iter().filter(|asked| asked.method == "DELETE").map(|asked| asked.path).collect()
}

#[tokio::test]
async fn what_cannot_be_undone_needs_yes_without_a_terminal() {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    for arguments in [
        &["user", "remove", "alice"][..],
        &["group", "remove", "builders"],
        &["project", "remove", "release"],
        &["service-account", "remove", "ci"],
        &["service-account", "token", "revoke", "ci", ID],
    ] {
        let (code, said) = run(&person, arguments).await;
        assert!(code == 1 && said.contains("--yes"), "{arguments:?}: {said}");
        assert_eq!(deleted(&server), Vec::<String>::new(), "{arguments:?}");
    }
    let (code, said) = run(&person, &["user", "remove", "alice", "--yes"]).await;
    assert_eq!((code, deleted(&server)), (0, vec!["/v1/users/alice".to_owned()]), "{said}");
}

#[tokio::test]
async fn logins_are_ended_by_name_label_or_all_and_never_guessed() {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    let revoke = async |more: &[&str]| run(&person, &[&["grant", "revoke", "alice"], more].concat()).await;
    for (more, says) in [
        (&[][..], "3 such logins"),
        (&["--label", "desktop"], "2 such logins"),
        (&["--label", "phone"], "no login of alice has this label"),
    ] {
        let (code, said) = revoke(more).await;
        assert!(code == 1 && said.contains(says), "{more:?}: {said}");
    }
    assert_eq!(deleted(&server), Vec::<String>::new());
    assert_eq!(revoke(&["--label", "laptop"]).await.0, 0);
    assert_eq!(deleted(&server).len(), 1);
    let (code, said) = revoke(&["--all"]).await;
    assert!(code == 0 && said.contains("Ended 3 logins of alice"), "{said}");
    assert_eq!(deleted(&server).len(), 4);
}

#[tokio::test]
async fn a_list_of_logins_tells_kind_last_use_and_address() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    let (code, said) = run(&person, &["grant", "list"]).await;
    assert!(code == 0 && ["user", "192.0.2.7", "ago", "laptop"].iter().all(|part| said.contains(part)), "{said}");
}

#[tokio::test]
async fn a_token_goes_into_a_new_private_file_and_not_to_the_terminal() {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    let file = person.path("ci.token");
    let add = ["service-account", "token", "add", "ci", "--output", file.to_str().unwrap()];
    let (code, said) = run(&person, &add).await;
    assert!(code == 0 && !said.contains("sct_"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "sct_only-once\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // A file that is there already is kept, and no token is made for nothing.
    let before = server.asked().len();
    assert_eq!(run(&person, &add).await.0, 1);
    assert_eq!(server.asked().len(), before);
}

#[tokio::test]
async fn lists_are_objects_for_programs() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    for (arguments, name, count) in [(["user", "list"], "users", 0), (["grant", "list"], "grants", 3)] {
        let output = person.run(&["admin", arguments[0], arguments[1], "--json"], "").await;
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document[name].as_array().map(Vec::len), Some(count), "{document}");
    }
}

#[tokio::test]
async fn sync_says_that_the_server_lists_only_some_of_the_keys() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    let said = text(&person.run(&["sync"], "").await);
    assert!(said.contains("the server lists 0 keys at most, and you can use more"), "{said}");
}

/// The sequences of the entries that a command prints as JSON lines.
async fn listed(person: &Person, arguments: &[&str]) -> Vec<u64> {
    let output = person.run(&[&["admin", "record"], arguments, &["--json"]].concat(), "").await;
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).unwrap();
    let sequence = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["entry"]["sequence"].as_u64().unwrap()
    };
    lines.lines().map(sequence).collect()
}

#[tokio::test]
async fn record_is_listed_from_the_oldest_to_the_newest_over_pages() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    let newest = |count: u64| (ENTRIES - count + 1..=ENTRIES).collect::<Vec<_>>();
    assert_eq!(listed(&person, &["list", "--limit", "3"]).await, newest(3));
    assert_eq!(listed(&person, &["list", "--limit", "1200"]).await, newest(1200));
    assert_eq!(listed(&person, &["export", "--after", "19399"]).await, newest(601));
    assert_eq!(listed(&person, &["export", "--after", &ENTRIES.to_string()]).await, Vec::<u64>::new());
    let (code, said) = run(&person, &["record", "list", "--limit", "1200"]).await;
    assert_eq!((code, said.matches("RESULT").count(), said.lines().count()), (0, 1, 1201));
}

#[tokio::test]
async fn record_is_listed_with_names_and_without_ids() {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    let filters = ["--user", "alice", "--since", "2026-01-01T00:00:00Z", "--kind", "use", "--denied", "--limit", "1"];
    let (code, said) = run(&person, &[&["record", "list"], &filters[..]].concat()).await;
    assert!(code == 0 && said.contains("alice") && said.contains("sign sha256:d1d1d1d1"), "{said}");
    assert!(said.contains("release/=tags") && said.contains("192.0.2.7") && said.contains("failed: xxx"), "{said}");
    assert!(!said.contains(ID), "{said}");
    let asked = server.asked().pop().unwrap().path;
    for parameter in ["user=alice", "since=2026-01-01T00%3A00%3A00Z", "denied=true", "folded=true", "order=newest"] {
        assert!(asked.contains(parameter), "{asked}");
    }
    assert!(asked.contains("kind=intent%2Coutcome%2Cdenied"), "{asked}");
}

#[tokio::test]
async fn record_is_safe_in_a_spreadsheet() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    let (code, said) = run(&person, &["record", "list", "--csv", "--limit", "2"]).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(code == 0 && lines.len() == 3 && lines[0].starts_with("sequence,time,event,who,did,on"), "{said}");
    assert!(lines[1].contains(",\"'=tags\","), "{said}");
}

#[tokio::test]
async fn entry_is_shown_with_all_fields() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    let (code, said) = run(&person, &["record", "show", "7"]).await;
    assert!(code == 0 && said.contains("local time") && said.contains(&format!("alice  {ID}")), "{said}");
    assert!(said.contains("signer operation") && said.contains(&"d1".repeat(32)), "{said}");
    let (code, said) = run(&person, &["record", "show", &(ENTRIES + 1).to_string()]).await;
    assert!(code == 1 && said.contains("no entry"), "{said}");
}

#[tokio::test]
async fn verification_is_watched_to_its_end() {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    let (code, said) = run(&person, &["record", "verify"]).await;
    assert!(code == 1 && said.contains("1 finding in 2 entries:\n  entry 2: its hash does not fit"), "{said}");
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(asked, ["POST", "GET", "GET"]);
}

#[tokio::test]
async fn exported_record_is_verified_without_a_server() {
    let person = Person::new();
    let record = person.path("record.jsonl");
    let (mut number, mut lines) = (0, String::new());
    for entry in include_str!("../../record/tests/entries.jsonl").lines() {
        let salt = Salt([7; 16]);
        let hash = leaf_hash(entry, &salt).unwrap();
        number += 1;
        lines.push_str(&format!("{{\"hash\":\"{hash}\",\"salt\":\"{salt}\",\"entry\":{entry}}}\n"));
    }
    fs::write(&record, &lines).unwrap();
    let verify = async || run(&person, &["record", "verify", "--offline", record.to_str().unwrap()]).await;
    let (code, said) = verify().await;
    assert!(code == 0 && said.contains(&format!("All is well: {number} entries")), "{said}");
    fs::write(&record, lines.replacen("192.0.2.7", "192.0.2.8", 1)).unwrap();
    let (code, said) = verify().await;
    assert!(code == 1 && said.contains("entry 1: its hash does not fit"), "{said}");
    fs::write(&record, "nonsense").unwrap();
    let (code, said) = verify().await;
    assert!(code == 1 && said.contains("line 1 is no entry of an exported record"), "{said}");
}

#[tokio::test]
async fn record_is_no_longer_fetched_when_its_reader_went_away() {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    let command = "sealcard admin record export | head -n 2; echo ${PIPESTATUS[0]}";
    let said = text(&person.run_program("bash", &["-c", command]).await);
    assert!(said.starts_with("{") && said.ends_with("\n0\n") && said.lines().count() == 3, "{said}");
    assert!(server.asked().len() < 20, "{}", server.asked().len());
}

/// Some 40 MB of JSON.
#[tokio::test]
async fn whole_record_is_written_with_the_memory_of_a_few_pages() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    assert_eq!(listed(&person, &["export"]).await.len() as u64, ENTRIES);
    // Each test is a process of its own, whose largest child this is.
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    assert!(usage.max_rss() < 60 * 1024, "{} KiB", usage.max_rss());
}

#[tokio::test]
async fn wrong_values_are_named_by_their_option_with_a_suggestion() {
    let person = Person::new();
    let create = ["key", "create", "release/tags", "--user-id", "A <a@example.org>"];
    for (more, says) in [
        (["--algorithm", "ed25591"], "a similar value exists: 'ed25519'"),
        (["--expires-days", "3651"], "--expires-days"),
    ] {
        let (code, said) = run(&person, &[&create[..], &more].concat()).await;
        assert!(code == 2 && said.contains(says), "{said}");
    }
    let (code, said) = run(&person, &["key", "create", "tags", "--user-id", "A <a@example.org>"]).await;
    assert!(code == 2 && said.contains("such as release/tags"), "{said}");
    let (code, said) = run(&person, &["record", "list", "--limit", "0"]).await;
    assert!(code == 2 && said.contains("--limit"), "{said}");
}

/// Whether the server got a secret, and what was shown.
async fn unseal(typed: Option<&[&str]>, more: &[&str]) -> (bool, String) {
    let identity = Identity::new("localhost");
    let (person, server) = administrator(&identity).await;
    let arguments = [&["admin", "environment", "unseal", "default"], more].concat();
    let output = match typed {
        Some(lines) => person.type_into(&arguments, lines).await,
        None => person.run(&arguments, "").await,
    };
    (server.asked().iter().any(|asked| asked.path.ends_with("/unseal")), text(&output))
}

#[tokio::test]
async fn the_fingerprint_that_a_signer_offers_is_never_shown() {
    let offered = signer_key().fingerprint().to_string();
    let (sent, said) = unseal(None, &[]).await;
    assert!(!sent && said.contains("--signer-fingerprint") && said.contains("sealcard-signer keeper-key"), "{said}");
    assert!(!said.contains(&offered), "{said}");
    let (sent, said) = unseal(None, &["--signer-fingerprint", &"00".repeat(32)]).await;
    assert!(!sent && said.contains("another key") && !said.contains(&offered), "{said}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_person_enters_the_signers_fingerprint_and_yes_is_none() {
    let offered = signer_key().fingerprint().to_string();
    let spaced = offered.replace(':', " ").to_lowercase();
    let (sent, said) = unseal(Some(&["yes", "", "secret"]), &[]).await;
    assert!(!sent && said.contains("64 hexadecimal digits") && !said.contains(&offered), "{said}");
    let (sent, said) = unseal(Some(&[&"00".repeat(32), "secret"]), &[]).await;
    assert!(!sent && said.contains("another key") && !said.contains(&offered), "{said}");
    let (sent, said) = unseal(Some(&["yes", &spaced, "secret"]), &[]).await;
    assert!(sent, "{said}");
}

#[tokio::test]
async fn what_was_removed_is_named_in_json() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    for (arguments, name, value) in [
        (&["user", "remove", "alice"][..], "removed", "alice"),
        (&["group", "remove", "builders"], "removed", "builders"),
        (&["project", "remove", "release"], "removed", "release"),
        (&["service-account", "remove", "ci"], "removed", "ci"),
        (&["service-account", "token", "revoke", "ci", ID], "revoked", ID),
    ] {
        let output = person.run(&[&["admin"], arguments, &["--yes", "--json"]].concat(), "").await;
        let done: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        assert_eq!(done, json!({name: value}), "{arguments:?}");
    }
    let output = person.run(&["admin", "grant", "revoke", ID, "--json"], "").await;
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"revoked": ID}));
}

#[tokio::test]
async fn a_refused_import_says_what_was_left_out_before() {
    let identity = Identity::new("localhost");
    let (person, _server) = administrator(&identity).await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../openpgp/tests/data/certify-no-cross-signature.bin");
    let (code, said) = run(&person, &["key", "import", "release/tags", file]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("left out: subkey") && said.contains("has not signed the primary key in return"), "{said}");
    assert!(said.contains("gpg --edit-key 4AFBF4CF892C1CDDDABB6FE65CA9C942E0D9E773 cross-certify save"), "{said}");
}
