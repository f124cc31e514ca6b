//! A login for a whole machine: a CI host, where every user of a group signs. In a folder of the test, never in /etc.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::unistd::{Group, geteuid};
use sealcard_tests::{Algorithm, Finished, Flavour, PROJECT, Playground, Workstation, run};
use serde_json::Value;

use crate::support::{expect_no_prompt, playground};

with_every_gpg![
    a_user_without_a_login_signs_with_the_machines_and_with_their_own_once_there_is_one,
    a_machines_login_that_others_could_read_or_write_is_refused,
];

const DEADLINE: Duration = Duration::from_secs(60);

fn a_user_without_a_login_signs_with_the_machines_and_with_their_own_once_there_is_one(flavour: Flavour) -> Result<()> {
    let host = Host::new(playground(flavour)?, None)?;
    let key = host.playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let user = host.user("ci")?;
    user.sealcard(&["setup"])?.success()?;
    user.sign(&key)?.success()?;
    let status = user.status()?;
    ensure!(status["grant"]["principal_name"] == "builder" && status["state"] == "logged-in", "{status}");
    // It is not renewed, and so valid for the whole time from the start.
    ensure!(status["grant"]["expires"] == status["grant"]["refreshable_until"], "{status}");
    let doctor = user.sealcard(&["doctor"])?.success()?.text();
    ensure!(doctor.contains("this machine, for its group"), "{doctor}");

    // Their own comes first, at once and without a new agent; afterwards the machine's counts again.
    user.log_in(&host.playground)?;
    ensure!(user.status()?["grant"]["principal_name"] == sealcard_tests::USER);
    user.sign(&key)?.success()?;
    let logout = user.sealcard(&["logout"])?.success()?;
    ensure!(logout.stderr.contains("machine"), "{}", logout.description());
    ensure!(user.status()?["grant"]["principal_name"] == "builder");
    user.sign(&key)?.success()?;

    user.sealcard(&["logout", "--machine"])?.success()?;
    let failed = user.sign(&key)?.failure()?;
    ensure!(failed.stderr.contains("Not authenticated"), "{}", failed.description());
    let valid = host.playground.admin.json(&["grant", "list", "--of", "builder"])?;
    ensure!(valid["grants"].as_array().is_some_and(Vec::is_empty), "{valid}");
    expect_no_prompt(&host.playground)
}

fn a_machines_login_that_others_could_read_or_write_is_refused(flavour: Flavour) -> Result<()> {
    let host = Host::new(playground(flavour)?, None)?;
    let key = host.playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let user = host.user("ci")?;
    user.sealcard(&["setup"])?.success()?;
    user.sign(&key)?.success()?;
    for (file, mode) in [("grant", 0o644), ("grant", 0o660), ("config.toml", 0o660)] {
        let path = host.folder.join(file);
        ensure!(fs::metadata(&path)?.mode() & 0o777 == 0o640, "{file}");
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        let status = user.sealcard(&["status"])?.failure()?;
        let says = if file == "grant" { "is open to others" } else { "other users can change" };
        ensure!(status.stderr.contains(says), "{file} {mode:o}: {}", status.description());
        user.end_agent()?;
        user.sign(&key)?.failure()?;
        fs::set_permissions(&path, Permissions::from_mode(0o640))?;
    }
    user.end_agent()?;
    user.sign(&key)?.success()?;
    // A person's password is no way to log a machine in.
    let refused = host.log_in(&["--group", "daemon"])?.failure()?;
    ensure!(refused.stderr.contains("--token-file"), "{}", refused.description());
    Ok(())
}

/// Only root can be somebody else: elsewhere than in a container this needs root, as the chroots do.
#[test]
fn members_of_the_group_sign_and_nobody_else_does() -> Result<()> {
    ensure!(geteuid().is_root(), "this test needs root");
    let host = Host::new(playground(Flavour::Machine)?, Some("daemon"))?;
    let key = host.playground.key(Algorithm::Ed25519)?.fingerprint.clone();
    let group = Group::from_name("daemon")?.context("no group daemon")?.gid.as_raw();
    ensure!(fs::metadata(host.folder.join("grant"))?.gid() == group);
    ensure!(fs::metadata(&host.folder)?.mode() & 0o777 == 0o750);
    // The way to the folders of the test is open to everybody for as long as it runs; what lies there is not.
    fs::set_permissions(host.playground.scratch.path(), Permissions::from_mode(0o711))?;
    let member = host.user("member")?.become_user(64_711, Some(group))?;
    member.sealcard(&["setup"])?.success()?;
    member.sign(&key)?.success()?;
    // They can read the login and not put another in its place.
    let login = ["login", host.playground.server.url(), "--machine", "--token-file", "/dev/null"];
    let login = member.sealcard(&login)?.failure()?;
    ensure!(login.stderr.contains("run this as root"), "{}", login.description());
    let logout = member.sealcard(&["logout", "--machine"])?.failure()?;
    ensure!(logout.stderr.contains("run this as root"), "{}", logout.description());
    member.sign(&key)?.success()?;

    let stranger = host.user("stranger")?.become_user(64_712, None)?;
    stranger.sealcard(&["setup"])?.success()?;
    stranger.sign(&key)?.failure()?;
    let status: Value = serde_json::from_slice(&stranger.sealcard(&["status", "--json"])?.stdout)?;
    ensure!(status["state"] == "not-logged-in", "{status}");
    Ok(())
}

/// A CI host: a playground with a service account and a machine's login.
struct Host {
    playground: Playground,
    folder: PathBuf,
}

impl Host {
    fn new(playground: Playground, group: Option<&str>) -> Result<Self> {
        let admin = &playground.admin;
        admin.admin(&["service-account", "add", "builder"])?;
        admin.admin(&["project", "add-member", PROJECT, "--service-account", "builder", "--role", "key-user"])?;
        let token = admin.admin(&["service-account", "token", "add", "builder", "--days", "400"])?.text();
        let folder = playground.scratch.path().join("machine");
        let host = Self { playground, folder };
        let token = host.playground.workstation.write("token", token.trim())?;
        let mut arguments = vec!["--token-file", &token];
        arguments.extend(group.iter().flat_map(|group| ["--group", group]));
        host.log_in(&arguments)?.success()?;
        Ok(host)
    }

    fn log_in(&self, more: &[&str]) -> Result<Finished> {
        let station = &self.playground.workstation;
        let ca = station.write("machine-ca.pem", fs::read(self.playground.server.ca())?)?;
        let login = ["login", self.playground.server.url(), "--machine", "--ca-file", &ca];
        run(station.sealcard(&[&login, more].concat()).env(VARIABLE, &self.folder), DEADLINE)
    }

    /// A user of the host without a login.
    fn user(&self, name: &str) -> Result<User<'_>> {
        let station = &self.playground.workstation;
        let home = self.playground.scratch.folder(&format!("ws/{name}"))?;
        let gnupg = self.playground.scratch.folder(&format!("ws/{name}/gnupg"))?;
        fs::copy(station.gnupg_home().join("gpg-agent.conf"), gnupg.join("gpg-agent.conf"))?;
        Ok(User {
            station,
            machine: self.folder.clone(),
            home,
            programs: self.playground.binaries.folder().to_owned(),
            prefix: Vec::new(),
        })
    }
}

const VARIABLE: &str = "SEALCARD_MACHINE_FOLDER";

/// Someone on the host, with a home folder and an agent that ends with this value.
struct User<'a> {
    station: &'a Workstation,
    machine: PathBuf,
    home: PathBuf,
    /// Where `sealcard` lies.
    programs: PathBuf,
    prefix: Vec<String>,
}

impl User<'_> {
    /// Everything from now on is done by this user, in this group besides the own one.
    fn become_user(mut self, uid: u32, group: Option<u32>) -> Result<Self> {
        let groups = group.map_or_else(|| "--clear-groups".to_owned(), |group| format!("--groups={group}"));
        self.prefix = vec![format!("--reuid={uid}"), format!("--regid={uid}"), groups, "--".to_owned()];
        fs::set_permissions(self.station.home(), Permissions::from_mode(0o711))?;
        let programs = self.home.with_extension("bin");
        fs::create_dir(&programs)?;
        for name in ["sealcard", "sealcard-scdaemon"] {
            fs::copy(self.programs.join(name), programs.join(name))?;
        }
        self.programs = programs;
        for path in [self.home.clone(), self.home.join("gnupg"), self.home.join("gnupg/gpg-agent.conf")] {
            chown(&path, Some(uid), Some(uid)).with_context(|| path.display().to_string())?;
        }
        Ok(self)
    }

    fn sealcard(&self, arguments: &[&str]) -> Result<Finished> {
        if self.prefix.is_empty() {
            return self.finish(self.station.sealcard(arguments));
        }
        self.run(self.programs.join("sealcard").into(), arguments)
    }

    fn status(&self) -> Result<Value> {
        let status = self.sealcard(&["status", "--json"])?.success()?;
        serde_json::from_slice(&status.stdout).with_context(|| status.description())
    }

    fn log_in(&self, playground: &Playground) -> Result<()> {
        let password = self.station.write("password-of-ada", &playground.facts.user_password)?;
        let ca = self.station.write("ca-of-ada.pem", fs::read(playground.server.ca())?)?;
        let login = ["login", playground.server.url(), "--user", sealcard_tests::USER];
        let more = ["--password-file", &password, "--ca-file", &ca];
        self.sealcard(&[login.as_slice(), more.as_slice()].concat())?.success()?;
        Ok(())
    }

    fn sign(&self, key: &str) -> Result<Finished> {
        let file = self.home.join("to-sign");
        fs::write(&file, "something\n")?;
        fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        let (file, output) = (file.to_string_lossy(), format!("{}.sig", file.display()));
        self.run("gpg".into(), &["--batch", "--yes", "-q", "-u", key, "-o", &output, "--detach-sign", &file])
    }

    fn end_agent(&self) -> Result<()> {
        self.run("gpgconf".into(), &["--kill", "all"])?.success()?;
        // GnuPG 2.2 ends in its own time; whoever comes then gets a new one or is told that this one ends.
        sealcard_tests::wait_until("the end of the agent", Duration::from_secs(10), || {
            let answer = self.run("gpg-connect-agent".into(), &["--no-autostart", "GETINFO pid", "/bye"])?;
            Ok((!answer.text().contains("D ")).then_some(()))
        })
    }

    fn run(&self, program: OsString, arguments: &[&str]) -> Result<Finished> {
        if self.prefix.is_empty() {
            return self.finish(self.station.command(program, arguments));
        }
        let mut words: Vec<&str> = self.prefix.iter().map(String::as_str).collect();
        words.push(program.to_str().context("a path that is not UTF-8")?);
        self.finish(self.station.command("setpriv", &[&words, arguments].concat()))
    }

    fn finish(&self, mut command: Command) -> Result<Finished> {
        command.env("HOME", &self.home).env("GNUPGHOME", self.home.join("gnupg")).env(VARIABLE, &self.machine);
        command.env("XDG_CONFIG_HOME", self.home.join("config")).env("XDG_STATE_HOME", self.home.join("state"));
        run(command.current_dir("/"), DEADLINE)
    }
}

impl Drop for User<'_> {
    fn drop(&mut self) {
        self.run("gpgconf".into(), &["--kill", "all"]).ok();
    }
}
