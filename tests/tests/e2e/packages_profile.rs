//! Keys whose primary key signs, for verifiers that know no signing subkeys.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Flavour, PROJECT, Playground, good_signatures, run};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![a_packages_key_signs_with_its_primary_key];

fn a_packages_key_signs_with_its_primary_key(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    for algorithm in ["rsa2048", "ed25519"] {
        let fingerprint = make(&playground, algorithm)?;
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
    let fingerprint = make(&playground, "rsa2048")?;
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

/// Makes a key of the profile `packages`, which warns, and brings it to the workstation.
fn make(playground: &Playground, algorithm: &str) -> Result<String> {
    let name = format!("packages-{algorithm}");
    let create = ["admin", "key", "create", "--json", "--project", PROJECT, "--name", &name, "--algorithm", algorithm];
    let more = ["--user-id", "Packages <packages@example.org>", "--profile", "packages"];
    let mut command = playground.admin.command(&create);
    let made = run(command.args(more), Duration::from_secs(120))?.success()?;
    ensure!(made.stderr.contains("primary key itself signs"), "no warning: {}", made.stderr);
    let key: serde_json::Value = serde_json::from_slice(&made.stdout)?;
    ensure!(key["profile"] == "packages" && key["components"].as_array().is_some_and(|c| c.len() == 1), "{key}");
    playground.workstation.run_sealcard(&["sync"])?;
    key["fingerprint"].as_str().map(str::to_owned).context("no fingerprint")
}
