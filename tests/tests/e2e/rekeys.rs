//! The master key of a sealed store is replaced while gpg signs.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use sealcard_tests::{Algorithm, Binaries, Finished, Playground, run, wait_until};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    nodes,
    support::{builder, builder_with_failpoints, database, rest::Rest},
};

const DEADLINE: Duration = Duration::from_secs(60);

fn rekey(binaries: &Binaries, data: &Path, more: &[&str]) -> Result<Finished> {
    let mut command = Command::new(binaries.signer());
    command.arg("rekey").args(more).arg("--folder").arg(data.join("signer/default"));
    run(&mut command, DEADLINE)
}

fn environment(playground: &Playground) -> Result<Value> {
    playground.admin.json(&["environment", "show", "default"])
}

/// Waits until the environment says that nothing is stored under the earlier master key.
fn wait_for_the_end(playground: &Playground) -> Result<()> {
    wait_until("the end of the rekey", DEADLINE, || {
        let shown = environment(playground)?;
        let note = shown["master_key"]["note"].as_str().unwrap_or_default().to_owned();
        Ok(note.contains("No component is stored under an earlier master key").then_some(()))
    })
}

/// `--finish` needs the server's word, which comes within a few seconds.
fn finish(playground: &Playground) -> Result<()> {
    wait_until("the removal of the earlier master key", DEADLINE, || {
        let finished = rekey(&playground.binaries, playground.server.data(), &["--finish"])?;
        Ok(finished.status.success().then_some(()))
    })
}

/// The ids of the master keys that components are stored under.
fn stored_under(playground: &Playground) -> Result<Vec<String>> {
    let id = database::hex(playground, "substr(handle, 2, 8)");
    let rows = database::rows(playground, &format!("SELECT DISTINCT {id} AS id FROM component_key"))?;
    Ok(rows.iter().filter_map(|row| row["id"].as_str()).map(str::to_lowercase).collect())
}

#[test]
fn gpg_signs_while_all_keys_are_sealed_under_a_new_master_key() -> Result<()> {
    let mut playground = builder()?.start()?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let before = stored_under(&playground)?;
    ensure!(before.len() == 1, "{before:?}");
    let refused = rekey(&playground.binaries, playground.server.data(), &["--finish"])?.failure()?;
    ensure!(refused.stderr.contains("nothing to remove"), "{}", refused.description());

    let (stop, signatures) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let signing = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                playground.workstation.try_sign(&key)?.success()?;
                signatures.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let rekeyed = || -> Result<()> {
            rekey(&playground.binaries, playground.server.data(), &[])?.success()?;
            wait_for_the_end(&playground)?;
            finish(&playground)
        };
        let rekeyed = rekeyed();
        stop.store(true, Ordering::Relaxed);
        signing.join().map_err(|_| anyhow::anyhow!("the signing thread panicked"))??;
        rekeyed
    })?;
    ensure!(signatures.load(Ordering::Relaxed) > 1, "gpg signed too rarely to tell anything");
    let after = stored_under(&playground)?;
    ensure!(after.len() == 1 && after != before, "{before:?} {after:?}");
    let shown = environment(&playground)?;
    ensure!(shown["master_key"]["id"] == after[0].as_str(), "{shown}");

    // A new key, and a server that has started with the new master key alone.
    playground.server.stop()?;
    playground.server.start_again(&[])?;
    for algorithm in [Algorithm::Ed25519, Algorithm::Rsa2048] {
        let key = playground.key(algorithm)?.fingerprint.clone();
        playground.workstation.try_sign(&key)?.success()?;
    }
    playground.admin.admin(&["record", "verify"])?;
    for event in ["master-key-changed", "components-resealed"] {
        let rows = database::rows(&playground, &format!("SELECT event FROM record WHERE event = '{event}'"))?;
        ensure!(rows.len() == 1, "{event}: {rows:?}");
    }
    Ok(())
}

#[test]
fn new_master_key_waits_until_both_servers_have_it() -> Result<()> {
    let nodes = nodes::start(&[])?;
    let (playground, second) = (&nodes.playground, &nodes.second);
    let key = &playground.key(Algorithm::Ed25519)?.id;
    let users = [Rest::user(playground)?, Rest::user(playground)?.at(second)];
    let sign = || -> Result<()> {
        for user in &users {
            let answer = user.sign(key, &[1; 32], &Uuid::new_v4().to_string())?;
            ensure!(answer.status == 200, "{answer:?}");
        }
        Ok(())
    };
    sign()?;
    let before = stored_under(playground)?;
    rekey(&playground.binaries, playground.server.data(), &[])?.success()?;
    wait_until("the note about the other server", DEADLINE, || {
        let shown = environment(playground)?;
        let note = shown["master_key"]["note"].as_str().unwrap_or_default().to_owned();
        Ok(note.contains("waits until these servers have it").then_some(()))
    })?;
    ensure!(stored_under(playground)? == before, "components were sealed anew too early");
    sign()?;

    let seal = playground.server.data().join("signer/default/seal.json");
    rekey(&playground.binaries, second.data(), &["--from", seal.to_str().context("a path that is no text")?])?
        .success()?;
    wait_for_the_end(playground)?;
    ensure!(stored_under(playground)? != before);
    sign()?;
    for data in [playground.server.data(), second.data()] {
        wait_until("the removal of the earlier master key", DEADLINE, || {
            Ok(rekey(&playground.binaries, data, &["--finish"])?.status.success().then_some(()))
        })?;
    }
    sign()
}

#[test]
fn rekey_goes_on_after_crashes_of_the_server() -> Result<()> {
    let mut playground = builder_with_failpoints()?.start()?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let before = stored_under(&playground)?;
    for (point, starts) in
        [("server::after_master_key_changed=return", true), ("server::after_reseal=2*off->return", false)]
    {
        playground.server.stop().ok();
        playground.server.start_again(&[("FAILPOINTS", point)])?;
        if starts {
            rekey(&playground.binaries, playground.server.data(), &[])?.success()?;
        }
        let status = playground.server.wait(DEADLINE)?;
        ensure!(!status.success(), "{point} did not kill the server");
        wait_until("the end of its signer", DEADLINE, || Ok((!playground.server.signer_lives()?).then_some(())))?;
    }
    ensure!(stored_under(&playground)?.len() == 2, "it was not in the middle");
    playground.server.start_again(&[])?;
    playground.workstation.try_sign(&key)?.success()?;
    wait_for_the_end(&playground)?;
    let after = stored_under(&playground)?;
    ensure!(after.len() == 1 && after != before, "{before:?} {after:?}");
    finish(&playground)?;
    playground.workstation.try_sign(&key)?.success().context("with the new master key alone")?;
    let rows = database::rows(&playground, "SELECT event FROM record WHERE event = 'components-resealed'")?;
    ensure!(rows.len() == 1, "{rows:?}");
    Ok(())
}
