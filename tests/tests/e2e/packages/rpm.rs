//! RPM packages.

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, KeyFacts, Workstation};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![rpmsign_signs_what_rpm_verifies];

/// rpm 4.18, 4.20 and 6.1.
fn rpmsign_signs_what_rpm_verifies(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let package = station.build_rpm(&[])?;
    // rpm up to 4.18 does not take the keys of NIST's curves.
    let takes = |key: &&KeyFacts| flavour != Flavour::Machine || !key.algorithm.name().starts_with("nist");
    for key in playground.facts.keys.iter().filter(takes) {
        let database = Database::new(station, key)?;
        let copies = ["1", "2"].map(|number| station.path(&format!("{}-{number}.rpm", key.algorithm)));
        for copy in &copies {
            fs::copy(&package, copy)?;
            ensure!(database.signatures(copy)?.is_empty(), "signed already");
        }
        let name = format!("_gpg_name {}", key.fingerprint);
        station.run("rpmsign", &["--define", &name, "--addsign", &copies[0], &copies[1]])?;
        for copy in &copies {
            database.expect_signed(copy).with_context(|| key.algorithm.to_string())?;
        }
    }
    expect_no_prompt(&playground)
}

/// `rpmbuild --sign` went with rpm 4.15; since rpm 6 a macro does the same.
#[test]
fn rpmbuild_signs_what_it_builds() -> Result<()> {
    let playground = playground(Flavour::Forky)?;
    let station = &playground.workstation;
    let key = playground.key(Algorithm::Ed25519)?;
    let package = station.build_rpm(&["--define", &format!("_openpgp_autosign_id {}", key.fingerprint)])?;
    let package = package.to_str().context("a path that is not UTF-8")?;
    Database::new(station, key)?.expect_signed(package)?;
    expect_no_prompt(&playground)
}

/// An rpm database that knows one key.
struct Database<'a> {
    station: &'a Workstation,
    folder: String,
}

impl<'a> Database<'a> {
    fn new(station: &'a Workstation, key: &KeyFacts) -> Result<Self> {
        let folder = station.path(&format!("rpmdb-{}", key.algorithm));
        fs::create_dir_all(&folder)?;
        let public = station.path("public.asc");
        station.gpg(&["--armor", "-o", &public, "--export", &key.fingerprint])?;
        station.run("rpmkeys", &["--dbpath", &folder, "--import", &public])?;
        Ok(Self { station, folder })
    }

    /// What rpm says about each signature of a package.
    fn signatures(&self, package: &str) -> Result<Vec<String>> {
        let finished = self.station.run("rpmkeys", &["--dbpath", &self.folder, "-Kv", package])?;
        let lines = finished.text().lines().map(str::to_lowercase).collect::<Vec<_>>();
        Ok(lines.into_iter().filter(|line| line.contains("signature, key")).collect())
    }

    fn expect_signed(&self, package: &str) -> Result<()> {
        let found = self.signatures(package)?;
        ensure!(!found.is_empty() && found.iter().all(|line| line.ends_with(": ok")), "{found:?}");
        Ok(())
    }
}
