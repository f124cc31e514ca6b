//! Sealing and unsealing, with the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use common::{Signer, generate, init, run, using};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::{Operation, ResponseBody, SignerError};

const PASSPHRASE: &str = "correct horse battery";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn unseal(folder: &Path, passphrase: &str) -> (bool, String) {
    let output = run(&["unseal", "--folder", folder.to_str().unwrap(), "--passphrase-file", "-"], passphrase);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

fn sign() -> Operation {
    Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] }
}

#[test]
fn init_makes_private_files_and_prints_no_secret() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("signer/default");
    let printed = init(&folder, &["--seal", "key-file"], "");
    let key = std::fs::read(folder.join("master.key")).unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(mode(&folder), 0o700);
    for name in ["master.key", "seal.json", "journal.jsonl"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    let made: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(made["seal"], "key-file");
    assert_eq!(made["key-file-created"], true);
    // Neither output nor seal hold the key, whatever the encoding.
    for secret in [data_encoding::HEXLOWER.encode(&key), data_encoding::BASE64.encode(&key)] {
        assert!(!printed.to_lowercase().contains(&secret.to_lowercase()));
        assert!(!std::fs::read_to_string(folder.join("seal.json")).unwrap().contains(&secret));
    }
}

#[test]
fn init_never_touches_what_is_there() {
    let folder = common::folder();
    let files = |name| std::fs::read(folder.path().join(name)).unwrap();
    let before = (files("seal.json"), files("master.key"));
    let output = run(&["init", "--folder", folder.path().to_str().unwrap(), "--seal", "key-file"], "");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("exists already"));
    assert_eq!((files("seal.json"), files("master.key")), before);
}

#[test]
fn an_existing_key_file_elsewhere_is_used_and_must_be_private() {
    let outer = tempfile::tempdir().unwrap();
    let (folder, key) = (outer.path().join("signer"), outer.path().join("key"));
    std::fs::write(&key, [5; 32]).unwrap();
    let args =
        ["init", "--folder", folder.to_str().unwrap(), "--seal", "key-file", "--key-file", key.to_str().unwrap()];
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let output = run(&args, "");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("mode 0640") && text.contains("chmod 600"), "{text}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(run(&args, "").status.success());
    assert!(!folder.join("master.key").exists());

    let mut signer = Signer::start(&folder);
    assert!(!signer.status().0);
    assert!(signer.stop().success());

    // Loosened later: it stays sealed, says why, and opens once that is mended.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o604)).unwrap();
    let mut signer = Signer::start(&folder);
    assert!(signer.status().0);
    assert!(signer.wait_for_log("event=sealed").contains("chmod 600"));
    let (fine, text) = unseal(&folder, "");
    assert!(!fine && text.contains("chmod 600"), "{text}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(unseal(&folder, ""), (true, "unsealed\n".into()));
    assert!(!signer.status().0);
}

#[test]
fn another_key_file_does_not_open_the_seal() {
    let folder = common::folder();
    std::fs::write(folder.path().join("master.key"), [9; 32]).unwrap();
    let mut signer = Signer::start(folder.path());
    assert!(signer.status().0);
    assert!(signer.wait_for_log("event=sealed").contains("not the one that this store was sealed with"));
}

#[test]
fn a_sealed_signer_says_so_until_the_right_passphrase_comes() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--seal", "passphrase", "--passphrase-file", "-"], PASSPHRASE);
    let mut signer = Signer::start(folder.path());
    assert!(signer.status().0);
    let make = generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    assert_eq!(signer.ask(make.clone()), Err(SignerError::Sealed));
    signer.wait_for_log("event=started");
    assert_eq!(mode(&folder.path().join("control.sock")), 0o600);

    let start = Instant::now();
    let (fine, text) = unseal(folder.path(), "wrong horse battery");
    assert!(!fine && text.contains("the passphrase is wrong"), "{text}");
    assert!(start.elapsed().as_millis() >= 500, "it is slowed down");
    assert!(signer.status().0);

    assert_eq!(unseal(folder.path(), PASSPHRASE), (true, "unsealed\n".into()));
    assert_eq!(unseal(folder.path(), PASSPHRASE), (true, "already open\n".into()));
    let Ok(ResponseBody::Generated { key, .. }) = signer.ask(make) else { panic!() };
    assert!(matches!(signer.operate(&key, sign()), Ok(ResponseBody::Signature(_))));
    assert!(signer.stop().success());
    assert!(!folder.path().join("control.sock").exists());

    // Sealed again after a restart: the row alone is worth nothing.
    let mut signer = Signer::start(folder.path());
    let id = signer.send(using(&key, sign()));
    assert_eq!(signer.wait(id), Err(SignerError::Sealed));
    assert_eq!(unseal(folder.path(), &format!("{PASSPHRASE}\n")).1, "unsealed\n");
    assert!(matches!(signer.operate(&key, sign()), Ok(ResponseBody::Signature(_))));

    // The memory that argon2 took is given back.
    let status = std::fs::read_to_string(format!("/proc/{}/status", signer.pid())).unwrap();
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 16 * 1024, "{kib} KiB resident");
}

#[test]
fn a_passphrase_that_is_too_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let output = run(&["init", "--folder", path, "--seal", "passphrase", "--passphrase-file", "-"], "thirteen char\n");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("at least 14 characters"));
    assert!(!folder.path().join("seal.json").exists());
}

#[test]
fn a_missing_keeper_key_is_made_by_an_explicit_command_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    init(folder.path(), &["--seal", "key-file"], "");
    let key = folder.path().join("keeper.key");
    let print = |more: &[&str]| run(&[&["keeper-key", "--folder", path][..], more].concat(), "");
    let before = String::from_utf8(print(&[]).stdout).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = print(&[]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("keeper-key --new"));
    assert!(!run(&["serve", "--folder", path, "--socket-fd", "0"], "").status.success());
    assert!(!key.exists(), "nothing made it silently");
    let made = String::from_utf8(print(&["--new"]).stdout).unwrap();
    assert_ne!(made, before);
    assert_eq!(String::from_utf8(print(&[]).stdout).unwrap(), made);
    assert!(!print(&["--new"]).status.success(), "an existing one stays");
}

#[test]
fn a_systemd_credential_opens_the_seal() {
    let outer = tempfile::tempdir().unwrap();
    let (folder, credentials) = (outer.path().join("signer"), outer.path().join("credentials"));
    std::fs::create_dir(&credentials).unwrap();
    let credential = credentials.join("sealcard-master");
    let args = [
        "init",
        "--folder",
        folder.to_str().unwrap(),
        "--seal",
        "systemd-credential",
        "--credential",
        "sealcard-master",
    ];
    let output = run(&args, "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("LoadCredentialEncrypted=sealcard-master"), "{output:?}");
    std::fs::write(&credential, [8; 32]).unwrap();
    std::fs::set_permissions(&credential, std::fs::Permissions::from_mode(0o400)).unwrap();
    let made = std::process::Command::new(common::BINARY)
        .args(args)
        .env_clear()
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut signer = Signer::start_with(&folder, |command| {
        command.env("CREDENTIALS_DIRECTORY", &credentials);
    });
    assert!(!signer.status().0);
    assert!(signer.stop().success());
    // An access control list shows in the group's bits, but only what is root's and its group's can have one of
    // systemd's.
    let root = nix::unistd::geteuid().is_root();
    let foreign_group = root.then_some((0o440, Some(1), true));
    for (mode, group, sealed) in
        [(0o440, None, !root), (0o404, None, true), (0o420, None, true)].into_iter().chain(foreign_group)
    {
        std::os::unix::fs::chown(&credential, None, group).unwrap();
        std::fs::set_permissions(&credential, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut signer = Signer::start_with(&folder, |command| {
            command.env("CREDENTIALS_DIRECTORY", &credentials);
        });
        assert_eq!(signer.status().0, sealed, "mode {mode:o}");
        assert!(signer.stop().success());
    }
    let mut without = Signer::start(&folder);
    assert!(without.status().0);
    without.wait_for_log("CREDENTIALS_DIRECTORY is not set");
}

#[test]
fn a_damaged_seal_is_named_and_nothing_starts() {
    let folder = common::folder();
    let path = folder.path().join("seal.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"version\"", "\"versoin\"", 1)).unwrap();
    let mut signer = Signer::start(folder.path());
    assert!(signer.wait_for_log("event=failed").contains("seal.json is damaged"));
    assert!(!signer.wait_for_end().success());
}

#[test]
fn another_user_gets_no_answer_on_the_control_socket() {
    use std::os::unix::process::CommandExt as _;
    if !nix::unistd::geteuid().is_root() {
        // Only root can become somebody else; and another user does not even get into the folder.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), &["--seal", "passphrase", "--passphrase-file", "-"], PASSPHRASE);
    let mut signer = Signer::start(folder.path());
    assert!(signer.status().0);
    signer.wait_for_log("event=started");
    // Even when the modes do not keep others out.
    for (path, mode) in [(folder.path().to_owned(), 0o755), (folder.path().join("control.sock"), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    // A copy, because the build folder may be closed to that user.
    let program = tempfile::tempdir().unwrap();
    std::fs::set_permissions(program.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = program.path().join("sealcard-signer");
    std::fs::copy(common::BINARY, &copy).unwrap();
    let output = std::process::Command::new(copy)
        .args(["unseal", "--passphrase-file", "/dev/null", "--folder"])
        .arg(folder.path())
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{output:?}");
    signer.wait_for_log("event=control-peer-refused uid=65534");
    assert!(signer.status().0);
}
