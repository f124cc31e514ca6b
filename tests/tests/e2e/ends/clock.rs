//! A workstation whose clock is wrong. Every program there sees the wrong time, through libfaketime.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Algorithm, Finished, Flavour, Playground, run};
use serde_json::Value;

use crate::support::{expect_no_prompt, playground};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_clock_that_is_ahead_or_an_hour_behind_keeps_nobody_from_signing_and_doctor_names_it() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    for (offset, direction) in [("+1h", "ahead of"), ("+1d", "ahead of"), ("-1h", "behind")] {
        let wrong = WrongClock { playground: &playground, offset };
        wrong.sign()?.success()?;
        wrong.expect_doctor_to_say(direction)?;
    }
    // Right again: nothing of it has stayed.
    playground.workstation.end_agent()?;
    playground.workstation.try_sign(&playground.key(Algorithm::Ed25519)?.fingerprint)?.success()?;
    ensure!(playground.workstation.run_sealcard(&["doctor"])?.text().contains("agrees with the server's"));
    expect_no_prompt(&playground)
}

#[test]
fn a_clock_from_before_the_servers_certificate_is_named_as_a_possible_reason() -> Result<()> {
    let playground = playground(Flavour::Machine)?;
    // The other way round the key has expired before the certificate: gpg does not come so far.
    let wrong = WrongClock { playground: &playground, offset: "-400d" };
    let finished = wrong.sign()?.failure()?;
    ensure!(finished.stderr.contains("signing failed: Bad certificate"), "{}", finished.description());
    let last = wrong.sealcard(&["last", "--json"])?.success()?;
    let last: Value = serde_json::from_slice(&last.stdout).with_context(|| last.description())?;
    ensure!(last["reason"].as_str().is_some_and(|text| text.contains("it is not valid yet")), "{last}");
    ensure!(last["advice"].as_str().is_some_and(|text| text.contains("clock")), "{last}");
    expect_no_prompt(&playground)
}

/// The workstation, with another time.
struct WrongClock<'a> {
    playground: &'a Playground,
    offset: &'a str,
}

impl WrongClock<'_> {
    /// gpg starts an agent and a scdaemon that see the wrong time too.
    fn sign(&self) -> Result<Finished> {
        let station = &self.playground.workstation;
        station.end_agent()?;
        let key = &self.playground.key(Algorithm::Ed25519)?.fingerprint;
        let (file, output) = (station.write("to-sign", "something\n")?, station.path("to-sign.sig"));
        // gpg itself has much to say of keys that were made in the future.
        let sign = ["--ignore-time-conflict", "--ignore-valid-from", "-u", key, "-o", &output, "--detach-sign", &file];
        self.run("gpg", &[&["--batch", "--yes", "-q"], sign.as_slice()].concat())
    }

    fn expect_doctor_to_say(&self, direction: &str) -> Result<()> {
        let text = self.sealcard(&["doctor"])?.failure()?.text();
        let clock = text.lines().find(|line| line.contains("clock")).context("doctor says nothing of the clock")?;
        ensure!(clock.starts_with("broken") && clock.contains(direction), "{}: {clock}", self.offset);
        Ok(())
    }

    fn sealcard(&self, arguments: &[&str]) -> Result<Finished> {
        let program = self.playground.binaries.sealcard();
        self.run(program.to_str().context("a path that is not UTF-8")?, arguments)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Finished> {
        let arguments = [&["-f", self.offset, program], arguments].concat();
        let mut command = self.playground.workstation.command("faketime", &arguments);
        // Waiting is not to take another time than it does.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        run(&mut command, DEADLINE)
    }
}
