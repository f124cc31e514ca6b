//! What was approved and is over, and keys that can't be used when they are approved.

use std::fs;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Playground, Scratch, USER, run, wait_until};

use super::{DEADLINE, ONE, Office, approve, fails, last, requests, state, succeeds, wait_for_one, wait_for_state};
use crate::{server_clock::with_fake_clock, support::builder};

#[test]
fn pre_approval_and_late_approval_end_with_their_time() -> Result<()> {
    let mut office = Office::of(builder()?)?;
    office.rules(ONE)?;
    office.turn_clock("+0")?;
    let pre = ["preapprove", "playground/ed25519", "--for", USER, "--uses", "5", "--for-time", "30m"];
    let made = office.ann.run_sealcard(&[pre.as_slice(), &["--reason", "nightly", "--json"]].concat())?.text();
    let made: serde_json::Value = serde_json::from_str(&made)?;
    let pre = made["id"].as_str().context("no id")?.to_owned();
    let key = office.playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    office.playground.workstation.try_sign(&key)?.success()?;

    office.turn_clock("+1860")?;
    let late = office.run_sign_without_waiting()?;
    wait_for_state(&office.ann, &pre, "expired")?;
    approve(&office.ann, &late)?;
    ensure!(state(&office.ann, &late)? == "approved");

    // It had to be used within an hour.
    office.turn_clock("+5520")?;
    let again = office.run_sign_without_waiting()?;
    ensure!(again != late, "the late approval is asked for again");
    wait_for_state(&office.ann, &late, "expired")?;
    approve(&office.ann, &again)?;
    office.playground.workstation.try_sign(&key)?.success()?;
    ensure!(state(&office.ann, &again)? == "spent");
    office.playground.admin.admin(&["record", "verify"])?;
    Ok(())
}

impl Office {
    /// Starts the server again with a clock that is so many seconds ahead.
    fn turn_clock(&mut self, offset: &str) -> Result<()> {
        with_fake_clock(&mut self.playground, offset)?;
        wait_until("the server", DEADLINE, || Ok(requests(&self.ann, &[]).ok()))?;
        Ok(())
    }

    /// A signature for which nobody waits; the id of its request.
    fn run_sign_without_waiting(&self) -> Result<String> {
        let station = &self.playground.workstation;
        let file = station.write("unsigned", "text\n")?;
        let sign = ["sign", "--no-wait", "--key", "playground/ed25519", &file];
        let waits = run(&mut station.sealcard(&sign), DEADLINE)?;
        ensure!(waits.status.code() == Some(75), "{}", waits.description());
        wait_for_one(&self.ann)
    }
}

#[test]
fn key_that_is_sealed_when_it_is_approved_keeps_the_approval() -> Result<()> {
    let folder = Scratch::new()?;
    let passphrase = folder.file("passphrase", "the passphrase of the master key")?;
    let passphrase = passphrase.to_str().context("a path that is no text")?;
    let builder = builder()?.algorithms(&[Algorithm::Ed25519]).sealed_by_passphrase(passphrase);
    let mut office = Office::of(builder)?;
    office.rules(ONE)?;
    let fingerprint = office.playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    office.playground.workstation.repository("repository", &fingerprint)?;

    // Sealed and unsealed again while it waits.
    let mut waiting = office.start_tag("v1")?;
    let id = wait_for_one(&office.ann)?;
    restart(&mut office.playground)?;
    wait_until("the server", DEADLINE, || Ok(requests(&office.ann, &[]).ok()))?;
    ensure!(waiting.ended()?.is_none(), "{}", waiting.log());
    office.playground.server.unseal(passphrase)?;
    approve(&office.ann, &id)?;
    succeeds(&mut waiting)?;
    office.verify_tag("v1")?;

    // Sealed when it is approved.
    let mut waiting = office.start_tag("v2")?;
    let id = wait_for_one(&office.ann)?;
    restart(&mut office.playground)?;
    wait_until("the server", DEADLINE, || Ok(requests(&office.ann, &[]).ok()))?;
    approve(&office.ann, &id)?;
    fails(&mut waiting)?;
    ensure!(waiting.log().contains("Not operational"), "{}", waiting.log());
    let story = last(&office)?;
    ensure!(story.contains("sealed") && story.contains("kept"), "{story}");
    ensure!(state(&office.ann, &id)? == "approved", "the key was not used");
    office.playground.server.unseal(passphrase)?;
    succeeds(&mut office.start_tag("v2")?)?;
    office.verify_tag("v2")?;
    ensure!(state(&office.ann, &id)? == "spent");
    office.playground.admin.admin(&["record", "verify"])?;
    Ok(())
}

/// Its signer is sealed then.
fn restart(playground: &mut Playground) -> Result<()> {
    playground.server.stop()?;
    playground.server.start_again(&[])
}

impl Office {
    fn start_tag(&self, name: &str) -> Result<sealcard_tests::Daemon> {
        let station = &self.playground.workstation;
        let log = self.playground.scratch.path().join(format!("{name}.log"));
        fs::remove_file(&log).ok();
        let repository = station.path("repository");
        let tag = station.command("git", &["-C", &repository, "tag", "-s", "-m", "A version", name]);
        sealcard_tests::Daemon::spawn(&tag, &log)
    }

    fn verify_tag(&self, name: &str) -> Result<()> {
        let repository = self.playground.workstation.path("repository");
        self.playground.workstation.run("git", &["-C", &repository, "verify-tag", name]).map(drop)
    }
}
