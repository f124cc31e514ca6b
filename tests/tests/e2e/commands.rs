//! Commands that choose, show or take back what lies on a workstation, with the real gpg.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use anyhow::{Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Workstation, run};

use crate::support::{builder, expect_no_prompt, playground};

with_every_gpg![
    unsync_takes_back_what_sync_did_and_sync_does_it_again,
    unsync_leaves_what_gpg_had_before,
    a_reset_leaves_gpg_as_it_was_before_sealcard,
    a_traced_signature_tells_every_step_and_nothing_that_was_signed,
];

const DEADLINE: Duration = Duration::from_secs(60);

fn unsync_takes_back_what_sync_did_and_sync_does_it_again(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    make_own_key(station)?;
    station.run_sealcard(&["sync", "--ownertrust"])?;
    // Nobody can be asked: stubs go, public keys stay.
    let kept = station.run_sealcard(&["unsync"])?;
    ensure!(kept.stderr.contains("--yes"), "{}", kept.description());
    ensure!(secret_keys(station)? == 1, "stubs are left");
    station.gpg(&["--list-keys", key])?;
    station.run_sealcard(&["sync", "--ownertrust"])?;
    station.try_sign(key)?.success()?;

    station.run_sealcard(&["unsync", "--yes"])?;
    ensure!(secret_keys(station)? == 1, "stubs are left");
    station.try_gpg(&["--list-keys", key])?.failure()?;
    station.gpg(&["--list-secret-keys", "own@example.org"])?;
    let trust = station.gpg(&["--export-ownertrust"])?.text();
    ensure!(!trust.contains(&format!("{key}:6:")), "{trust}");

    station.run_sealcard(&["sync"])?;
    station.try_sign(key)?.success()?;
    expect_no_prompt(&playground)
}

fn unsync_leaves_what_gpg_had_before(flavour: Flavour) -> Result<()> {
    let playground = builder()?.flavour(flavour).without_login().start()?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let other = &playground.key(Algorithm::NistP256)?.fingerprint;
    let show = ["admin", "key", "show", key.as_str(), "--certificate"];
    let certificate = run(&mut playground.admin.command(&show), DEADLINE)?.success()?;
    station.gpg_with_input(&["--import"], &certificate.stdout)?;
    station.login(&playground.server, &playground.facts)?;
    let told = station.run_sealcard(&["unsync", "--yes"])?.text();
    ensure!(told.contains("before Sealcard"), "{told}");
    station.gpg(&["--list-keys", key])?;
    station.try_gpg(&["--list-keys", other])?.failure()?;
    ensure!(secret_keys(station)? == 0);
    Ok(())
}

fn a_reset_leaves_gpg_as_it_was_before_sealcard(flavour: Flavour) -> Result<()> {
    let playground = builder()?.flavour(flavour).without_login().start()?;
    let station = &playground.workstation;
    make_own_key(station)?;
    let conf = station.gnupg_home().join("gpg-agent.conf");
    let before = (fs::read_to_string(&conf)?, keyring(station)?);
    station.login(&playground.server, &playground.facts)?;
    station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    run(&mut station.sealcard(&["reset"]), DEADLINE)?.failure()?;
    station.run_sealcard(&["status"])?;
    station.run_sealcard(&["reset", "--yes"])?;
    let after = (fs::read_to_string(&conf)?, keyring(station)?);
    ensure!(after == before, "{after:?} was {before:?}");
    for folder in ["config/sealcard", "state/sealcard"] {
        ensure!(!Path::new(&station.path(folder)).exists(), "{folder} is left");
    }
    ensure!(!station.gnupg_home().join("sealcard.conf").exists());
    station.gpg(&["--list-secret-keys", "own@example.org"])?;
    // And it can begin anew.
    station.login(&playground.server, &playground.facts)?;
    station.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    Ok(())
}

fn a_traced_signature_tells_every_step_and_nothing_that_was_signed(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    // The scdaemon runs already.
    station.run_sealcard(&["trace", "on"])?;
    station.try_sign(key)?.success()?;
    let secret = station.write("secret.txt", "very secret words")?;
    let encrypted = station.path("secret.gpg");
    station.gpg(&["--trust-model", "always", "-r", key, "-o", &encrypted, "--encrypt", &secret])?;
    station.gpg(&["--decrypt", &encrypted])?;
    station.run_sealcard(&["trace", "off"])?;
    let path = station.run_sealcard(&["trace", "path"])?.text();
    ensure!(fs::metadata(path.trim())?.permissions().mode() & 0o777 == 0o600);
    let trace = station.run_sealcard(&["trace", "show"])?.text();
    for told in ["PKSIGN", "PKDECRYPT", "SETDATA [", "http POST /v1/keys/", "/sign to ", "success"] {
        ensure!(trace.contains(told), "no {told} in\n{trace}");
    }
    ensure!(!trace.contains("scg_") && !trace.contains("Bearer"), "{trace}");
    station.try_sign(key)?.success()?;
    ensure!(station.run_sealcard(&["trace", "show"])?.text() == trace, "it goes on after it was switched off");
    Ok(())
}

#[test]
fn every_command_has_a_manual_page() -> Result<()> {
    let playground = builder()?.without_login().start()?;
    let station = &playground.workstation;
    let pages = station.path("man");
    station.run_sealcard(&["man", "--out", &pages])?;
    for program in [playground.binaries.server(), playground.binaries.signer()] {
        run(std::process::Command::new(program).args(["man", "--out", &pages]), DEADLINE)?.success()?;
    }
    for page in ["sealcard", "sealcard-login", "sealcard-admin-key-create", "sealcard-server-serve", "sealcard-signer"]
    {
        let text = fs::read_to_string(format!("{pages}/{page}.1"))?;
        ensure!(text.contains(".TH") && text.contains(".SH \"NAME\""), "{page}: {text}");
    }
    Ok(())
}

/// The programs that shells complete, each with a beginning and what follows from it.
const COMPLETED: [(&str, &str, &str); 5] = [
    ("sealcard", "unsy", "unsync"),
    ("sealcard-server", "environ", "environment"),
    ("sealcard-server", "init --sea", "--seal"),
    ("sealcard-signer", "unse", "unseal"),
    ("sealcard-signer", "journal veri", "verify"),
];

#[test]
fn bash_zsh_and_fish_complete_all_three_programs() -> Result<()> {
    let playground = builder()?.without_login().start()?;
    let (station, programs) = (&playground.workstation, playground.binaries.folder());
    let run_here = |command: &str, arguments: &[&str]| -> Result<String> {
        let mut command = station.command(command, arguments);
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        Ok(run(command.env("TERM", "dumb"), DEADLINE)?.success()?.text())
    };
    let driver = |name: &str| format!("{}/shells/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(station.path("config/fish/completions"))?;
    fs::create_dir_all(station.path("zsh"))?;
    for (program, typed, whole) in COMPLETED {
        for (shell, file) in [
            ("bash", format!("{program}.bash")),
            ("zsh", format!("zsh/_{program}")),
            ("fish", format!("config/fish/completions/{program}.fish")),
        ] {
            station.write(&file, run_here(program, &["completions", shell])?)?;
        }
        let words: Vec<&str> = std::iter::once(program).chain(typed.split(' ')).collect();
        let script = station.path(&format!("{program}.bash"));
        let offered = run_here("bash", &[&[&driver("complete.bash"), &script, program], &words[..]].concat())?;
        ensure!(offered.lines().any(|line| line == whole), "bash: {program} {typed}: {offered}");
        let fish = run_here("fish", &["-c", &format!("complete -C '{program} {typed}'")])?;
        ensure!(fish.lines().any(|line| line.split('\t').next() == Some(whole)), "fish: {program} {typed}: {fish}");
        let drive = ["-f", &driver("complete.zsh"), &station.path("zsh"), &format!("{program} {typed}")];
        let line = run_here("zsh", &drive)?;
        ensure!(line.trim_end().ends_with(whole), "zsh: {program} {typed}: {line}");
    }
    Ok(())
}

/// A key that has nothing to do with Sealcard.
fn make_own_key(station: &Workstation) -> Result<()> {
    let make =
        ["--passphrase", "", "--pinentry-mode", "loopback", "--quick-generate-key", "own@example.org", "ed25519"];
    station.gpg(&make)?;
    Ok(())
}

/// How many secret keys and stubs gpg-agent keeps.
fn secret_keys(station: &Workstation) -> Result<usize> {
    Ok(fs::read_dir(station.gnupg_home().join("private-keys-v1.d"))?.count())
}

/// The public keys, without the line that says when gpg last worked out whom to trust.
fn keyring(station: &Workstation) -> Result<Vec<String>> {
    let listed = station.gpg(&["--with-colons", "--list-keys"])?.text();
    Ok(listed.lines().filter(|line| !line.starts_with("tru:")).map(ToOwned::to_owned).collect())
}
