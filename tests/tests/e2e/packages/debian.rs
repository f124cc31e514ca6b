//! Debian packages.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Workstation, good_signatures, run};

use crate::support::{expect_no_prompt, playground};

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

#[test]
fn debsigs_puts_a_signature_of_each_key_into_a_package() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let package = build(station)?;
    // debsigs calls gpg with --openpgp, for which RSA keys sign SHA-1 unless something better is preferred.
    station.write("gnupg/gpg.conf", "personal-digest-preferences SHA512 SHA256\n")?;
    for key in &playground.facts.keys {
        let signed = station.path(&format!("{}.deb", key.algorithm));
        fs::copy(&package, &signed)?;
        station.run("debsigs", &["--sign=origin", "-k", &key.fingerprint, &signed])?;
        // The signature is over the members, one behind the other.
        let signature = station.path("origin.sig");
        let content = station.path("members");
        fs::write(&signature, station.run("ar", &["p", &signed, "_gpgorigin"])?.stdout)?;
        let members = ["debian-binary", "control.tar.xz", "data.tar.xz"]
            .map(|member| Ok(station.run("ar", &["p", &signed, member])?.stdout));
        fs::write(&content, members.into_iter().collect::<Result<Vec<_>>>()?.concat())?;
        let status = station.gpg(&["--status-fd", "1", "--verify", &signature, &content])?.text();
        ensure!(good_signatures(&status, &key.fingerprint) == 1, "{status}");
    }
    expect_no_prompt(&playground)
}

#[test]
fn dpkg_buildpackage_signs_what_dscverify_accepts() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    build_source(station, &format!("--sign-keyid={key}"))?;
    let keyring = station.path("keyring.gpg");
    station.gpg(&["-o", &keyring, "--export", key])?;
    let changes = changes_of(station)?;
    let verify = ["--no-conf", "--no-default-keyrings", "--keyring", &keyring, &changes];
    let verified = station.run("dscverify", &verify)?.text();
    // Of the .changes, the .dsc and the .buildinfo.
    ensure!(verified.matches("Good signature found").count() == 3, "{verified}");
    ensure!(verified.contains("All files validated successfully"), "{verified}");
    expect_no_prompt(&playground)
}

/// Builds a source package and its package in the home folder, with this option of `dpkg-buildpackage`.
pub(crate) fn build_source(station: &Workstation, option: &str) -> Result<()> {
    fs::create_dir_all(station.path("source/debian/source"))?;
    for (name, content) in SOURCE {
        station.write(&format!("source/debian/{name}"), content)?;
    }
    fs::set_permissions(station.path("source/debian/rules"), Permissions::from_mode(0o755))?;
    let mut build = station.command("dpkg-buildpackage", &["--no-check-builddeps", option]);
    run(build.current_dir(station.path("source")), Duration::from_secs(120))?.success()?;
    Ok(())
}

/// The name of the `.changes` that the build made.
pub(crate) fn changes_of(station: &Workstation) -> Result<String> {
    let names = fs::read_dir(station.home())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.into_iter().find(|name| name.ends_with(".changes")).context("no .changes")
}

/// Builds a package with `dpkg-deb`.
pub(super) fn build(station: &Workstation) -> Result<PathBuf> {
    let control = "Package: t\nVersion: 1-1\nArchitecture: all\nMaintainer: Ada <ada@example.org>\nDescription: t\n";
    fs::create_dir_all(station.path("tree/DEBIAN"))?;
    station.write("tree/DEBIAN/control", control)?;
    let package = station.path("t_1-1_all.deb");
    station.run("dpkg-deb", &["-Zxz", "--build", &station.path("tree"), &package])?;
    Ok(package.into())
}

/// The smallest source package.
const SOURCE: [(&str, &str); 4] = [
    ("source/format", "3.0 (native)\n"),
    (
        "control",
        "Source: s\nMaintainer: Ada <ada@example.org>\nStandards-Version: 4.6.2\n\n\
         Package: s\nArchitecture: all\nDescription: a package to sign\n",
    ),
    (
        "changelog",
        "s (1) unstable; urgency=medium\n\n  * First release.\n\n \
         -- Ada <ada@example.org>  Sun, 22 Nov 2026 00:00:00 +0000\n",
    ),
    (
        "rules",
        "#!/usr/bin/make -f\nbinary:\n\tmkdir -p debian/s/DEBIAN\n\tdpkg-gencontrol -ps -Pdebian/s\n\
         \tdpkg-deb --build debian/s ..\nbuild clean:\n\trm -rf debian/s debian/files\n",
    ),
];

pub(crate) const CHANGES: &str = "\
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
