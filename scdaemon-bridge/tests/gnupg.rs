//! The `sealcard` command and the machine's GnuPG.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::{fs, path::Path};

use support::{
    Identity,
    person::{Person, server, text},
    sockets::{Sockets, make_home},
};

/// A person with a GnuPG home.
fn person() -> Person {
    let person = Person::new();
    make_home(&person.path("gnupg"));
    person
}

async fn succeed(person: &Person, arguments: &[&str], input: &str) -> String {
    let output = person.run(arguments, input).await;
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output));
    text(&output)
}

#[tokio::test]
async fn an_agent_of_systemds_sockets_is_restarted() {
    let identity = Identity::new("localhost");
    let server = server(&identity).await;
    let person = person();
    let home = person.path("gnupg");
    let _sockets = Sockets::of(&home).await;
    let ask = async |command: &str| {
        let mut connect = tokio::process::Command::new("gpg-connect-agent");
        let output = connect.args([command, "/bye"]).env("GNUPGHOME", &home).output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let mut process = ask("GETINFO pid").await;
    let url = server.url();
    let fingerprint = identity.fingerprint().hex();
    let login = ["login", &url, "--fingerprint", &fingerprint, "--user", "jane", "--password-file", "-", "--no-sync"];
    succeed(&person, &login, "correct horse\n").await;
    for (arguments, ours) in [
        (&["setup", "--no-sync"][..], true),
        (&["setup", "--remove"], false),
        (&["setup", "--no-sync"], true),
        (&["reset", "--yes"], false),
    ] {
        succeed(&person, arguments, "").await;
        let now = ask("GETINFO pid").await;
        assert_ne!(now, process, "{arguments:?}");
        assert_eq!(ask("SCD GETINFO sealcard_version").await.contains(env!("CARGO_PKG_VERSION")), ours);
        process = now;
    }
}

const GRIPS: [&str; 3] = [
    "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222",
    "3333333333333333333333333333333333333333",
];
const SERIALS: [&str; 3] =
    ["D276000124010304FF00000000010000", "D276000124010304FF00000000020000", "D2760001240103040006123456780000"];

/// gpg-agent's file for a key on a card, as GnuPG 2.2 writes it and later ones read it.
fn write_stub(home: &Path, grip: &str, serial: &str) {
    let folder = home.join("private-keys-v1.d");
    make_home(&folder);
    let mut stub = b"(20:shadowed-private-key(3:ecc(5:curve7:Ed25519)(5:flags5:eddsa)(1:q33:@".to_vec();
    stub.extend([7; 32]);
    stub.extend(b")(8:shadowed5:t1-v1(16:");
    stub.extend((0..16).map(|at| u8::from_str_radix(&serial[2 * at..2 * at + 2], 16).unwrap()));
    stub.extend(b"9:OPENPGP.1))))");
    fs::write(folder.join(format!("{grip}.key")), stub).unwrap();
}

/// What syncs remember of two servers' cards: the first is gone, the second is of another server than the last sync's.
fn write_known_cards(person: &Person) {
    let card = |server: u128, grip: &str, listed: bool| {
        serde_json::json!({
            "server-id": uuid::Uuid::from_u128(server),
            "server": format!("https://server-{server}"),
            "fingerprint": "A".repeat(40),
            "name": "old",
            "listed": listed,
            "grips": [grip],
        })
    };
    let known = serde_json::json!({
        "cards": { SERIALS[0]: card(1, GRIPS[0], false), SERIALS[1]: card(2, GRIPS[1], true) },
    });
    let folder = person.path("state");
    make_home(&folder);
    fs::write(folder.join("known-cards.json"), known.to_string()).unwrap();
}

#[tokio::test]
async fn unsync_forgets_stubs_of_vanished_cards_and_other_servers() {
    for arguments in [&["unsync", "--yes"][..], &["setup", "--remove"], &["reset", "--yes"]] {
        let person = person();
        let home = person.path("gnupg");
        write_known_cards(&person);
        for (grip, serial) in GRIPS.iter().zip(SERIALS) {
            write_stub(&home, grip, serial);
        }
        succeed(&person, arguments, "").await;
        let exists = GRIPS.map(|grip| home.join(format!("private-keys-v1.d/{grip}.key")).exists());
        // The third is of a token that has nothing to do with Sealcard.
        assert_eq!(exists, [false, false, true], "{arguments:?}");
        end_agent(&home).await;
    }
}

#[tokio::test]
async fn unsync_gone_keeps_the_keys_that_can_be_used() {
    let person = person();
    let home = person.path("gnupg");
    write_known_cards(&person);
    for (grip, serial) in GRIPS.iter().zip(SERIALS) {
        write_stub(&home, grip, serial);
    }
    let said = succeed(&person, &["unsync", "--gone", "--yes"], "").await;
    assert!(said.contains("gpg forgot 1 key on cards and 0 public keys"), "{said}");
    let exists = GRIPS.map(|grip| home.join(format!("private-keys-v1.d/{grip}.key")).exists());
    assert_eq!(exists, [false, true, true]);
    let known = fs::read_to_string(person.path("state/known-cards.json")).unwrap();
    assert!(!known.contains(SERIALS[0]) && known.contains(SERIALS[1]), "{known}");
    end_agent(&home).await;
}

async fn end_agent(home: &Path) {
    let mut gpgconf = tokio::process::Command::new("gpgconf");
    gpgconf.args(["--kill", "gpg-agent"]).env("GNUPGHOME", home).status().await.unwrap();
}

#[tokio::test]
async fn reset_leaves_no_folder_of_sealcard() {
    let person = person();
    for file in ["config/known-signers.json", "state/last.json", "state/trace.log.1"] {
        let path = person.path(file);
        make_home(path.parent().unwrap());
        fs::write(path, "").unwrap();
    }
    let said = succeed(&person, &["reset", "--yes"], "").await;
    assert!(!said.contains("stays"), "{said}");
    assert!(!person.path("config").exists() && !person.path("state").exists());
}

#[tokio::test]
async fn last_says_what_gpg_does_not_ask_for() {
    let said = succeed(&person(), &["last"], "").await;
    assert!(said.contains("did not ask Sealcard") && said.contains("without `!`"), "{said}");
}

#[tokio::test]
async fn setup_without_gpg_says_once_what_to_install() {
    let person = person().with("PATH", "/nonexistent");
    let output = person.run(&["setup"], "").await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("gpg is not installed") && said.contains("gnupg"), "{said}");
    assert!(!said.contains("No such file"), "{said}");
}

#[tokio::test]
async fn setup_leaves_a_managed_agent_configuration_alone() {
    let person = person();
    let (home, dotfiles) = (person.path("gnupg"), person.path("dotfiles.conf"));
    fs::write(&dotfiles, "default-cache-ttl 60\n").unwrap();
    std::os::unix::fs::symlink(&dotfiles, home.join("gpg-agent.conf")).unwrap();
    let output = person.run(&["setup", "--no-sync"], "").await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let said = text(&output);
    let line = said.lines().map(str::trim).find(|line| line.starts_with("scdaemon-program /")).unwrap().to_owned();
    let mut names: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name != "private-keys-v1.d");
    assert_eq!(names, ["gpg-agent.conf"]);

    fs::write(&dotfiles, format!("default-cache-ttl 60\n{line}\n")).unwrap();
    succeed(&person, &["setup", "--no-sync"], "").await;
    succeed(&person, &["setup", "--no-sync"], "").await;
    assert!(home.join("sealcard.conf").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_slow_gpg_is_named_on_a_terminal_while_it_runs() {
    use std::os::unix::fs::PermissionsExt as _;

    let person = person();
    let slow = person.path("slow");
    make_home(&slow);
    fs::write(slow.join("gpg"), "#!/bin/sh\nsleep 3\nexec /usr/bin/gpg \"$@\"\n").unwrap();
    fs::set_permissions(slow.join("gpg"), fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/bin:/bin", slow.display());
    let person = person.with("PATH", path);
    let shown = text(&person.type_into(&["version"], &[]).await);
    assert_eq!(shown.matches("waiting for gpg …").count(), 1, "{shown}");
    // The line is gone before the answer is shown.
    let (_, after) = shown.split_once("waiting for gpg …").unwrap();
    assert!(after.starts_with("\r\u{1b}[K") && after.contains("gpg"), "{shown:?}");
    // In a pipe there is only the answer.
    let piped = text(&person.run(&["version"], "").await);
    assert!(piped.contains("gpg") && !piped.contains("waiting"), "{piped}");
}
