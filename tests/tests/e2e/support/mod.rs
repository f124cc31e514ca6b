//! What several topics need.

pub(crate) mod database;
pub(crate) mod page;
pub(crate) mod record;
pub(crate) mod rest;
pub(crate) mod ssh_agent;
pub(crate) mod sshd;
pub(crate) mod standstill;
pub(crate) mod terminal;
pub(crate) mod transcript;

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Binaries, Flavour, Playground, PlaygroundBuilder, run};
use serde_json::Value;

/// What a test waits for comes much sooner.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a test of each function for each GnuPG: the machine's (2.2), and those of the chroots (2.4.7, 2.4.9).
macro_rules! with_every_gpg {
    ($($name:ident),* $(,)?) => {
        mod gpg_2_2 {
            $(#[test] fn $name() -> anyhow::Result<()> { super::$name(sealcard_tests::Flavour::Machine) })*
        }
        mod gpg_2_4_7 {
            $(#[test] fn $name() -> anyhow::Result<()> { super::$name(sealcard_tests::Flavour::Trixie) })*
        }
        mod gpg_2_4_9 {
            $(#[test] fn $name() -> anyhow::Result<()> { super::$name(sealcard_tests::Flavour::Forky) })*
        }
    };
}

/// The playground of a test, not started yet.
pub(crate) fn builder<'a>() -> Result<PlaygroundBuilder<'a>> {
    Ok(PlaygroundBuilder::new(Binaries::for_tests()?))
}

/// The same with programs that stop where `FAILPOINTS` says.
pub(crate) fn builder_with_failpoints<'a>() -> Result<PlaygroundBuilder<'a>> {
    Ok(PlaygroundBuilder::new(Binaries::for_tests()?.with_failpoints()?))
}

/// A playground that is ready to sign with.
pub(crate) fn playground(flavour: Flavour) -> Result<Playground> {
    builder()?.flavour(flavour).start()
}

/// Nobody was asked anything.
pub(crate) fn expect_no_prompt(playground: &Playground) -> Result<()> {
    let calls = playground.workstation.pinentry_calls();
    ensure!(calls.is_empty(), "pinentry was called:\n{calls}");
    Ok(())
}

/// What `sealcard doctor` says of one link, whether all hold or not. `sealcard` is the command without arguments.
pub(crate) fn doctor(mut sealcard: Command, link: &str) -> Result<Value> {
    let finished = run(sealcard.args(["doctor", "--json"]), PATIENCE)?;
    let report: Value = serde_json::from_slice(&finished.stdout)?;
    let findings = report["findings"].as_array().context("no findings")?;
    let found = findings.iter().find(|finding| finding["link"] == link);
    found.cloned().with_context(|| format!("nothing about {link}: {report}"))
}
