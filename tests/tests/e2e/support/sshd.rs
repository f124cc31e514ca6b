//! An ssh server of our own.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};
use sealcard_tests::{Daemon, Scratch, run, wait_until};

/// sshd on a free port of loopback, that lets in whoever proves one of the given keys.
pub(crate) struct Sshd {
    pub(crate) port: u16,
    daemon: Daemon,
}

impl Sshd {
    pub(crate) fn start(scratch: &Scratch, authorized_keys: &str) -> Result<Self> {
        let folder = scratch.folder("sshd")?;
        let host_key = folder.join("host_key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&host_key);
        run(&mut keygen, Duration::from_secs(20))?.success()?;
        // sshd wants this folder even if it does nothing with it.
        fs::create_dir_all("/run/sshd")?;
        let keys = scratch.file("sshd/authorized_keys", authorized_keys)?;
        // sshd can't choose a free port itself, so another process may take ours in between: then another one is tried.
        for _ in 0..5 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let config = scratch.file("sshd/config", config(port, &host_key, &keys))?;
            let mut command = Command::new("/usr/sbin/sshd");
            command.args(["-D", "-e", "-f"]).arg(config).env("PATH", "/usr/bin:/bin");
            let mut daemon = Daemon::spawn(&command, &folder.join(format!("log-{port}")))?;
            let up = wait_until("sshd", Duration::from_secs(20), || {
                if daemon.ended()?.is_some() {
                    return Ok(Some(false));
                }
                Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(true))
            })?;
            if up {
                return Ok(Self { port, daemon });
            }
        }
        bail!("sshd does not start")
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }
}

fn config(port: u16, host_key: &Path, keys: &Path) -> String {
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
         PidFile none\nUsePAM no\nStrictModes no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         LogLevel VERBOSE\n",
        host_key.display(),
        keys.display()
    )
}
