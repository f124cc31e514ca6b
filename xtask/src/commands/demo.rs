//! `cargo xtask demo`: the whole way once, with the very commands.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use sealcard_tests::{Binaries, Daemon, Scratch, run, wait_until};
use xtask::{cargo, interrupts, output, packages};

/// Show the whole way once, step by step
///
/// Shows the whole way once: makes a server in a temporary folder, a user, a project and a signing key; logs the user
/// in; signs a git tag with an unmodified gpg and verifies it. Every command is shown as you would type it. Removes
/// everything afterwards.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The signing key's algorithm: rsa2048, rsa3072, rsa4096, nistp256, nistp384, nistp521 or ed25519
    #[arg(long, default_value = "ed25519")]
    algorithm: sealcard_tests::Algorithm,
    /// Uses optimized programs
    #[arg(long)]
    release: bool,
}

const DEADLINE: Duration = Duration::from_secs(120);

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode> {
        packages::ensure(packages::DEMO)?;
        output::step("building (the first time takes some minutes)");
        let binaries = cargo::build(self.release)?;
        let (sender, interrupts) = mpsc::channel();
        interrupts::hold(sender, |signal| signal)?;
        let stage = Stage::new(binaries, interrupts)?;
        let result = self.play(&stage);
        // Whatever happened: the agent belongs to this GnuPG home and to nothing else.
        stage.quiet(Person::Ada, &["gpgconf", "--kill", "all"]).ok();
        result?;
        output::headline("That was all. The private key never left the signer; everything has been removed.");
        output::result("Try it yourself: cargo xtask playground    Read on: docs/quick-start.md");
        Ok(ExitCode::SUCCESS)
    }

    fn play(&self, stage: &Stage) -> Result<()> {
        output::headline("1. The server");
        output::result(
            "An administrator makes the server's data folder: database, master key, TLS certificate, first\n\
             administrator, first project. The passwords are in files here; without them the commands ask.",
        );
        stage.scratch.file("admin.password", "demo-admin-password")?;
        stage.scratch.file("ada.password", "demo-ada-password")?;
        stage.show(
            Person::Admin,
            "sealcard-server init --trial --data server --project release --admin-password-file admin.password",
        )?;
        let (server, url) = stage.serve()?;

        output::headline("2. A user and a signing key");
        output::result("`sealcard admin` works over the server's API, from any machine.");
        let trust = format!("login {url} --ca-file server/tls/ca.pem");
        stage
            .show(Person::Admin, &format!("sealcard {trust} --user admin --password-file admin.password --no-sync"))?;
        stage.show(
            Person::Admin,
            "sealcard admin user add ada --project release --role key-user --password-file ada.password",
        )?;
        let user_id = "'Tags <tags@example.org>'";
        stage.show(
            Person::Admin,
            &format!("sealcard admin key create release/tags --algorithm {} --user-id {user_id}", self.algorithm),
        )?;

        output::headline("3. Ada's workstation");
        output::result(
            "It logs in, names sealcard-scdaemon in gpg-agent.conf, imports the public keys and lets GnuPG know the\n\
             cards. From here on gpg works as with a smart card in a reader.",
        );
        stage.show(Person::Ada, &format!("sealcard {trust} --user ada --password-file ada.password --setup"))?;
        stage.show(Person::Ada, "gpg --card-status")?;
        output::result(
            "\nThis makes git sign with Ada's key, and gpg trust it, so that it calls the signatures good without a\n\
             warning. In a terminal, login offers it with one question.",
        );
        stage.show(Person::Ada, "sealcard setup --git --trust")?;

        output::headline("4. A signed git tag");
        output::result("Neither git nor gpg knows of Sealcard.");
        for command in [
            "git init --quiet project",
            "git -C project config user.name Ada",
            "git -C project config user.email ada@example.org",
            "git -C project commit --quiet --allow-empty --message 'First release'",
            "git -C project tag -s v1.0 -m 'Version 1.0'",
            "git -C project tag -v v1.0",
        ] {
            stage.show(Person::Ada, command)?;
        }

        output::headline("5. The record");
        output::result("Each use of the key is recorded before the key is used, and again with its outcome.");
        stage.show(Person::Admin, "sealcard admin record list --limit 4")?;
        stage.show(Person::Admin, "sealcard admin record verify")?;
        drop(server);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Person {
    Admin,
    Ada,
}

impl Person {
    const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Ada => "ada",
        }
    }
}

/// The temporary folder, and the environment of each person in it.
struct Stage {
    scratch: Scratch,
    binaries: Binaries,
    interrupts: Receiver<i32>,
}

impl Stage {
    fn new(binaries: Binaries, interrupts: Receiver<i32>) -> Result<Self> {
        let scratch = Scratch::new()?;
        for person in [Person::Admin, Person::Ada] {
            scratch.folder(person.name())?;
            scratch.folder(&format!("{}/gnupg", person.name()))?;
        }
        Ok(Self { scratch, binaries, interrupts })
    }

    /// Shows a command, runs it and shows its output.
    fn show(&self, person: Person, line: &str) -> Result<()> {
        if let Ok(signal) = self.interrupts.try_recv() {
            bail!("stopped by signal {signal}");
        }
        output::command(person.name(), line);
        let finished = run(self.shell(person, line)?.env("TERM", "dumb"), DEADLINE)?;
        let text = format!("{}{}", finished.text(), finished.stderr);
        text.lines().for_each(|line| output::result(&format!("  {line}")));
        if finished.status.success() { Ok(()) } else { bail!("this failed: {line}") }
    }

    fn quiet(&self, person: Person, words: &[&str]) -> Result<()> {
        run(&mut self.shell(person, &words.join(" "))?, DEADLINE)?.success()?;
        Ok(())
    }

    /// Starts the server in the background, as systemd would.
    fn serve(&self) -> Result<(Daemon, String)> {
        let line = "sealcard-server serve --data server --listen 127.0.0.1:0 --address-file address";
        output::command(Person::Admin.name(), &format!("{line} &"));
        let log = self.scratch.path().join("server.log");
        let mut daemon = Daemon::spawn(&self.shell(Person::Admin, &format!("exec {line}"))?, &log)?;
        let address = self.scratch.path().join("address");
        let url = wait_until("the server", DEADLINE, || match std::fs::read_to_string(&address) {
            Ok(url) => Ok(Some(url.trim().to_owned())),
            Err(_) => match daemon.ended()? {
                Some(status) => bail!("sealcard-server ended ({status}):\n{}", daemon.log()),
                None => Ok(None),
            },
        })?;
        output::result(&format!("  listening at {url}"));
        Ok((daemon, url))
    }

    fn shell(&self, person: Person, line: &str) -> Result<Command> {
        let home = self.scratch.path().join(person.name());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.scratch.path()).env_clear();
        command.env("PATH", path(self.binaries.folder())?).env("LANG", "C.UTF-8").env("HOME", &home);
        for (name, folder) in [
            ("GNUPGHOME", "gnupg"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(name, home.join(folder));
        }
        Ok(command)
    }
}

fn path(binaries: &Path) -> Result<OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::iter::once(binaries.to_owned()).chain(std::env::split_paths(&old)).collect();
    Ok(std::env::join_paths(folders)?)
}
