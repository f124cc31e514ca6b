//! Someone who may use fifty keys.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Flavour};

use super::scdaemon::Client;
use crate::support::{builder, expect_no_prompt};

with_every_gpg![fifty_keys_are_listed_learned_and_used_without_any_limit_being_met];

const KEYS: usize = 50;

/// Generous for a busy machine, and far below what a person takes for a fault.
const LIMIT: Duration = Duration::from_secs(15);

fn fifty_keys_are_listed_learned_and_used_without_any_limit_being_met(flavour: Flavour) -> Result<()> {
    let playground = builder()?.flavour(flavour).algorithms(&[Algorithm::Ed25519]).start()?;
    let station = &playground.workstation;
    let mut keys = vec![playground.key(Algorithm::Ed25519)?.clone()];
    for number in 1..KEYS {
        keys.push(playground.admin.create_key(Algorithm::Ed25519, &format!("key-{number}"))?);
    }

    timed("sealcard sync", || {
        let synced = station.run_sealcard(&["sync"])?;
        ensure!(synced.text().contains(&format!("{KEYS} keys")), "{}", synced.description());
        Ok(())
    })?;
    timed("gpg --card-status all", || {
        let status = station.gpg(&["--card-status", "all"])?.text();
        ensure!(status.matches("Serial number ....").count() == KEYS, "{status}");
        Ok(())
    })?;
    timed("gpg --list-secret-keys", || {
        let listed = station.gpg(&["--with-colons", "--list-secret-keys"])?.text();
        ensure!(listed.lines().filter(|line| line.starts_with("sec:")).count() == KEYS, "{listed}");
        Ok(())
    })?;
    let mut client = Client::connect(station)?;
    timed("LEARN of every card", || {
        for key in &keys {
            let learned = client.ask_all(&format!("LEARN --force --demand={}", key.serial))?;
            ensure!(learned.contains(&format!("S SERIALNO {}", key.serial)), "{}: {learned:?}", key.serial);
        }
        Ok(())
    })?;
    // The commands that gpg 2.4 sends before each signature.
    timed("a hundred KEYINFO --list", || {
        (0..100).try_for_each(|_| {
            let lines = client.ask_all("KEYINFO --list")?;
            let listed = lines.iter().filter(|line| line.starts_with("S KEYINFO ")).count();
            ensure!(listed >= KEYS, "{listed} keys are listed");
            Ok(())
        })
    })?;
    for key in [keys.first(), keys.last()] {
        station.try_sign(&key.context("no key")?.fingerprint)?.success()?;
    }
    expect_no_prompt(&playground)
}

fn timed(what: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    let started = Instant::now();
    action().with_context(|| what.to_owned())?;
    let took = started.elapsed();
    ensure!(took < LIMIT, "{what} took {took:?}");
    Ok(())
}
