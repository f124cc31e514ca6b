//! Trust in a server survives the renewal of its certificate, and the server renews it by itself.

use std::process::Command;

use anyhow::{Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_tests::{Algorithm, Playground, USER, run, wait_until};

use crate::support::{PATIENCE, builder, expect_no_prompt};

/// The certificate is good for 730 days and renewed 90 days before its end.
const AHEAD: &str = "+700d";

#[test]
fn a_pinned_fingerprint_outlasts_a_renewal() -> Result<()> {
    let playground = builder()?.without_login().start()?;
    let (station, key) = (&playground.workstation, &playground.key(Algorithm::Ed25519)?.fingerprint);
    let fingerprint = tls(&playground, "fingerprint")?;
    let password = station.write("password", &playground.facts.user_password)?;
    let url = playground.server.url();
    let login = ["login", url, "--user", USER, "--password-file", &password, "--fingerprint", fingerprint.trim()];
    station.run_sealcard(&[&login[..], &["--setup"]].concat())?;
    station.try_sign(key)?.success()?;

    tls(&playground, "renew")?;
    kill(Pid::from_raw(playground.server.pid().try_into()?), Signal::SIGHUP)?;
    wait_until("the new certificate", PATIENCE, || {
        Ok(playground.server.log().contains("the certificate was loaded again").then_some(()))
    })?;
    // A new scdaemon opens a new connection.
    station.end_agent()?;
    station.try_sign(key)?.success()?;
    let trust = station.run_sealcard(&["trust"])?.text();
    ensure!(trust.contains("The certificate is trusted.") && trust.contains(fingerprint.trim()), "{trust}");
    expect_no_prompt(&playground)
}

#[test]
fn a_server_renews_its_certificate_by_itself() -> Result<()> {
    let mut playground = builder()?.without_login().start()?;
    let fingerprint = tls(&playground, "fingerprint")?;
    playground.server.stop()?;
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", std::env::consts::ARCH);
    let clock = [("LD_PRELOAD", library.as_str()), ("FAKETIME", AHEAD), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    playground.server.start_again(&clock)?;
    let log = playground.server.log();
    ensure!(log.contains("the server's certificate has been renewed"), "{log}");

    // A workstation at the same time looks at the dates of the certificate.
    let station = &playground.workstation;
    let password = station.write("password", &playground.facts.user_password)?;
    let sealcard = playground.binaries.sealcard();
    let program = sealcard.to_string_lossy();
    let login = ["-f", AHEAD, &program, "login", playground.server.url(), "--user", USER, "--no-sync"];
    let more = ["--password-file", &password, "--fingerprint", fingerprint.trim()];
    let mut command = station.command("faketime", &[&login[..], &more].concat());
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    run(&mut command, PATIENCE)?.success()?;
    Ok(())
}

/// `sealcard-server tls VERB` in the server's data folder.
fn tls(playground: &Playground, verb: &str) -> Result<String> {
    let mut command = Command::new(playground.binaries.server());
    command.args(["tls", verb, "--data"]).arg(playground.server.data());
    Ok(run(&mut command, PATIENCE)?.success()?.text())
}
