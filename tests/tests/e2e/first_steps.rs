//! From install to the first signature, and the things that usually go wrong with cards.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::{Result, anyhow, ensure};
use sealcard_tests::{Algorithm, Flavour, USER, run};

use crate::support::{builder, expect_no_prompt, playground};

with_every_gpg![
    one_command_leads_from_install_to_the_first_signature,
    two_keys_sign_in_turn_and_at_once_without_any_prompt,
    an_agent_that_was_started_with_an_empty_environment_signs,
    setup_is_undone_by_remove,
    a_home_without_stubs_signs_after_sync,
];

fn one_command_leads_from_install_to_the_first_signature(flavour: Flavour) -> Result<()> {
    let playground = builder()?.flavour(flavour).without_login().start()?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.failure()?;
    station.login_as(&playground.server, USER, &playground.facts.user_password, &["--setup"])?;
    station.try_sign(key)?.success()?;
    expect_no_prompt(&playground)
}

fn two_keys_sign_in_turn_and_at_once_without_any_prompt(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let keys = [Algorithm::NistP256, Algorithm::Ed25519].map(|algorithm| playground.key(algorithm));
    for _ in 0..3 {
        for key in &keys {
            let key = key.as_ref().map_err(|error| anyhow!("{error}"))?;
            playground.workstation.try_sign(&key.fingerprint)?.success()?;
        }
    }
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for key in keys.iter().flatten() {
            let (sender, station) = (sender.clone(), &playground.workstation);
            scope.spawn(move || {
                let sign = |number: usize| {
                    let file = station.write(&format!("{}-{number}", key.algorithm), "text")?;
                    station.gpg(&["-u", &key.fingerprint, "-o", &format!("{file}.sig"), "--detach-sign", &file])
                };
                for number in 0..10 {
                    sender.send(sign(number).map(|_| ())).ok();
                }
            });
        }
    });
    drop(sender);
    let results: Vec<Result<()>> = receiver.iter().collect();
    ensure!(results.len() == 20, "{} of 20 signatures", results.len());
    results.into_iter().collect::<Result<()>>()?;
    expect_no_prompt(&playground)
}

fn an_agent_that_was_started_with_an_empty_environment_signs(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    station.end_agent()?;
    let home = station.gnupg_home();
    let arguments = ["-i", "/usr/bin/gpg-agent", "--daemon", "--homedir"];
    let mut agent = station.command("/usr/bin/env", &arguments);
    run(agent.arg(&home), Duration::from_secs(20))?.success()?;
    let pid = station.agent_pid()?;
    let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
    ensure!(environment.is_empty(), "the agent has variables: {}", String::from_utf8_lossy(&environment));
    for key in &playground.facts.keys {
        station.try_sign(&key.fingerprint)?.success()?;
    }
    ensure!(station.agent_pid()? == pid, "another agent took over");
    expect_no_prompt(&playground)
}

fn setup_is_undone_by_remove(flavour: Flavour) -> Result<()> {
    let playground = builder()?.flavour(flavour).without_login().start()?;
    let station = &playground.workstation;
    let config = station.gnupg_home().join("gpg-agent.conf");
    let before = std::fs::read_to_string(&config)?;
    station.login(&playground.server, &playground.facts)?;
    let during = std::fs::read_to_string(&config)?;
    ensure!(during.contains("scdaemon-program ") && during != before, "{during}");
    station.run_sealcard(&["setup", "--remove"])?;
    let after = std::fs::read_to_string(&config)?;
    ensure!(after == before, "left behind:\n{after}");
    Ok(())
}

fn a_home_without_stubs_signs_after_sync(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    station.end_agent()?;
    std::fs::remove_dir_all(station.gnupg_home().join("private-keys-v1.d"))?;
    station.run_sealcard(&["sync"])?;
    for key in &playground.facts.keys {
        station.try_sign(&key.fingerprint)?.success()?;
    }
    expect_no_prompt(&playground)
}
