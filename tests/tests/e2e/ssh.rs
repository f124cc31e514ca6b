//! ssh through gpg-agent: logins, and git's ssh signatures.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Flavour, run};

use crate::support::{expect_no_prompt, playground, ssh_agent::Agent, sshd::Sshd};

with_every_gpg![
    each_key_logs_in_at_a_real_sshd,
    git_ssh_signatures_are_made_and_verified,
    a_message_that_is_neither_login_nor_sshsig_is_refused,
];

fn each_key_logs_in_at_a_real_sshd(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let agent = Agent::new(&playground)?;
    let keys = agent.public_keys()?;
    ensure!(keys.len() == playground.facts.keys.len(), "not one key for each card: {keys:?}");
    let sshd = Sshd::start(&playground.scratch, &format!("{}\n", keys.join("\n")))?;
    for key in &keys {
        let file = playground.workstation.write("login.pub", format!("{key}\n"))?;
        let port = sshd.port.to_string();
        let options =
            ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
        let mut command = agent.command("ssh", &["-F", "none", "-p", &port, "-i", &file]);
        command.args(options.iter().flat_map(|option| ["-o", option])).args(["root@127.0.0.1", "echo", "hello"]);
        let finished = run(&mut command, Duration::from_secs(60))?.success();
        let finished = finished.with_context(|| format!("{key}\nsshd says:\n{}", sshd.log()))?;
        ensure!(finished.text() == "hello\n", "{}", finished.description());
    }
    expect_no_prompt(&playground)
}

fn git_ssh_signatures_are_made_and_verified(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let agent = Agent::new(&playground)?;
    for (number, key) in agent.public_keys()?.iter().enumerate() {
        let repository = station.repository(&format!("r{number}"), &format!("key::{key}"))?;
        let allowed = station.write("allowed-signers", format!("ada@example.org {key}\n"))?;
        let git = |arguments: &[&str]| {
            let ssh = ["-C", &repository, "-c", "gpg.format=ssh"];
            let signers = format!("gpg.ssh.allowedSignersFile={allowed}");
            let mut command = agent.command("git", &ssh);
            run(command.args(["-c", &signers]).args(arguments), Duration::from_secs(60))?.success()
        };
        git(&["commit", "-q", "-S", "--allow-empty", "-m", "Signed with ssh"])?;
        let verified = git(&["verify-commit", "HEAD"])?;
        ensure!(verified.stderr.contains("Good \"git\" signature for ada@example.org"), "{}", verified.description());
        git(&["tag", "-s", "v1", "-m", "Version 1"])?;
        git(&["tag", "-v", "v1"])?;
    }
    expect_no_prompt(&playground)
}

fn a_message_that_is_neither_login_nor_sshsig_is_refused(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let agent = Agent::new(&playground)?;
    ensure!(!agent.public_keys()?.is_empty());
    let station = &playground.workstation;
    let list = station.run("gpg-connect-agent", &["SCD LEARN --force", "/bye"])?.text();
    let grips = list.lines().filter(|line| line.starts_with("S KEYPAIRINFO") && line.contains("OPENPGP.3"));
    let grip = grips.filter_map(|line| line.split(' ').nth(2)).next().context("no authentication key")?;
    // The 15 bytes that gpg-agent puts before every message of Ed25519, then something that is not ssh's.
    let message = "3021300906052B0E03021A05000414".to_owned() + &"41".repeat(64);
    let answer = station
        .run("gpg-connect-agent", &[&format!("SCD SETDATA {message}"), &format!("SCD PKAUTH {grip}"), "/bye"])?;
    ensure!(answer.text().contains("ERR ") && !answer.text().contains("\nD "), "{}", answer.description());
    Ok(())
}
