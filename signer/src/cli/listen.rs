//! `sealcard-signer listen`: a signer that the server connects to, as a user of its own.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::Context as _;
use clap::Args;

use super::Folder;
use crate::{
    log::{self, Level},
    os,
};

/// What a keeper gets of this process's environment: systemd's credentials and, in builds for tests, their failpoints.
const INHERITED_VARIABLES: &[&str] =
    if cfg!(feature = "failpoints") { &["CREDENTIALS_DIRECTORY", "FAILPOINTS"] } else { &["CREDENTIALS_DIRECTORY"] };

/// Serve a server that connects to a socket (systemd runs this)
///
/// Uses the socket that systemd listens on (`sealcard-signer@.socket`), or makes one, and starts a keeper (`serve`) for
/// each connection, one after the other. A connection ends when the server closes it. The signer runs as its own user,
/// whose files the server can't read.
#[derive(Debug, Args)]
pub(super) struct Listen {
    #[command(flatten)]
    folder: Folder,
    /// Listens on a socket at this path, where no service manager does it, as in a container. The signer's group may
    /// connect: let the server be a member, and nobody else
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl Listen {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let listener = match &self.socket {
            Some(path) => os::listen(path).with_context(|| format!("can't listen at {}", path.display()))?,
            None => os::inherited_listener().context("can't use the socket that systemd passed")?,
        };
        log::event(Level::Info, "listening", &[("folder", &self.folder.folder.display())]);
        loop {
            match listener.accept() {
                Ok((server, _)) => match self.keep(server) {
                    Ok(status) => log::event(Level::Info, "server-gone", &[("keeper", &status)]),
                    Err(error) => log::event(Level::Error, "keeper-not-started", &[("error", &error)]),
                },
                // Whoever connected has gone meanwhile.
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                }
                Err(error) => return Err(error).context("can't accept a connection"),
            }
        }
    }

    /// Runs a keeper to its end.
    fn keep(&self, server: UnixStream) -> io::Result<ExitStatus> {
        Command::new("/proc/self/exe")
            .args(["serve", "--socket-fd", "0", "--folder"])
            .arg(&self.folder.folder)
            .env_clear()
            .envs(INHERITED_VARIABLES.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))))
            .stdin(Stdio::from(OwnedFd::from(server)))
            .stdout(Stdio::null())
            .status()
    }
}
