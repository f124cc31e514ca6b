//! Making a data folder.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use crate::harness::{PASSWORD, Place, below, failure, success};

#[test]
fn init_makes_everything_for_its_owner_only_and_says_what_it_made() {
    let place = Place::new();
    let text = success(&place.init(&["--name", "sealcard.example"]));
    let data = place.data();
    for name in ["server.toml", "sealcard.db", "tls/ca.pem", "tls/server.key", "signer/default/seal.json"] {
        assert!(data.join(name).is_file(), "{name}");
    }
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    for (path, metadata) in below(&data) {
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
        if metadata.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()), "{}", path.display());
        }
    }
    let fingerprint = success(&place.run(&["tls", "fingerprint"]));
    assert!(text.contains(fingerprint.trim()) && fingerprint.trim().len() == 95, "{text}");
    for part in ["sealcard-server serve", "sealcard login https://sealcard.example", "admin"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let checked = success(&place.run(&["config", "check"]));
    assert!(checked.contains("sealcard.example") && checked.contains("request-seconds = 30"), "{checked}");
}

#[test]
fn a_first_project_with_a_wrong_name_is_refused_before_anything_is_made() {
    let place = Place::new();
    let error = failure(&place.init(&["--project", "a b"]));
    assert!(error.contains("--project"), "{error}");
    assert!(!place.data().exists());
    let text = success(&place.init(&["--project", "release"]));
    assert!(text.contains("  Project         release\n"), "{text}");
}

/// Started by hand, a server whose store systemd opens would come up sealed.
#[test]
fn with_a_credential_of_systemd_init_tells_of_the_unit() {
    let place = Place::new();
    let credentials = place.path("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("seal"), [7; 32]).unwrap();
    fs::set_permissions(credentials.join("seal"), Permissions::from_mode(0o400)).unwrap();
    let mut init = place.init_command(&["--seal", "systemd-credential", "--seal-credential", "seal"]);
    let text = success(&init.env("CREDENTIALS_DIRECTORY", &credentials).output().unwrap());
    let serve = format!("ExecStart=/usr/bin/sealcard-server serve --data {}\n", place.data().display());
    for part in ["opened at each start by the systemd credential seal", &serve, "LoadCredentialEncrypted=seal\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_existing_folder_is_never_touched() {
    let place = Place::new();
    success(&place.init(&[]));
    let before = fs::read(place.data().join("tls/server.pem")).unwrap();
    let error = failure(&place.init(&[]));
    assert!(error.contains("nothing was changed"), "{error}");
    assert_eq!(fs::read(place.data().join("tls/server.pem")).unwrap(), before);

    let other = Place::new();
    fs::create_dir(other.data()).unwrap();
    fs::write(other.data().join("thesis.txt"), "years of work").unwrap();
    let error = failure(&other.init(&[]));
    assert!(error.contains("thesis.txt"), "{error}");
    assert_eq!(fs::read(other.data().join("thesis.txt")).unwrap(), b"years of work");
}

#[test]
fn an_init_that_fails_leaves_nothing() {
    let place = Place::new();
    fs::write(place.path("password"), "short\n").unwrap();
    let error = failure(&place.init(&[]));
    assert!(error.contains("at least 12 characters"), "{error}");
    assert!(!place.data().exists());
    // The signer is the last to be asked for a secret: it refuses an empty passphrase.
    fs::write(place.path("password"), format!("{PASSWORD}\n")).unwrap();
    fs::write(place.path("passphrase"), "\n").unwrap();
    let file = place.path("passphrase");
    failure(&place.init(&["--seal", "passphrase", "--seal-passphrase-file", file.to_str().unwrap()]));
    assert!(!place.data().exists());
}

/// `script` gives the command a terminal, in which these lines are typed.
#[cfg(target_os = "linux")]
#[test]
fn a_password_that_is_short_or_mistyped_is_asked_for_again() {
    use std::{io::Write, process::Stdio};

    let place = Place::new();
    let init = place.typed_init_command();
    let line = std::iter::once(init.get_program())
        .chain(init.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect::<Vec<_>>()
        .join(" ");
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"]);
    let mut child = script.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = ["short", PASSWORD, "correct horse batterie", PASSWORD, PASSWORD];
    child.stdin.take().unwrap().write_all(format!("{}\n", lines.join("\n")).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = success(&output);
    for part in ["at least 12 characters.", "The two passwords differ.", "The server is set up"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("correct horse"), "{shown}");
}

#[test]
fn an_init_that_was_killed_is_cleaned_up_by_the_next_one() {
    let place = Place::new();
    let data = place.data();
    fs::create_dir_all(data.join("signer/default")).unwrap();
    fs::write(data.join("init-unfinished"), "").unwrap();
    fs::write(data.join("signer/default/seal.json"), "{").unwrap();
    fs::write(data.join("sealcard.db"), "half").unwrap();
    let error = failure(&place.run(&["serve"]));
    assert!(error.contains("incomplete"), "{error}");
    success(&place.init(&[]));
    assert!(!data.join("init-unfinished").exists());
    place.serve().stop();
}

#[test]
fn an_existing_empty_folder_is_taken_and_kept() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    let error = failure(&place.init(&["--seal", "passphrase", "--seal-key-file", "x"]));
    assert!(error.contains("--seal-key-file goes with --seal key-file"), "{error}");
    assert!(place.data().is_dir());
    success(&place.init(&[]));
}

#[test]
fn without_a_terminal_a_missing_password_is_an_error_that_says_what_to_do() {
    let place = Place::new();
    let output = place.command(&["init", "--trial"]).output().unwrap();
    let error = failure(&output);
    assert!(error.contains("--admin-password-file") || error.contains("sealcard-signer"), "{error}");
    assert!(!place.data().exists());
}

#[test]
fn given_certificates_are_tried_out_before_anything_is_made() {
    let place = Place::new();
    success(&place.init(&[]));
    let (certificate, key) = (place.data().join("tls/server.pem"), place.data().join("tls/server.key"));
    let other = Place::new();
    let with = |certificate: &std::path::Path, key: &std::path::Path| {
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        other.init(&["--tls-cert", certificate, "--tls-key", key])
    };
    failure(&with(&certificate, &place.data().join("tls/ca.key")));
    assert!(!other.data().exists());
    let text = success(&with(&certificate, &key));
    assert!(text.contains(certificate.to_str().unwrap()), "{text}");
    let error = failure(&other.run(&["tls", "renew"]));
    assert!(error.contains("no authority of its own"), "{error}");
}
