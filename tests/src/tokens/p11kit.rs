//! A token behind a daemon, as many network HSMs have one: `p11-kit server` with the real module, and p11-kit's client
//! module that talks to it through a socket.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{Token, installed, text};
use crate::{Daemon, wait_until};

const CLIENTS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11/p11-kit-client.so",
    "/usr/lib64/pkcs11/p11-kit-client.so",
];

/// The daemon; it ends with this value.
#[derive(Debug)]
pub struct P11Kit {
    token: Token,
    socket: PathBuf,
    log: PathBuf,
    daemon: Daemon,
}

impl P11Kit {
    /// Puts a token behind a daemon whose files are in `folder`, and gives it as it looks through the client module.
    ///
    /// # Errors
    /// p11-kit is not installed, or does not start.
    pub fn serve(token: &Token, folder: &Path) -> Result<(Self, Token)> {
        fs::create_dir_all(folder)?;
        let socket = folder.join("socket");
        let log = folder.join("log");
        let remote = Token {
            module: installed("p11-kit's client module", CLIENTS)?,
            variables: vec![("P11_KIT_SERVER_ADDRESS".to_owned(), format!("unix:path={}", text(&socket)))],
            read: Vec::new(),
            write: Vec::new(),
            sockets: vec![socket.clone()],
            ..token.clone()
        };
        let daemon = start(token, &socket, &log)?;
        Ok((Self { token: token.clone(), socket, log, daemon }, remote))
    }

    /// Kills the daemon, and the process that it has made for each client.
    ///
    /// # Errors
    /// It was dead already.
    pub fn kill(&mut self) -> Result<()> {
        // It is the leader of a group of its own, in which its clients' processes are too.
        killpg(Pid::from_raw(i32::try_from(self.daemon.pid())?), Signal::SIGKILL)?;
        self.daemon.wait(Duration::from_secs(10))?;
        Ok(())
    }

    /// Starts it again after [`Self::kill`].
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.daemon = start(&self.token, &self.socket, &self.log)?;
        Ok(())
    }
}

impl Drop for P11Kit {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

fn start(token: &Token, socket: &Path, log: &Path) -> Result<Daemon> {
    // Left by a predecessor that was killed.
    fs::remove_file(socket).ok();
    let mut command = token.command("p11-kit");
    command.args(["server", "--foreground", "--name"]).arg(socket).arg("--provider").arg(&token.module);
    command.arg(format!("pkcs11:token={}", token.label));
    let daemon = Daemon::spawn(&command, log)?;
    wait_until("p11-kit's socket", Duration::from_secs(10), || Ok(UnixStream::connect(socket).ok()))?;
    Ok(daemon)
}
