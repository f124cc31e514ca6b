//! Backups of a server that works, and what a restore of one means.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use nix::unistd::{Uid, User};
use sealcard_tests::{
    Admin, Algorithm, DatabaseKind, Finished, Playground, ServerBuilder, StoreKind, USER, run, wait_until,
};
use serde_json::Value;

use crate::support::{
    PATIENCE, builder,
    record::{expect_no_findings, read_journal, read_record},
    rest::Rest,
};

/// The file that opens the keys.
const KEY_FILE: &str = "signer/default/master.key";

#[test]
fn a_backup_under_load_is_restored_without_a_finding() -> Result<()> {
    let mut playground = sqlite()?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let backups = under_load(&playground, &key, 3)?;
    playground.server.stop()?;
    let mut lengths = Vec::new();
    for (number, backup) in backups.iter().enumerate() {
        let (data, _) = restored(&playground, backup, &format!("restored-{number}"))?;
        let server = ServerBuilder::new(&playground.binaries, &playground.scratch, &data).start()?;
        let mut old = std::mem::replace(&mut playground.server, server);
        old.stop().ok();
        playground.admin =
            Admin::login(&playground.binaries, &playground.scratch, &playground.server, &playground.facts)?;
        playground.admin.wait_for_environment("default")?;
        let admin = Rest::admin(&playground)?;
        expect_no_findings(&admin)?;
        lengths.push((read_record(&admin)?.len(), read_journal(&data)?.len()));
        // The same keys sign there.
        playground.workstation.login(&playground.server, &playground.facts)?;
        playground.workstation.try_sign(&key)?.success()?;
        playground.server.stop()?;
    }
    ensure!(lengths.is_sorted() && lengths.iter().all(|(_, journal)| *journal > 0), "{lengths:?}");
    Ok(())
}

#[test]
fn what_a_restored_backup_brings_back_and_lacks() -> Result<()> {
    let mut playground = sqlite()?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let backup = made(&playground, "backup")?;
    // After the backup: a use, and a user who is disabled.
    playground.workstation.try_sign(&key)?.success()?;
    playground.admin.admin(&["user", "disable", USER])?;
    playground.workstation.try_sign(&key)?.failure()?;
    let newest = playground.server.data().join("signer/default/journal.jsonl");
    playground.server.stop()?;
    let (data, report) = restored(&playground, &backup, "restored")?;
    ensure!(report.contains("record verify") && report.contains("what opens the keys"), "{report}");
    fs::copy(newest, data.join("signer/default/journal.jsonl"))?;
    playground.server = ServerBuilder::new(&playground.binaries, &playground.scratch, &data).start()?;
    playground.admin = Admin::login(&playground.binaries, &playground.scratch, &playground.server, &playground.facts)?;
    playground.admin.wait_for_environment("default")?;
    let verify = run(&mut playground.admin.command(&["admin", "record", "verify", "--json"]), PATIENCE)?.failure()?;
    let findings = serde_json::from_slice::<Value>(&verify.stdout)?["findings"].to_string();
    ensure!(findings.matches("is not in the record").count() == 1, "{findings}");
    // Disabled after the copy: enabled again.
    playground.workstation.login(&playground.server, &playground.facts)?;
    playground.workstation.try_sign(&key)?.success().map(drop)
}

#[test]
fn a_backup_has_no_secret_that_opens_keys_and_is_for_its_owner() -> Result<()> {
    let playground = sqlite()?;
    fs::write(playground.server.data().join("signer/default/pin"), "123456\n")?;
    let mut add = Command::new(playground.binaries.server());
    add.args(["environment", "add", "second@site", "--data"]).arg(playground.server.data()).env_clear();
    run(&mut add, PATIENCE)?.success()?;
    let backup = playground.scratch.path().join("backup");
    let report = backup_to(&playground, &backup)?.success()?.text();
    ensure!(backup.join("signer/second@site/seal.json").exists(), "an environment is missing: {report}");
    for left_out in [KEY_FILE, "signer/default/pin"] {
        ensure!(report.contains(left_out), "{left_out} is not named: {report}");
        ensure!(!backup.join(left_out).exists(), "{left_out} is in the backup");
    }
    let secret = fs::read(playground.server.data().join(KEY_FILE))?;
    let mut files = 0;
    each_file(&backup, &mut |path, content| {
        files += 1;
        let mode = path.metadata()?.permissions().mode() & 0o7777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", path.display());
        ensure!(!content.windows(secret.len()).any(|part| part == secret), "{} has the key file", path.display());
        Ok(())
    })?;
    ensure!(files >= 8 && backup.metadata()?.permissions().mode() & 0o7777 == 0o700, "{files} files");
    // Made twice to one place it is refused, and the first stays.
    let again = backup_to(&playground, &backup)?.failure()?;
    ensure!(again.description().contains("File exists") && backup.join("manifest.json").exists(), "{again:?}");
    let inside = backup_to(&playground, &playground.server.data().join("backup"))?.failure()?;
    ensure!(inside.description().contains("choose another folder"), "{inside:?}");
    Ok(())
}

#[test]
fn damaged_backups_and_taken_places_are_refused() -> Result<()> {
    let playground = sqlite()?;
    let backup = made(&playground, "backup")?;
    let expect = |what: &str, words: &str| -> Result<()> {
        let target = playground.scratch.path().join("target");
        let refused = restore(&playground, &backup, &target, &[])?.failure()?.description();
        ensure!(refused.contains(words), "{what}: {refused}");
        let left =
            fs::read_dir(playground.scratch.path())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let left: Vec<String> = left.filter(|name| name.contains("target") || name.ends_with(".restoring")).collect();
        ensure!(left.is_empty(), "{what}: {left:?} was left behind");
        Ok(())
    };
    let taken = restore(&playground, &backup, playground.server.data(), &[])?.failure()?.description();
    ensure!(taken.contains("nothing was restored"), "{taken}");
    let config = backup.join("server.toml");
    let text = fs::read_to_string(&config)?;
    fs::write(&config, format!("{text}\n# one more line\n"))?;
    expect("a changed file", "server.toml was changed")?;
    fs::remove_file(&config)?;
    expect("a missing file", "server.toml was changed")?;
    let elsewhere = playground.scratch.file("elsewhere", &text)?;
    symlink(elsewhere, &config)?;
    expect("a link", "is a link or no regular file")?;
    fs::remove_file(&config)?;
    fs::write(&config, &text)?;
    restore(&playground, &backup, &playground.scratch.path().join("unused"), &["--check"])?.success()?;
    ensure!(!playground.scratch.path().join("unused").exists(), "--check restores");
    let manifest = backup.join("manifest.json");
    let good = fs::read_to_string(&manifest)?;
    fs::write(&manifest, good.replacen("\"server.toml\"", "\"../server.toml\"", 1))?;
    expect("a path outside", "a backup has no file \"../server.toml\"")?;
    fs::remove_file(&manifest)?;
    expect("no manifest", "is no finished backup")
}

#[test]
fn a_backup_with_postgresql_says_what_it_lacks() -> Result<()> {
    let playground = builder()?.database(DatabaseKind::Postgres).store(StoreKind::Sealed).start()?;
    let backup = playground.scratch.path().join("backup");
    let report = backup_to(&playground, &backup)?.success()?.text();
    ensure!(report.contains("does not have the PostgreSQL database"), "{report}");
    ensure!(backup.join("host-id").exists() && !backup.join("sealcard.db").exists(), "{report}");
    let (data, report) = restored(&playground, &backup, "restored")?;
    ensure!(report.contains("pg_restore") && data.join("host-id").exists(), "{report}");
    Ok(())
}

#[test]
fn links_in_the_data_folder_lead_nowhere() -> Result<()> {
    let playground = sqlite()?;
    let data = playground.server.data();
    let secret = playground.scratch.file("somebody-elses", "secret\n")?;
    let somebody_elses = playground.scratch.folder("folder-of-somebody-else")?;
    fs::copy(&secret, somebody_elses.join("seal.json"))?;
    for (link, to) in [("tls/extra.pem", &secret), ("signer/linked", &somebody_elses)] {
        symlink(to, data.join(link))?;
        let refused = backup_to(&playground, &playground.scratch.path().join("backup"))?.failure()?.description();
        ensure!(refused.contains("is a link or no regular file") && refused.contains(link), "{refused}");
        ensure!(!playground.scratch.path().join("backup").exists(), "half a backup is left");
        fs::remove_file(data.join(link))?;
    }
    // The administrator's own links are followed.
    let linked = playground.scratch.path().join("linked");
    symlink(playground.scratch.folder("disk")?, &linked)?;
    backup_to(&playground, &linked.join("backup"))?.success()?;
    restore(&playground, &linked.join("backup"), &linked.join("restored"), &[])?.success().map(drop)
}

fn sqlite() -> Result<Playground> {
    builder()?.database(DatabaseKind::Sqlite).store(StoreKind::Sealed).start()
}

/// Backups that are made one after the other while four gpg sign.
fn under_load(playground: &Playground, key: &str, count: usize) -> Result<Vec<PathBuf>> {
    let (stop, signed) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let (stop, signed) = (&stop, &signed);
                scope.spawn(move || -> Result<()> {
                    let file = playground.workstation.write(&format!("load-{number}"), "something\n")?;
                    while !stop.load(Ordering::Relaxed) {
                        let output = format!("{file}.sig");
                        playground.workstation.gpg(&["-q", "--yes", "-u", key, "-o", &output, "-b", &file])?;
                        signed.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        // Key management is recorded in several entries of one request.
        let managing = scope.spawn(|| -> Result<()> {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                playground.admin.create_key(Algorithm::NistP256, &format!("load-{number}"))?;
            }
            Ok(())
        });
        let mut made_backups = Vec::new();
        for number in 0..count {
            let before = signed.load(Ordering::Relaxed);
            wait_until("signatures", PATIENCE, || Ok((signed.load(Ordering::Relaxed) > before + 4).then_some(())))?;
            made_backups.push(made(playground, &format!("backup-{number}")));
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers.into_iter().chain([managing]) {
            worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        made_backups.into_iter().collect()
    })
}

fn made(playground: &Playground, name: &str) -> Result<PathBuf> {
    let backup = playground.scratch.path().join(name);
    backup_to(playground, &backup)?.success()?;
    Ok(backup)
}

fn backup_to(playground: &Playground, to: &Path) -> Result<Finished> {
    let mut command = Command::new(playground.binaries.server());
    command.arg("backup").arg(to).arg("--data").arg(playground.server.data()).env_clear();
    run(&mut command, PATIENCE)
}

/// The restored data folder with the key file in its place, and what the command said.
fn restored(playground: &Playground, backup: &Path, name: &str) -> Result<(PathBuf, String)> {
    let data = playground.scratch.path().join(name);
    let report = restore(playground, backup, &data, &[])?.success()?.text();
    fs::copy(playground.scratch.path().join("data").join(KEY_FILE), data.join(KEY_FILE))
        .with_context(|| format!("the key file of {}", data.display()))?;
    Ok((data, report))
}

fn restore(playground: &Playground, backup: &Path, data: &Path, more: &[&str]) -> Result<Finished> {
    let user = User::from_uid(Uid::effective())?.context("a user without a name")?.name;
    let mut command = Command::new(playground.binaries.server());
    command.arg("restore").arg(backup).arg("--data").arg(data).env_clear();
    command.args(["--user", &user, "--signer-user", &user]).args(more);
    run(&mut command, PATIENCE)
}

fn each_file(folder: &Path, look: &mut impl FnMut(&Path, &[u8]) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { each_file(&path, look)? } else { look(&path, &fs::read(&path)?)? }
    }
    Ok(())
}
