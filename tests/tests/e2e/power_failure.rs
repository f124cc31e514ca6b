//! The power fails: what was not synced is gone. What was released is still in the record and in the journal.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use sealcard_api::record::RequestState;
use sealcard_tests::{Algorithm, Binaries, Flavour, Playground, Scratch, run, wait_until};

use crate::support::{
    builder_with_failpoints,
    record::{expect_no_findings, expect_recorded, read_journal, read_record, uses_in_state},
    rest::Rest,
};

#[test]
fn every_released_signature_survives_a_power_failure() -> Result<()> {
    let storage = Scratch::new()?;
    let shadow = storage.path().join("shadow");
    let mut playground = start(&shadow)?;
    let user = Rest::user(&playground)?;
    let key = playground.key(Algorithm::Ed25519)?.id.clone();
    let first = user.sign(&key, &[1; 32], &idempotency_key(0))?;
    ensure!(first.status == 200, "{first:?}");
    // Other connections sign without a pause; the power fails in the middle of it, again and again.
    for failure in 1_usize..=3 {
        let released = sign_until_power_fails(&mut playground, &user, &key, failure)?;
        ensure!(released.len() >= ENOUGH, "only {} signatures were released", released.len());
        swap(&playground, &shadow)?;
        playground.server.start_again(&environment(&playground, &shadow)?.each_ref().map(|(n, v)| (*n, v.as_str())))?;
        let admin = Rest::admin(&playground)?;
        let record = read_record(&admin)?;
        expect_recorded(&record, &read_journal(playground.server.data())?, &released)?;
        ensure!(uses_in_state(&record, RequestState::Signing) == 0, "an intent without outcome is not unknown");
        expect_no_findings(&admin)?;
    }
    Ok(())
}

#[test]
fn the_storage_layer_keeps_what_was_synced_and_nothing_else() -> Result<()> {
    let binaries = Binaries::for_tests()?;
    let scratch = Scratch::new()?;
    let (folder, shadow) = (scratch.folder("real")?, scratch.path().join("shadow"));
    let dd = |name: &str, sync: &[&str]| {
        let mut command = Command::new("dd");
        command
            .args(["if=/dev/zero", "bs=10", "count=3", "status=none"])
            .arg(format!("of={}", folder.join(name).display()));
        command.args(sync).env("LD_PRELOAD", binaries.dropshim());
        command.env("DROPSHIM_FOLDER", &folder).env("DROPSHIM_SHADOW", &shadow);
        run(&mut command, Duration::from_secs(20))?.success()
    };
    dd("synced", &["conv=fsync"])?;
    dd("data-synced", &["conv=fdatasync"])?;
    dd("lost", &[])?;
    ensure!(fs::metadata(shadow.join("synced"))?.len() == 30);
    ensure!(fs::metadata(shadow.join("data-synced"))?.len() == 30);
    ensure!(folder.join("lost").exists() && !shadow.join("lost").exists(), "what was not synced is in the shadow");
    // More is written behind what was synced, and not synced: the shadow does not see it.
    dd("synced", &["conv=notrunc", "oflag=append"])?;
    ensure!(fs::metadata(folder.join("synced"))?.len() == 60 && fs::metadata(shadow.join("synced"))?.len() == 30);
    Ok(())
}

/// A failure comes after so many signatures.
const ENOUGH: usize = 60;

/// A playground whose server and signer run on the storage layer that loses what was not synced.
fn start(shadow: &Path) -> Result<Playground> {
    let binaries = Binaries::for_tests()?.with_failpoints()?;
    // Until it is known where the data folder lies, the server runs on ordinary storage.
    let mut playground = builder_with_failpoints()?.flavour(Flavour::Machine).start()?;
    playground.server.stop()?;
    let data = playground.server.data().to_owned();
    // All that is there now has been synced long ago.
    run(Command::new("cp").arg("-a").arg(&data).arg(shadow), Duration::from_secs(20))?.success()?;
    let wrapper = playground.scratch.path().join("signer-on-bad-storage");
    // The server gives its signer an empty environment, so the library reaches it through a script.
    let script = format!(
        "#!/bin/sh\nexport LD_PRELOAD='{}' DROPSHIM_FOLDER='{}' DROPSHIM_SHADOW='{}'\nexec '{}' \"$@\"\n",
        binaries.dropshim().display(),
        data.display(),
        shadow.display(),
        binaries.signer().display()
    );
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o700))?;
    playground.server.start_again(&environment(&playground, shadow)?.each_ref().map(|(n, v)| (*n, v.as_str())))?;
    Ok(playground)
}

fn environment(playground: &Playground, shadow: &Path) -> Result<[(&'static str, String); 5]> {
    let text = |path: PathBuf| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
    Ok([
        ("LD_PRELOAD", text(playground.binaries.dropshim())?),
        ("DROPSHIM_FOLDER", text(playground.server.data().to_owned())?),
        ("DROPSHIM_SHADOW", text(shadow.to_owned())?),
        // The storage layer lives in the signer's worker and writes files, which the sandbox would not let it.
        ("FAILPOINTS", "signer::no_sandbox=return".to_owned()),
        ("SEALCARD_SERVER_SIGNER_PROGRAM", text(playground.scratch.path().join("signer-on-bad-storage"))?),
    ])
}

/// Kills server and signer while four clients sign, and gives the requests whose signatures were released.
fn sign_until_power_fails(playground: &mut Playground, user: &Rest, key: &str, failure: usize) -> Result<Vec<String>> {
    let released = Mutex::new(Vec::new());
    let next = AtomicUsize::new(failure * 100_000);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let digest = [u8::try_from(number % 251).unwrap_or_default(); 32];
                    match user.sign(key, &digest, &idempotency_key(number)) {
                        Ok(answer) if answer.status == 200 => {
                            let request = answer.request_id().unwrap_or_default().to_owned();
                            released.lock().push(request);
                        }
                        _ => break,
                    }
                }
            });
        }
        let enough = wait_until("enough signatures", Duration::from_secs(60), || {
            let count = released.lock().len();
            Ok((count >= ENOUGH).then_some(()))
        });
        // Whatever happened: without the server the clients end.
        playground.server.kill().and(enough)
    })?;
    Ok(released.into_inner())
}

/// Puts what was durable in the data folder's place.
fn swap(playground: &Playground, shadow: &Path) -> Result<()> {
    let data = playground.server.data();
    fs::remove_dir_all(data)?;
    fs::rename(shadow, data)?;
    fs::remove_dir_all(shadow.with_extension("inodes"))?;
    run(Command::new("cp").arg("-a").arg(data).arg(shadow), Duration::from_secs(20))?.success()?;
    Ok(())
}

fn idempotency_key(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}
