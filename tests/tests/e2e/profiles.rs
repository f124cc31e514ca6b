//! How certificates are built: with one subkey that signs, or with a primary key that does, for verifiers that know no
//! signing subkeys.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Flavour, PROJECT, Playground, good_signatures, run};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![a_packages_key_signs_with_its_primary_key, a_signing_key_signs_and_nothing_else];

fn a_signing_key_signs_and_nothing_else(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for algorithm in ["rsa2048", "ed25519"] {
        let Made { fingerprint, parts, warnings } = make(&playground, algorithm, "signing")?;
        ensure!(parts == 2 && !warnings.contains("itself signs"), "{parts} parts: {warnings}");
        let list = station.gpg(&["--with-colons", "-K", &fingerprint])?.text();
        let usages: Vec<_> =
            list.lines().filter(|line| line.starts_with("s")).filter_map(|line| line.split(':').nth(11)).collect();
        ensure!(usages == ["cSC", "s"], "{usages:?} in {list}");
        let card = station.gpg(&["--card-status", "all"])?.text();
        ensure!(card.contains("Encryption key....: [none]"), "{card}");
        let file = station.write("Release", "Origin: Example\nSuite: stable\n")?;
        let signature = station.path("Release.gpg");
        station.gpg(&["--yes", "-u", &fingerprint, "-o", &signature, "--detach-sign", &file])?;
        let status = station.gpg(&["--status-fd", "1", "--verify", &signature, &file])?.text();
        ensure!(good_signatures(&status, &fingerprint) == 1, "{status}");
    }
    playground.admin.admin(&["record", "verify"])?;
    expect_no_prompt(&playground)
}

fn a_packages_key_signs_with_its_primary_key(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for algorithm in ["rsa2048", "ed25519"] {
        let fingerprint = make_packages(&playground, algorithm)?;
        let list = station.gpg(&["--with-colons", "-K", &fingerprint])?.text();
        let primary = list.lines().find(|line| line.starts_with("sec:")).context("no secret key")?;
        ensure!(primary.split(':').nth(11) == Some("scSC") && !list.contains("\nssb:"), "{list}");
        let file = station.write("Release", "Origin: Example\nSuite: stable\n")?;
        let signature = station.path("Release.gpg");
        station.gpg(&["-u", &fingerprint, "--armor", "-o", &signature, "--detach-sign", &file])?;
        // As apt does.
        let keyring = station.path("keyring.gpg");
        station.gpg(&["-o", &keyring, "--export", &fingerprint])?;
        let mut gpgv = Command::new("gpgv");
        gpgv.args(["--status-fd", "1", "--keyring", &keyring, &signature, &file]);
        let status = run(&mut gpgv, Duration::from_secs(30))?.success()?.text();
        ensure!(good_signatures(&status, &fingerprint) == 1, "{status}");
        let valid = status.lines().find(|line| line.contains("VALIDSIG")).context("no VALIDSIG")?;
        ensure!(valid.matches(&fingerprint).count() == 2, "not made by the primary key: {valid}");
    }
    playground.admin.admin(&["record", "verify"])?;
    expect_no_prompt(&playground)
}

#[test]
fn rpm_takes_what_a_packages_key_signed() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let package = station.build_rpm(&[])?;
    let package = package.to_str().context("a path that is no text")?;
    let fingerprint = make_packages(&playground, "rsa2048")?;
    let (database, public) = (station.path("rpmdb"), station.path("public.asc"));
    std::fs::create_dir_all(&database)?;
    station.run("rpm", &["--dbpath", &database, "--initdb"])?;
    station.gpg(&["--armor", "-o", &public, "--export", &fingerprint])?;
    station.run("rpm", &["--dbpath", &database, "--import", &public])?;
    station.run("rpmsign", &["--define", &format!("_gpg_name {fingerprint}"), "--addsign", package])?;
    let checked = station.run("rpm", &["--dbpath", &database, "--checksig", "-v", package])?.text();
    let signatures: Vec<&str> = checked.lines().filter(|line| line.contains("Signature, key ID")).collect();
    ensure!(!signatures.is_empty() && signatures.iter().all(|line| line.ends_with(": OK")), "{checked}");
    // The key that rpm names is the primary key.
    let id = fingerprint.get(24..).context("a short fingerprint")?.to_lowercase();
    ensure!(signatures.iter().all(|line| line.contains(&id) || line.contains(&id[8..])), "{checked}");
    expect_no_prompt(&playground)
}

/// A key that was made.
struct Made {
    fingerprint: String,
    parts: usize,
    warnings: String,
}

/// Makes a key of a profile and brings it to the workstation.
fn make(playground: &Playground, algorithm: &str, profile: &str) -> Result<Made> {
    let name = format!("{PROJECT}/{profile}-{algorithm}");
    let create = ["admin", "key", "create", "--json", &name, "--algorithm", algorithm];
    let more = ["--user-id", "Release <release@example.org>", "--profile", profile];
    let mut command = playground.admin.command(&create);
    let made = run(command.args(more), Duration::from_secs(120))?.success()?;
    let key: serde_json::Value = serde_json::from_slice(&made.stdout)?;
    ensure!(key["profile"] == profile, "{key}");
    playground.workstation.run_sealcard(&["sync"])?;
    let fingerprint = key["fingerprint"].as_str().map(str::to_owned).context("no fingerprint")?;
    Ok(Made { fingerprint, parts: key["components"].as_array().map_or(0, Vec::len), warnings: made.stderr })
}

/// Makes a key of the profile `packages`, which warns.
fn make_packages(playground: &Playground, algorithm: &str) -> Result<String> {
    let Made { fingerprint, parts, warnings } = make(playground, algorithm, "packages")?;
    ensure!(warnings.contains("primary key itself signs"), "no warning: {warnings}");
    ensure!(parts == 1, "{parts} parts");
    Ok(fingerprint)
}
