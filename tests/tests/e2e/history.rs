//! Rewriting a signed git history.

use std::time::Duration;

use anyhow::{Result, ensure};
use sealcard_tests::{Algorithm, Flavour, run};

use crate::support::{expect_no_prompt, playground};

const COMMITS: usize = 200;
const DEADLINE: Duration = Duration::from_secs(180);

with_every_gpg![a_rebase_signs_200_commits];

fn a_rebase_signs_200_commits(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let repository = station.repository("repository", key)?;
    let git = |arguments: &[&str]| {
        run(&mut station.command("git", &[&["-C", &repository], arguments].concat()), DEADLINE)?.success()
    };
    station.add_topic(&repository, COMMITS)?;
    git(&["rebase", "--quiet", "--gpg-sign", "main"])?;
    let log = git(&["log", "--format=%G? %GP", "main..topic"])?.text();
    // Good, of unknown validity: nobody has said that this key is to be trusted.
    let good = log.lines().filter(|line| *line == format!("U {key}")).count();
    ensure!(good == COMMITS && log.lines().count() == COMMITS, "{good} of {COMMITS} commits are signed:\n{log}");

    // As people do who forgot to sign.
    let unsigned = ["rebase", "--quiet", "--force-rebase", "--no-gpg-sign", "HEAD~5"];
    git(&unsigned)?;
    ensure!(git(&["log", "--format=%G?", "-5"])?.text() == "N\n".repeat(5), "signed although told not to");
    git(&[
        "rebase",
        "--quiet",
        "--exec",
        "git commit --quiet --amend --no-edit -S && git verify-commit HEAD",
        "HEAD~5",
    ])?;
    ensure!(git(&["log", "--format=%G?", "-5"])?.text() == "U\n".repeat(5));
    expect_no_prompt(&playground)
}
