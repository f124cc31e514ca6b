//! Ctrl-C in the middle of a signature, and the death of gpg-agent.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_test_pause::Pause;
use sealcard_tests::{Algorithm, Flavour, Workstation, wait_until};

use super::scdaemon::Client;
use crate::support::{
    expect_no_prompt, playground,
    standstill::{scdaemon_pid, wait_for_request},
};

with_every_gpg![
    ctrl_c_during_a_signature_leaves_no_stuck_agent_and_the_next_one_works,
    a_gpg_agent_killed_during_a_signature_takes_its_scdaemon_along_and_the_next_signature_starts_both,
];

fn ctrl_c_during_a_signature_leaves_no_stuck_agent_and_the_next_one_works(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    let (agent, scdaemon) = (station.agent_pid()?, scdaemon_pid(&playground)?);

    let pause = Pause::of(playground.server.pid())?;
    let mut gpg = start_signing(station, key)?;
    wait_for_request(&playground)?;
    kill(Pid::from_raw(i32::try_from(gpg.id())?), Signal::SIGINT)?;
    // gpg ends at once, while the server still says nothing.
    wait_until("the end of gpg", Duration::from_secs(10), || Ok(gpg.try_wait()?))?;
    // What needs no key goes on meanwhile.
    station.gpg(&["--card-status"])?;
    drop(pause);

    station.try_sign(key)?.success()?;
    ensure!(station.agent_pid()? == agent && scdaemon_pid(&playground)? == scdaemon, "another one was started");
    // The interrupted connection ends by itself; the one that asks and gpg-agent's pipe are left.
    let mut client = Client::connect(station)?;
    wait_until("the end of the interrupted connection", Duration::from_secs(20), || {
        let lines = client.ask_all("GETINFO connections")?;
        let count = lines.iter().find_map(|line| line.strip_prefix("D ")).context("no count")?.to_owned();
        Ok((count.trim() == "2").then_some(()))
    })?;
    expect_no_prompt(&playground)
}

fn a_gpg_agent_killed_during_a_signature_takes_its_scdaemon_along_and_the_next_signature_starts_both(
    flavour: Flavour,
) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    station.try_sign(key)?.success()?;
    let (agent, scdaemon) = (station.agent_pid()?, scdaemon_pid(&playground)?);

    let pause = Pause::of(playground.server.pid())?;
    let mut gpg = start_signing(station, key)?;
    wait_for_request(&playground)?;
    kill(Pid::from_raw(i32::try_from(agent)?), Signal::SIGKILL)?;
    let status = wait_until("the end of gpg", Duration::from_secs(10), || Ok(gpg.try_wait()?))?;
    ensure!(!status.success(), "gpg signed without its agent");
    drop(pause);
    wait_until("the end of the scdaemon", Duration::from_secs(20), || Ok(is_gone(scdaemon).then_some(())))?;

    station.try_sign(key)?.success()?;
    ensure!(station.agent_pid()? != agent);
    expect_no_prompt(&playground)
}

/// gpg as a child of this process: its pid is that of gpg itself.
fn start_signing(station: &Workstation, key: &str) -> Result<Child> {
    let (file, output) = (station.write("interrupted", "something\n")?, station.path("interrupted.sig"));
    let mut command =
        station.command("gpg", &["--batch", "--yes", "-q", "-u", key, "-o", &output, "--detach-sign", &file]);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn is_gone(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}
