//! Packages signed with the distributions' own tools.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Workstation, good_signatures, run};

use crate::support::{expect_no_prompt, playground};

#[test]
fn rpmsign_signs_what_rpm_verifies() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let package = build_rpm(station)?;
    let database = station.path("rpmdb");
    std::fs::create_dir_all(&database)?;
    station.run("rpm", &["--dbpath", &database, "--initdb"])?;
    // rpm 4.18 does not take the NIST curves.
    for algorithm in [Algorithm::Rsa2048, Algorithm::Rsa3072, Algorithm::Rsa4096, Algorithm::Ed25519] {
        let key = &playground.key(algorithm)?.fingerprint;
        let public = station.path("public.asc");
        station.gpg(&["--armor", "-o", &public, "--export", key])?;
        station.run("rpm", &["--dbpath", &database, "--import", &public])?;
        let signed = station.path(&format!("{algorithm}.rpm"));
        std::fs::copy(&package, &signed)?;
        let before = station.run("rpm", &["--dbpath", &database, "-Kv", &signed])?.text();
        ensure!(!before.contains("Signature"), "signed already: {before}");
        station.run("rpmsign", &["--define", &format!("_gpg_name {key}"), "--addsign", &signed])?;
        let after = station.run("rpm", &["--dbpath", &database, "-Kv", &signed])?.text();
        let signatures: Vec<&str> = after.lines().filter(|line| line.contains("Signature, key ID")).collect();
        ensure!(!signatures.is_empty() && signatures.iter().all(|line| line.ends_with(": OK")), "{after}");
    }
    expect_no_prompt(&playground)
}

#[test]
fn debsign_signs_what_gpg_verifies() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    for key in &playground.facts.keys {
        let changes = station.write("t_1-1_all.changes", CHANGES)?;
        station.run("debsign", &["--no-conf", &format!("-k{}", key.fingerprint), &changes])?;
        let status = station.gpg(&["--status-fd", "1", "--verify", &changes])?.text();
        ensure!(good_signatures(&status, &key.fingerprint) == 1, "{status}");
    }
    expect_no_prompt(&playground)
}

fn build_rpm(station: &Workstation) -> Result<String> {
    let top = station.path("rpmbuild");
    let spec = station.write("t.spec", SPEC)?;
    let mut build = station.command("rpmbuild", &["--quiet", "--define", &format!("_topdir {top}"), "-bb", &spec]);
    run(&mut build, Duration::from_secs(120))?.success()?;
    let mut built = std::fs::read_dir(format!("{top}/RPMS/noarch"))?;
    let package = built.next().context("rpmbuild made nothing")??.path();
    Ok(package.to_string_lossy().into_owned())
}

const SPEC: &str = "\
Name: t
Version: 1
Release: 1
Summary: A package to sign
License: MIT
BuildArch: noarch
%description
A package to sign.
%install
mkdir -p %{buildroot}/usr/share/t
echo content >%{buildroot}/usr/share/t/file
%files
/usr/share/t/file
";

const CHANGES: &str = "\
Format: 1.8
Date: Sun, 22 Nov 2026 00:00:00 +0000
Source: t
Binary: t
Architecture: all
Version: 1-1
Distribution: unstable
Urgency: medium
Maintainer: Ada <ada@example.org>
Changed-By: Ada <ada@example.org>
Description:
 t - a package to sign
Changes:
 t (1-1) unstable; urgency=medium
 .
   * First release.
Checksums-Sha1:
Checksums-Sha256:
Files:
";
