//! ssh's keys in gpg-agent.

use std::{process::Command, time::Duration};

use anyhow::Result;
use sealcard_tests::{Playground, run};

/// gpg-agent in its role as ssh's agent.
pub(crate) struct Agent<'a> {
    playground: &'a Playground,
    socket: String,
}

impl<'a> Agent<'a> {
    pub(crate) fn new(playground: &'a Playground) -> Result<Self> {
        let station = &playground.workstation;
        station.run("gpg-connect-agent", &["/bye"])?;
        let socket = station.run("gpgconf", &["--list-dirs", "agent-ssh-socket"])?.text().trim().to_owned();
        Ok(Self { playground, socket })
    }

    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.playground.workstation.command(program, arguments);
        command.env("SSH_AUTH_SOCK", &self.socket);
        command
    }

    /// The keys it offers, as lines of authorized_keys.
    pub(crate) fn public_keys(&self) -> Result<Vec<String>> {
        let list = run(&mut self.command("ssh-add", &["-L"]), Duration::from_secs(60))?.success()?.text();
        Ok(list.lines().map(str::to_owned).collect())
    }
}
