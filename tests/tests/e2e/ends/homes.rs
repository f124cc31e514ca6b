//! One person with two GnuPG homes.

use std::{path::PathBuf, process::Command, thread, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use sealcard_tests::{Algorithm, Finished, Flavour, PROJECT, Playground, Workstation, run};

use crate::support::{expect_no_prompt, playground};

with_every_gpg![
    two_gnupg_homes_share_one_login_and_sign_at_the_same_time,
    two_gnupg_homes_with_two_logins_keep_to_their_own_keys,
];

const DEADLINE: Duration = Duration::from_secs(60);

fn two_gnupg_homes_share_one_login_and_sign_at_the_same_time(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let key = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let second = Home::new(&playground, "second", false)?;
    second.sealcard(&["setup"])?.success()?;
    thread::scope(|scope| {
        let here = scope.spawn(|| (0..10).try_for_each(|_| station.try_sign(key)?.success().map(drop)));
        let there = scope.spawn(|| (0..10).try_for_each(|_| second.sign(key)?.success().map(drop)));
        [here, there].into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    // Taking one out does not touch the other.
    second.sealcard(&["setup", "--remove"])?.success()?;
    second.sign(key)?.failure()?;
    station.try_sign(key)?.success()?;
    expect_no_prompt(&playground)
}

fn two_gnupg_homes_with_two_logins_keep_to_their_own_keys(flavour: Flavour) -> Result<()> {
    let playground = playground(flavour)?;
    let station = &playground.workstation;
    let ours = &playground.key(Algorithm::Ed25519)?.fingerprint;
    let theirs = key_of_another(&playground)?;
    let second = Home::new(&playground, "second", true)?;
    let password = station.write("password", PASSWORD)?;
    let ca = station.write("second-ca.pem", std::fs::read(playground.server.ca())?)?;
    let url = playground.server.url();
    let login = ["login", url, "--user", "grace", "--password-file", &password, "--ca-file", &ca, "--setup"];
    second.sealcard(&login)?.success()?;

    station.try_sign(ours)?.success()?;
    second.sign(&theirs)?.success()?;
    station.try_sign(&theirs)?.failure()?;
    second.sign(ours)?.failure()?;
    // Each agent finds its own login without any variable that says so.
    ensure!(second.sealcard(&["status"])?.success()?.text().contains("grace"));
    second.sealcard(&["logout"])?.success()?;
    second.sign(&theirs)?.failure()?;
    station.try_sign(ours)?.success()?;
    expect_no_prompt(&playground)
}

const PASSWORD: &str = "correct-battery-grace-2342";

/// Another user of the server, with a project and a key of her own.
fn key_of_another(playground: &Playground) -> Result<String> {
    let admin = &playground.admin;
    admin.add_user("grace", PASSWORD)?;
    admin.admin(&["project", "add", "hers"])?;
    admin.admin(&["project", "add-member", "hers", "--user", "grace", "--role", "key-user"])?;
    let create = ["key", "create", "hers/tags"];
    let key = admin.json(&[create.as_slice(), &["--user-id", "Grace <grace@example.org>"]].concat())?;
    ensure!(key["project"] != PROJECT);
    Ok(key["fingerprint"].as_str().context("no fingerprint")?.to_uppercase())
}

/// A further GnuPG home on a workstation; its agent ends with this value.
struct Home<'a> {
    station: &'a Workstation,
    gnupg: PathBuf,
    /// Folders for a login of its own.
    folders: Option<(PathBuf, PathBuf)>,
}

impl<'a> Home<'a> {
    fn new(playground: &'a Playground, name: &str, own_login: bool) -> Result<Self> {
        let station = &playground.workstation;
        let gnupg = playground.scratch.folder(&format!("ws/{name}"))?;
        std::fs::copy(station.gnupg_home().join("gpg-agent.conf"), gnupg.join("gpg-agent.conf"))?;
        if !own_login {
            return Ok(Self { station, gnupg, folders: None });
        }
        let folders = (station.home().join(format!("{name}-config")), station.home().join(format!("{name}-state")));
        Ok(Self { station, gnupg, folders: Some(folders) })
    }

    fn sealcard(&self, arguments: &[&str]) -> Result<Finished> {
        let mut command = self.station.sealcard(arguments);
        if let Some((config, state)) = &self.folders {
            command.env("SEALCARD_CONFIG_FOLDER", config).env("SEALCARD_STATE_FOLDER", state);
        }
        run(self.here(&mut command), DEADLINE)
    }

    fn sign(&self, key: &str) -> Result<Finished> {
        let file = self.station.write("to-sign-second", "something\n")?;
        let output = format!("{file}.sig");
        let sign = ["--batch", "--yes", "-q", "-u", key, "-o", &output, "--detach-sign", &file];
        run(self.here(&mut self.station.command("gpg", &sign)), DEADLINE)
    }

    fn here<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("GNUPGHOME", &self.gnupg)
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        run(self.here(&mut self.station.command("gpgconf", &["--kill", "all"])), DEADLINE).ok();
    }
}
