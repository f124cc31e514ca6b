//! Publishing certificates and ending keys.

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour, Workstation, run};

use crate::support::playground;

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn a_certificate_is_exported_and_its_revocation_made_at_creation_revokes_it() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let reader = Workstation::new(&playground.binaries, &playground.scratch, "reader", Flavour::Machine)?;
    let admin = &playground.admin;
    for algorithm in Algorithm::ALL {
        let key = playground.key(algorithm)?;
        let (armored, binary) = (reader.path("key.asc"), reader.path("key.gpg"));
        admin.admin(&["key", "export", algorithm.name(), "--output", &armored])?;
        admin.admin(&["key", "export", &key.fingerprint, "--binary", "--output", &binary])?;
        reader.gpg(&["--import", &armored])?;
        ensure!(reader.gpg(&["--import", &binary])?.stderr.contains("unchanged: 1"));
        ensure!(validity(&reader, &key.fingerprint)? != "r");
        let revocation = reader.path("key.rev");
        admin.admin(&["key", "revocation", algorithm.name(), "--output", &revocation])?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&revocation)?.permissions());
        ensure!(mode & 0o777 == 0o600, "{mode:o}");
        reader.gpg(&["--import", &revocation])?;
        ensure!(validity(&reader, &key.fingerprint)? == "r", "{algorithm} is not revoked");
    }
    // Those who use the keys do not get at it, and each reading is recorded.
    let id = &playground.key(Algorithm::Ed25519)?.id;
    let mut user = playground.workstation.sealcard(&["admin", "key", "revocation", id]);
    run(&mut user, DEADLINE)?.failure()?;
    let record = admin.admin(&["record", "list", "--json"])?.text();
    ensure!(record.matches("revocation-read").count() == Algorithm::ALL.len(), "{record}");
    Ok(())
}

#[test]
fn a_revoked_key_says_so_and_signs_no_more() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let (admin, station) = (&playground.admin, &playground.workstation);
    let key = playground.key(Algorithm::Ed25519)?;
    station.try_sign(&key.fingerprint)?.success()?;
    let revoke = ["key", "revoke", "ed25519", "--reason", "superseded", "--message", "rsa4096 takes its place"];
    let unasked = run(admin.command(&["admin"]).args(revoke), DEADLINE)?.failure()?;
    ensure!(unasked.stderr.contains("--yes"), "{}", unasked.description());
    let revoked = admin.json(&[revoke.as_slice(), &["--yes"]].concat())?;
    ensure!(revoked["state"] == "revoked", "{revoked}");
    let refused = station.try_sign(&key.fingerprint)?.failure()?;
    ensure!(refused.stderr.contains("Certificate revoked"), "{}", refused.description());
    let last = station.run_sealcard(&["last"])?.text();
    ensure!(last.contains("is revoked (superseded): rsa4096 takes its place"), "{last}");
    ensure!(validity(station, &key.fingerprint)? != "r", "gpg knows before the sync");
    let synced = run(&mut station.sealcard(&["sync"]), DEADLINE)?.success()?;
    let synced = format!("{}{}", synced.text(), synced.stderr);
    ensure!(synced.contains("is revoked (superseded): rsa4096 takes its place"), "{synced}");
    ensure!(!synced.contains("delete") && !synced.contains("role"), "{synced}");
    ensure!(validity(station, &key.fingerprint)? == "r", "the revocation does not reach gpg");
    for again in [&[revoke.as_slice(), &["--yes"]].concat()[..], &["key", "enable", "ed25519"]] {
        let refused = run(admin.command(&["admin"]).args(again), DEADLINE)?.failure()?;
        ensure!(refused.stderr.contains("revoked"), "{}", refused.description());
    }
    let reader = Workstation::new(&playground.binaries, &playground.scratch, "reader", Flavour::Machine)?;
    let certificate = reader.path("key.asc");
    admin.admin(&["key", "export", "ed25519", "--output", &certificate])?;
    reader.gpg(&["--import", &certificate])?;
    ensure!(validity(&reader, &key.fingerprint)? == "r");
    admin.admin(&["record", "verify"])?;
    Ok(())
}

#[test]
fn an_extended_key_has_its_new_end_in_gpg_after_a_sync() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    let (admin, station) = (&playground.admin, &playground.workstation);
    let key = playground.key(Algorithm::Ed25519)?;
    let keys = station.run_sealcard(&["keys"])?.text();
    let extended = admin.json(&["key", "extend", "ed25519", "--until", "2033-03-03"])?;
    ensure!(extended["fingerprint"] == key.fingerprint && extended["expires"] == "2033-03-03T23:59:59Z", "{extended}");
    ensure!(!keys.contains("2033-03-03") && station.run_sealcard(&["keys"])?.text().contains("2033-03-03"));
    run(&mut station.sealcard(&["sync"]), DEADLINE)?.success()?;
    let list = station.gpg(&["--with-colons", "-k", &key.fingerprint])?.text();
    let ends = list.lines().filter(|line| line.starts_with("pub:") || line.starts_with("sub:"));
    ensure!(ends.filter(|line| line.split(':').nth(6) == Some("1993507199")).count() == 4, "{list}");
    station.try_sign(&key.fingerprint)?.success()?;
    let user = run(&mut station.sealcard(&["admin", "key", "extend", "ed25519"]), DEADLINE)?.failure()?;
    ensure!(user.stderr.contains("owner"), "{}", user.description());
    admin.admin(&["record", "verify"])?;
    Ok(())
}

/// The first letter that gpg has for a key: `r` if it is revoked.
fn validity(station: &Workstation, fingerprint: &str) -> Result<String> {
    let list = station.gpg(&["--with-colons", "-k", fingerprint])?.text();
    let line = list.lines().find(|line| line.starts_with("pub:")).context("no key")?;
    line.split(':').nth(1).map(str::to_owned).context("no validity")
}
