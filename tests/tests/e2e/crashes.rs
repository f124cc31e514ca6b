//! Server and signer die at each step of a signature. Afterwards every signature that was released is in the record and
//! in the journal, and what is not known is said to be unknown.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_api::record::RequestState;
use sealcard_tests::{Algorithm, Flavour, Playground, wait_until};

use crate::support::{
    builder_with_failpoints, expect_no_prompt,
    record::{expect_no_findings, expect_recorded, read_journal, read_record, state_of, uses_in_state},
    rest::{Answer, Rest},
};

const DIGEST: [u8; 32] = [0x5a; 32];

#[test]
fn a_server_that_dies_before_the_intent_has_used_no_key_and_the_repetition_is_a_new_use() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, broken) = scene.die_at("server::before_intent")?;
    ensure!(broken.status == 0, "{broken:?}");
    ensure!(scene.journaled()? == 0, "the key was used");
    let again = scene.repeat()?;
    ensure!(again.status == 200, "{again:?}");
    scene.expect_uses(1, 0)?;
    scene.expect_released(&again)
}

#[test]
fn a_server_that_dies_after_the_intent_leaves_an_unknown_use() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, broken) = scene.die_at("server::after_intent")?;
    ensure!(broken.status == 0, "{broken:?}");
    ensure!(scene.journaled()? == 0, "the key was used");
    let again = scene.repeat()?;
    ensure!((again.status, again.code()) == (409, "outcome-unknown"), "{again:?}");
    scene.expect_uses(0, 1)
}

#[test]
fn a_server_that_dies_after_the_signer_answered_leaves_an_unknown_use_that_is_in_the_journal() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, broken) = scene.die_at("server::after_signer")?;
    ensure!(broken.status == 0, "{broken:?}");
    ensure!(scene.journaled()? == 1, "the use is not in the journal");
    let again = scene.repeat()?;
    ensure!((again.status, again.code()) == (409, "outcome-unknown"), "{again:?}");
    ensure!(scene.journaled()? == 1, "the key was used twice");
    scene.expect_uses(0, 1)
}

#[test]
fn a_server_that_dies_after_the_outcome_gives_the_same_signature_again() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, broken) = scene.die_at("server::after_outcome")?;
    ensure!(broken.status == 0, "{broken:?}");
    let again = scene.repeat()?;
    ensure!(again.status == 200, "{again:?}");
    ensure!(scene.journaled()? == 1, "the key was used twice");
    scene.expect_uses(1, 0)?;
    scene.expect_released(&again)?;
    let third = scene.repeat()?;
    ensure!(third.body["signature"] == again.body["signature"]);
    Ok(())
}

#[test]
fn a_signer_that_dies_before_its_journal_releases_nothing() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, failed) = scene.die_at("signer::before_journal")?;
    ensure!(failed.status >= 500, "{failed:?}");
    ensure!(scene.journaled()? == 0);
    scene.expect_a_failed_or_unknown_use()
}

#[test]
fn a_signer_that_dies_after_its_journal_releases_nothing_and_the_use_stays_in_the_journal() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, failed) = scene.die_at("signer::after_journal")?;
    ensure!(failed.status >= 500, "{failed:?}");
    ensure!(scene.journaled()? == 1);
    scene.expect_a_failed_or_unknown_use()
}

#[test]
fn a_signer_that_dies_before_its_answer_releases_nothing_and_the_use_stays_in_the_journal() -> Result<()> {
    let scene = Scene::new()?;
    let (mut scene, failed) = scene.die_at("signer::before_answer")?;
    ensure!(failed.status >= 500, "{failed:?}");
    ensure!(scene.journaled()? == 1);
    scene.expect_a_failed_or_unknown_use()
}

with_every_gpg![gpg_is_told_of_every_death_and_signs_after_the_restart];

fn gpg_is_told_of_every_death_and_signs_after_the_restart(flavour: Flavour) -> Result<()> {
    let mut playground = builder_with_failpoints()?.flavour(flavour).start()?;
    let key = playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    for point in [
        "server::before_intent",
        "server::after_intent",
        "server::after_signer",
        "server::after_outcome",
        "signer::before_journal",
        "signer::after_journal",
        "signer::before_answer",
    ] {
        playground.server.stop()?;
        playground.server.start_again(&[("FAILPOINTS", &format!("{point}=return"))])?;
        let finished = playground.workstation.try_sign(&key)?.failure()?;
        ensure!(finished.stderr.contains("signing failed: "), "{point}: {}", finished.description());
        restart(&mut playground, point)?;
        let finished = playground.workstation.try_sign(&key)?.success();
        finished.with_context(|| format!("after {point}"))?;
    }
    expect_no_findings(&Rest::admin(&playground)?)?;
    expect_no_prompt(&playground)
}

/// A playground whose server died, or not yet, while it was asked for one signature.
struct Scene {
    playground: Playground,
    user: Rest,
    key: String,
    idempotency_key: String,
    journal_before: usize,
}

impl Scene {
    fn new() -> Result<Self> {
        let playground = builder_with_failpoints()?.start()?;
        let user = Rest::user(&playground)?;
        let key = playground.key(Algorithm::Ed25519)?.id.clone();
        let journal_before = uses_in_journal(&playground)?;
        let idempotency_key = "6f1c3a52-7d7b-4a3f-9d5b-0d3c1b2a4e5f".to_owned();
        Ok(Self { playground, user, key, idempotency_key, journal_before })
    }

    /// Asks for a signature from a server that dies at this point, and starts it again without.
    fn die_at(mut self, point: &str) -> Result<(Self, Answer)> {
        self.playground.server.stop()?;
        // The signer dies at the use, not at a checkpoint before it.
        let no_checkpoints = ("SEALCARD_SERVER_RECORD__ENVIRONMENT", "none");
        self.playground.server.start_again(&[("FAILPOINTS", &format!("{point}=return")), no_checkpoints])?;
        let answer = self.repeat()?;
        restart(&mut self.playground, point)?;
        Ok((self, answer))
    }

    fn repeat(&mut self) -> Result<Answer> {
        self.user.sign(&self.key, &DIGEST, &self.idempotency_key)
    }

    /// How many uses have been added to the journal.
    fn journaled(&self) -> Result<usize> {
        Ok(uses_in_journal(&self.playground)? - self.journal_before)
    }

    fn expect_uses(&self, signed: usize, unknown: usize) -> Result<()> {
        let admin = Rest::admin(&self.playground)?;
        let record = read_record(&admin)?;
        for (state, expected) in [
            (RequestState::Signed, signed),
            (RequestState::Unknown, unknown),
            (RequestState::Failed, 0),
            (RequestState::Signing, 0),
        ] {
            let found = uses_in_state(&record, state);
            ensure!(found == expected, "{found} uses are {} and not {expected}", state.name());
        }
        expect_no_findings(&admin)
    }

    fn expect_released(&self, answer: &Answer) -> Result<()> {
        let record = read_record(&Rest::admin(&self.playground)?)?;
        let request = answer.request_id().context("no request id")?.to_owned();
        expect_recorded(&record, &read_journal(self.playground.server.data())?, &[request])
    }

    /// The use is in the record with an end that claims no signature; it is not repeated; a new one works.
    fn expect_a_failed_or_unknown_use(&mut self) -> Result<()> {
        let before = self.journaled()?;
        let again = self.repeat()?;
        ensure!(again.status != 200, "a use that failed was repeated: {again:?}");
        ensure!(self.journaled()? == before, "the key was used again");
        let admin = Rest::admin(&self.playground)?;
        let record = read_record(&admin)?;
        let ended = uses_in_state(&record, RequestState::Failed) + uses_in_state(&record, RequestState::Unknown);
        ensure!(ended == 1 && uses_in_state(&record, RequestState::Signed) == 0, "{record:?}");
        let fresh = self.user.sign(&self.key, &DIGEST, "0b9e4a64-53a5-4c58-8a0f-6d1f4c7b2a10")?;
        let request = fresh.request_id().with_context(|| format!("{fresh:?}"))?;
        ensure!(state_of(&read_record(&admin)?, request) == Some(RequestState::Signed));
        expect_no_findings(&admin)
    }
}

/// How many entries the journal has, apart from those of checkpoints.
fn uses_in_journal(playground: &Playground) -> Result<usize> {
    let journal = read_journal(playground.server.data())?;
    Ok(journal.iter().filter(|entry| entry.checkpoint.is_none()).count())
}

/// Starts the server again without failpoints; a server's own failpoint has ended it by then.
fn restart(playground: &mut Playground, point: &str) -> Result<()> {
    if point.starts_with("server::") {
        let status = playground.server.wait(Duration::from_secs(20))?;
        ensure!(!status.success(), "{point} did not kill the server");
        wait_until("the end of its signer", Duration::from_secs(20), || {
            // The signer holds the lock of its folder as long as it lives.
            Ok((!playground.server.signer_lives()?).then_some(()))
        })?;
    } else {
        playground.server.stop()?;
    }
    playground.server.start_again(&[])
}
