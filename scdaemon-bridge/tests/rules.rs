//! `sealcard admin policy` and `sealcard admin template` against a server that answers from a script.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{fs, sync::Mutex};

use sealcard_api::{
    key_rules::Diagnostic,
    problem::{Problem, ProblemCode},
};
use sealcard_bridge::{
    config::{Config, GrantStore, Trust},
    grant::{self, Grant},
};
use serde_json::{Value, json};
use support::{
    Asked, Identity, Reply, Server,
    person::{Person, text},
};

const IN_FORCE: &str = "[rule.hashes]\nhashes = [\"sha256\"]\n";
const WRONG: &str = "[rule.hashes]\nwho = { groups = [\"nobody\"] }\n";

/// The versions of the only rules, and whether the template is withdrawn.
#[derive(Default)]
struct State {
    versions: Vec<String>,
    withdrawn: bool,
}

fn written(note: Option<&str>) -> Value {
    json!({"by": "alice", "time": "2026-01-01T00:00:00Z", "note": note})
}

fn template(name: &str, withdrawn: bool) -> Value {
    let text = format!("[template.{name}]\nhashes = [\"sha256\"]\n");
    json!({"name": name, "version": 3, "text": text, "withdrawn": withdrawn, "visible_to": ["makers"],
        "used_by": [{"kind": "project", "name": "tools"}], "written": written(None)})
}

fn mistake() -> Diagnostic {
    let (message, help) = ("there is no group nobody".to_owned(), Some("add it".to_owned()));
    Diagnostic { message, help, line: 2, column: 19, end_line: 2, end_column: 27 }
}

fn answer(state: &Mutex<State>, asked: &Asked) -> Reply {
    let mut state = state.lock().unwrap();
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let number = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.parse::<usize>().ok());
    let rules = |state: &State| {
        json!({"kind": "project", "name": "tools", "version": state.versions.len(), "templates": ["t"],
            "text": state.versions.last().cloned().unwrap_or_default(), "written": written(None)})
    };
    match (asked.method.as_str(), path) {
        ("GET", "/v1/rules") => Reply::ok(&json!({"items": [{"kind": "key", "name": "tools/tags", "version": 2,
            "templates": ["t"], "written": written(None)}]})),
        ("GET", path) if path.ends_with("/rules/versions") => {
            let before = number("after=").unwrap_or(usize::MAX).min(state.versions.len() + 1);
            let versions = (1..before).rev().take(number("limit=").unwrap());
            let versions = versions.map(|version| {
                json!({"version": version, "text": state.versions[version - 1], "written": written(Some("why"))})
            });
            Reply::ok(&json!({"items": versions.collect::<Vec<_>>()}))
        }
        ("GET", path) if path.ends_with("/rules") && query == "cedar=true" => {
            let mut rules = rules(&state);
            rules["cedar"] = json!("forbid (principal, action, resource);\n");
            Reply::ok(&rules)
        }
        ("GET", path) if path.ends_with("/rules") => Reply::ok(&rules(&state)),
        ("POST", "/v1/rules/check") => {
            let text = body["text"].as_str().unwrap();
            let found = if text == WRONG { vec![mistake()] } else { Vec::new() };
            let names = text.lines().filter_map(|line| line.strip_prefix("[template.")?.strip_suffix(']'));
            let templates = names.map(|name| {
                let text = if name == "t" { template("t", false)["text"].clone() } else { json!(text) };
                json!({"name": name, "text": text})
            });
            Reply::ok(&json!({"diagnostics": found, "cedar": "forbid", "templates": templates.collect::<Vec<_>>()}))
        }
        ("PUT", path) if path.ends_with("/rules") => {
            assert_eq!(body["base"], state.versions.len());
            state.versions.push(body["text"].as_str().unwrap().to_owned());
            Reply::ok(&rules(&state))
        }
        ("POST", path) if path.ends_with("/rules/revert") => {
            // The group of an older version may be gone.
            let problem = Problem { diagnostics: vec![mistake()], ..Problem::new(ProblemCode::RulesInvalid) };
            Reply::Json(422, serde_json::to_string(&problem).unwrap())
        }
        ("GET", "/v1/templates") => Reply::ok(&json!({"items": [template("t", state.withdrawn)]})),
        ("GET", "/v1/templates/t") => Reply::ok(&template("t", state.withdrawn)),
        ("GET", "/v1/templates/new") => Reply::ok(&template("new", false)),
        ("POST", "/v1/templates") => Reply::Json(204, String::new()),
        ("POST", "/v1/templates/t/withdraw") => {
            state.withdrawn = true;
            Reply::ok(&template("t", true))
        }
        ("POST", "/v1/templates/t/restore") => {
            state.withdrawn = false;
            Reply::ok(&template("t", false))
        }
        _ => Reply::problem(ProblemCode::NotFound),
    }
}

/// An administrator of a server where one version of rules is in force.
async fn administrator() -> (Person, Server) {
    let identity = Identity::new("localhost");
    let state = Mutex::new(State { versions: vec![IN_FORCE.to_owned()], withdrawn: false });
    let (person, server) =
        (Person::new(), Server::start(identity.config(&identity.key), move |_, asked| answer(&state, asked)).await);
    let trust = Trust::Certificate { sha256: identity.fingerprint() };
    let config =
        Config { server: server.url(), user: None, grant_store: GrantStore::File, notify_waiting: true, trust };
    config.save(&person.paths()).unwrap();
    let grant = Grant::new(server.url(), support::issued("token-1", 0, 3600)).unwrap();
    grant::save(&person.paths(), GrantStore::File, &grant).unwrap();
    (person, server)
}

async fn run(person: &Person, arguments: &[&str]) -> (i32, String) {
    let output = person.run(&[&["admin"], arguments].concat(), "").await;
    (output.status.code().unwrap(), text(&output))
}

fn file(person: &Person, name: &str, text: &str) -> String {
    let path = person.path(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn changes(server: &Server) -> Vec<(String, Value)> {
    let change = |asked: &Asked| asked.method != "GET" && !asked.path.ends_with("/check");
    let changes = server.asked().into_iter().filter(change);
    changes.map(|asked| (asked.path, serde_json::from_str(&asked.body).unwrap())).collect()
}

#[tokio::test]
async fn rules_are_applied_with_their_difference_and_their_base() {
    let (person, server) = administrator().await;
    let other = IN_FORCE.replace("sha256", "sha512");
    let rules = file(&person, "rules.toml", &other);
    let (code, said) = run(&person, &["policy", "apply", "tools", &rules, "--note", "ticket 12"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("--- version 1, in force") && said.contains("-hashes = [\"sha256\"]"), "{said}");
    assert!(said.contains("+hashes = [\"sha512\"]"), "{said}");
    assert!(said.contains("Applied the rules of the project tools (version 2)."), "{said}");
    let change = json!({"text": other, "base": 1, "note": "ticket 12"});
    assert_eq!(changes(&server), [("/v1/projects/tools/rules".to_owned(), change)]);
    let (code, said) = run(&person, &["policy", "apply", "tools", &rules]).await;
    assert!(code == 0 && said.contains("Nothing to change"), "{said}");
    assert_eq!(changes(&server).len(), 1);

    // Of a key, from standard input, for a program.
    let apply = ["admin", "policy", "apply", "tools/tags", "-", "--json"];
    let output = person.run(&apply, IN_FORCE).await;
    let rules: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rules["version"], 3);
    let (code, said) = run(&person, &["policy", "remove", "--environment", "hsm", "--yes"]).await;
    assert!(code == 0 && said.contains("Removed the rules of the environment hsm (version 4)."), "{said}");
    let paths: Vec<String> = changes(&server).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths[1..], ["/v1/keys/tools%2Ftags/rules", "/v1/environments/hsm/rules"]);
}

#[tokio::test]
async fn mistakes_are_shown_at_their_place_and_nothing_is_applied() {
    let (person, server) = administrator().await;
    let (right, wrong) = (file(&person, "right.toml", IN_FORCE), file(&person, "wrong.toml", WRONG));
    let place = format!(
        "{wrong}:2:19\n  |\n2 | who = {{ groups = [\"nobody\"] }}\n  |                   ^^^^^^^^\n  = help: add it"
    );
    for command in [&["policy", "check", "tools"][..], &["policy", "apply", "tools"], &["template", "check"]] {
        let (code, said) = run(&person, &[command, &[&wrong]].concat()).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("error: there is no group nobody") && said.contains(&place), "{said}");
        assert!(said.contains("1 mistake found"), "{said}");
    }
    let (code, said) = run(&person, &["policy", "check", "--environment", "hsm", &right]).await;
    assert!(code == 0 && said.contains("right.toml has no mistakes"), "{said}");
    let output = person.run(&["admin", "policy", "check", "tools", &wrong, "--json"], "").await;
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &checked["diagnostics"][0]["line"]), (Some(1), &json!(2)));
    // What the server finds only when it applies them.
    file(&person, "other.toml", "# other\n");
    let (code, said) = run(&person, &["policy", "apply", "tools", person.path("other.toml").to_str().unwrap()]).await;
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(&person, &["policy", "revert", "tools", "1"]).await;
    assert!(code == 1 && said.contains("--> version 1:2:19"), "{said}");
    assert_eq!(changes(&server).len(), 2);
}

#[tokio::test]
async fn wrong_files_and_targets_are_refused_without_the_server() {
    let (person, server) = administrator().await;
    let rules = file(&person, "rules.toml", IN_FORCE);
    let long = file(&person, "long.toml", &"#".repeat(65_537));
    fs::write(person.path("binary"), [0xff, 0xfe]).unwrap();
    for (arguments, code, says) in [
        (&["policy", "apply", &rules][..], 2, "required"),
        (&["policy", "apply", "tools", &rules, "--environment", "hsm"], 2, "cannot be used with"),
        (&["policy", "apply", "tools", "/nonexistent"], 1, "can't read /nonexistent"),
        (&["policy", "apply", "tools", &long], 1, "more than 65536 bytes"),
        (&["template", "apply", person.path("binary").to_str().unwrap()], 1, "not valid UTF-8"),
    ] {
        let (ended, said) = run(&person, arguments).await;
        assert!(ended == code && said.contains(says), "{arguments:?}: {ended} {said}");
    }
    assert!(server.asked().is_empty());
    let empty = file(&person, "empty.toml", "\n");
    let (code, said) = run(&person, &["policy", "apply", "tools", &empty]).await;
    assert!(code == 1 && said.contains("sealcard admin policy remove tools"), "{said}");
    let (code, said) = run(&person, &["policy", "remove", "tools"]).await;
    assert!(code == 1 && said.contains("--yes"), "{said}");
    assert_eq!(changes(&server), []);
}

#[tokio::test]
async fn person_at_a_terminal_is_asked_before_rules_change() {
    let (person, server) = administrator().await;
    let rules = file(&person, "rules.toml", "[rule.b]\nhashes = [\"sha512\"]\n");
    let apply = ["admin", "policy", "apply", "tools", &rules];
    let output = person.type_into(&apply, &["n"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("Apply this to the rules of the project tools? [y/N]"), "{}", text(&output));
    assert_eq!(changes(&server), []);
    let output = person.type_into(&apply, &["y"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(changes(&server).len(), 1);
}

#[tokio::test]
async fn history_counts_lines_and_shows_what_a_version_changed() {
    let (person, _server) = administrator().await;
    let rules = file(&person, "rules.toml", &IN_FORCE.replace("sha256", "sha512"));
    run(&person, &["policy", "apply", "tools", &rules]).await;
    run(&person, &["policy", "remove", "tools", "--yes"]).await;
    let (code, said) = run(&person, &["policy", "history", "tools"]).await;
    let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(code, 0, "{said}");
    let lines: Vec<_> = rows[1..].iter().map(|row| (row[0], row[3], row.last().copied().unwrap())).collect();
    assert_eq!(lines, [("3", "alice", "why"), ("2", "alice", "why"), ("1", "alice", "why")], "{said}");
    assert!(rows[1].contains(&"removed") && rows[2][4..6] == ["+1", "-1"] && rows[3][4..6] == ["+2", "-0"], "{said}");
    let (code, said) = run(&person, &["policy", "history", "tools", "--limit", "1", "--json"]).await;
    let listed: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (code, listed["versions"].as_array().unwrap().len(), &listed["versions"][0]["removed"]),
        (0, 1, &json!(2))
    );
    let (code, said) = run(&person, &["policy", "history", "tools", "--diff", "2"]).await;
    assert!(code == 0 && said.contains("--- version 1") && said.contains("+hashes = [\"sha512\"]"), "{said}");
    let (code, said) = run(&person, &["policy", "history", "tools", "--diff", "9"]).await;
    assert!(code == 1 && said.contains("there is no version 9"), "{said}");
}

#[tokio::test]
async fn rules_are_shown_as_they_were_written_and_in_cedar() {
    let (person, _server) = administrator().await;
    assert_eq!(run(&person, &["policy", "show", "tools"]).await, (0, IN_FORCE.to_owned()));
    let (code, said) = run(&person, &["policy", "show", "tools/tags", "--cedar"]).await;
    assert_eq!((code, said.as_str()), (0, "forbid (principal, action, resource);\n"));
    let (code, said) = run(&person, &["policy", "list"]).await;
    assert!(code == 0 && said.contains("tools/tags  key"), "{said}");
    run(&person, &["policy", "remove", "tools", "-y"]).await;
    let (code, said) = run(&person, &["policy", "show", "tools"]).await;
    assert!(code == 0 && said.contains("roles and the key's state alone decide"), "{said}");
}

#[tokio::test]
async fn templates_of_a_file_are_applied_together() {
    let (person, server) = administrator().await;
    let new = "[template.new]\nhashes = [\"sha256\"]\n";
    let both = format!("{}{new}", template("t", false)["text"].as_str().unwrap());
    let path = file(&person, "templates.toml", &both);
    let (code, said) = run(&person, &["template", "apply", &path]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Applied the template new") && said.contains("the template t is so already"), "{said}");
    let [(path, change)] = changes(&server).try_into().unwrap();
    assert_eq!((path.as_str(), &change["text"], &change["bases"]), ("/v1/templates", &json!(both), &json!([])));
}

#[tokio::test]
async fn template_is_withdrawn_after_a_list_of_what_it_concerns() {
    let (person, server) = administrator().await;
    let (code, said) = run(&person, &["template", "withdraw", "t"]).await;
    assert!(code == 1 && said.contains("project tools") && said.contains("--yes"), "{said}");
    assert_eq!(changes(&server), []);
    let (code, said) = run(&person, &["template", "withdraw", "t", "--yes", "--note", "unsafe"]).await;
    assert!(code == 0 && said.contains("Withdrew the template t"), "{said}");
    assert_eq!(changes(&server)[0].1, json!({"base": 3, "note": "unsafe"}));
    let (_, said) = run(&person, &["template", "list"]).await;
    assert!(said.contains("withdrawn  makers"), "{said}");
    let (code, said) = run(&person, &["template", "restore", "t"]).await;
    assert!(code == 0 && said.contains("Restored the template t"), "{said}");
}
