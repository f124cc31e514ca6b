//! What shells and `man` make of the command: completion with real names, and manual pages.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use sealcard_api::grants::ServerInfo;
use serde_json::json;
use support::{
    Identity, Reply, Server, issued,
    person::{Person, text},
};

/// A server with a key, a user and a project.
async fn server(identity: &Identity) -> Server {
    let page = |items: serde_json::Value| Reply::ok(&json!({"items": items, "next": null}));
    Server::start(identity.config(&identity.key), move |_, asked| {
        match (asked.method.as_str(), asked.path.split('?').next().unwrap()) {
            ("GET", "/v1/server") => Reply::ok(&ServerInfo {
                server_id: uuid::Uuid::from_u128(1),
                version: "0.1.0".to_owned(),
                trial: false,
            }),
            ("POST", "/v1/login") => Reply::ok(&issued("token", 0, 3600)),
            ("GET", "/v1/keys") => page(json!([{"project": "release", "name": "tags", "user_id": "Tags"},
                            {"project": "release", "name": "evil\u{1b}[2J", "user_id": "Evil"}])),
            ("GET", "/v1/users") => page(json!([{"name": "alice"}, {"name": "albert"}, {"name": "bob"}])),
            ("GET", "/v1/projects") => page(json!([{"name": "release"}])),
            _ => Reply::problem(sealcard_api::problem::ProblemCode::NotFound),
        }
    })
    .await
}

async fn logged_in(server: &Server, identity: &Identity) -> Person {
    let person = Person::new();
    let (url, fingerprint) = (server.url(), identity.fingerprint().hex());
    let output = person.run(&["settoken", &url, "--fingerprint", &fingerprint], "sct_right").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    person
}

/// What bash offers for the last of these words.
async fn completed(person: &Person, words: &[&str]) -> Vec<String> {
    let script = person.path("completion.bash");
    fs::write(&script, person.run(&["completions", "bash"], "").await.stdout).unwrap();
    let drive = shells("complete.bash");
    let arguments = [&[drive.to_str().unwrap(), script.to_str().unwrap(), "sealcard"], words].concat();
    let output = person.run_program("bash", &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    lines(&output)
}

/// A program of the folder `tests/shells`.
fn shells(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/shells").join(name)
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_the_names_that_the_server_knows() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = logged_in(&server, &identity).await;
    for (words, names) in [
        (&["sealcard", "admin", "key", "show", ""][..], &["release/tags"][..]),
        (&["sealcard", "admin", "key", "show", "ta"], &["release/tags"]),
        (&["sealcard", "admin", "user", "show", "al"], &["alice", "albert"]),
        (&["sealcard", "admin", "key", "list", "--project", ""], &["release"]),
        (&["sealcard", "admin", "key", "create", "--algorithm", "nist"], &["nistp256", "nistp384", "nistp521"]),
        (&["sealcard", "sign", "--hash", ""], &["sha256", "sha384", "sha512"]),
        (&["sealcard", "unsy"], &["unsync"]),
    ] {
        let mut completed = completed(&person, words).await;
        completed.retain(|name| !name.starts_with('-'));
        assert_eq!(completed, names, "{words:?}");
    }
}

/// What zsh and fish load by themselves at the first Tab.
async fn install(person: &Person, shell: &str, file: &str) -> PathBuf {
    let path = person.path(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, person.run(&["completions", shell], "").await.stdout).unwrap();
    path
}

#[tokio::test]
async fn an_interactive_zsh_completes_names() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = logged_in(&server, &identity).await;
    let script = install(&person, "zsh", "functions/_sealcard").await;
    let folder = script.parent().unwrap().to_str().unwrap();
    for (typed, whole) in [
        ("sealcard unsy", "sealcard unsync "),
        ("sealcard admin user show bo", "sealcard admin user show bob "),
        ("sealcard admin user show al", "sealcard admin user show al"),
        ("sealcard admin key show re", "sealcard admin key show release/tags "),
        ("sealcard admin key show ta", "sealcard admin key show tags "),
        ("sealcard sign --hash sha5", "sealcard sign --hash sha512 "),
        ("sealcard admin key list --pro", "sealcard admin key list --project "),
    ] {
        let drive = shells("complete.zsh");
        let output = person.run_program("zsh", &["-f", drive.to_str().unwrap(), folder, typed]).await;
        assert_eq!(lines(&output), [whole], "{}", text(&output));
    }
}

#[tokio::test]
async fn fish_completes_names() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = logged_in(&server, &identity).await;
    install(&person, "fish", ".config/fish/completions/sealcard.fish").await;
    for (typed, offered) in [
        ("sealcard unsy", &["unsync"][..]),
        ("sealcard admin user show al", &["alice", "albert"]),
        ("sealcard admin key show ta", &["release/tags"]),
        ("sealcard admin key create --algorithm nist", &["nistp256", "nistp384", "nistp521"]),
    ] {
        let output = person.run_program("fish", &["-c", &format!("complete -C '{typed}'")]).await;
        let values: Vec<_> = lines(&output).iter().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
        assert_eq!(values, offered, "{typed}: {}", text(&output));
    }
}

#[tokio::test]
async fn paths_are_completed_only_where_paths_belong() {
    let person = Person::new();
    fs::write(person.path("release.tar"), "x").unwrap();
    let prefix = person.path("rel").to_str().unwrap().to_owned();
    assert_eq!(
        completed(&person, &["sealcard", "sign", &prefix]).await,
        [person.path("release.tar").to_str().unwrap()]
    );
    assert!(completed(&person, &["sealcard", "sign", "--key", &prefix]).await.is_empty());
    assert!(completed(&person, &["sealcard", "admin", "user", "add", &prefix]).await.is_empty());
}

#[tokio::test]
async fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = Person::new().run(&["completions", shell], "").await;
        assert!(output.status.success() && text(&output).contains("COMPLETE"), "{shell}: {}", text(&output));
    }
}

#[tokio::test]
async fn groff_takes_every_manual_page_without_a_warning() {
    let person = Person::new();
    let folder = person.path("man");
    let output = person.run(&["man", "--out", folder.to_str().unwrap()], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let pages: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 40, "{} pages", pages.len());
    for page in &pages {
        check(&person, page).await;
    }
    let sign = fs::read_to_string(folder.join("sealcard-sign.1")).unwrap();
    assert!(sign.contains("\\fB\\-\\-key\\fR\\ \\fIKEY\\fR]") && sign.contains("SEALCARD_KEY"), "{sign}");
    let handwritten = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
    for entry in fs::read_dir(handwritten).unwrap() {
        check(&person, &entry.unwrap().path()).await;
    }
}

async fn check(person: &Person, page: &Path) {
    let output = person.run_program("groff", &["-ww", "-man", "-Tutf8", "-z", page.to_str().unwrap()]).await;
    assert!(output.status.success() && text(&output).is_empty(), "{}: {}", page.display(), text(&output));
}

#[tokio::test]
async fn every_command_answers_to_help_and_version() {
    let person = Person::new();
    for (program, argument) in [
        ("sealcard-scdaemon", "--help"),
        ("sealcard-scdaemon", "-h"),
        ("sealcard-scdaemon", "-V"),
        ("sealcard", "help"),
        ("sealcard", "-V"),
    ] {
        let output = person.run_program(program, &[argument]).await;
        assert!(output.status.success() && text(&output).contains("sealcard"), "{program}: {}", text(&output));
    }
}
