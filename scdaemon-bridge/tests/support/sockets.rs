//! gpg-agent's sockets as systemd keeps them for a user: whoever connects while no agent runs starts one.

use std::{
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::unix::AsyncFd, process::Command, task::JoinHandle};

/// The names that `gpg-agent --supervised` knows, with gpgconf's names of their paths.
const SOCKETS: [(&str, &str); 3] =
    [("std", "agent-socket"), ("extra", "agent-extra-socket"), ("ssh", "agent-ssh-socket")];

/// Ends with the agent that it started, when dropped.
pub struct Sockets {
    task: JoinHandle<()>,
}

impl Sockets {
    /// Takes the places of gpg-agent's sockets for this GnuPG home, which must exist.
    pub async fn of(gnupg_home: &Path) -> Self {
        let mut listeners = Vec::new();
        for (_, name) in SOCKETS {
            let listener = UnixListener::bind(path(gnupg_home, name).await).unwrap();
            listener.set_nonblocking(true).unwrap();
            listeners.push(listener);
        }
        let home = gnupg_home.to_owned();
        let task = tokio::spawn(async move {
            loop {
                someone_connects(&listeners).await;
                agent(&home, &listeners).await;
            }
        });
        Self { task }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn path(gnupg_home: &Path, name: &str) -> PathBuf {
    let gpgconf = |arguments: &[&str]| {
        let mut command = Command::new("gpgconf");
        command.args(arguments).env("GNUPGHOME", gnupg_home).stderr(Stdio::null());
        command
    };
    gpgconf(&["--create-socketdir"]).status().await.unwrap();
    let output = gpgconf(&["--list-dirs", name]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().replace("%3a", ":").replace("%25", "%").into()
}

/// Nothing is accepted: that is the agent's to do.
// Deprecated since a careless type could close its descriptor behind it; a listener does not.
#[allow(deprecated)]
async fn someone_connects(listeners: &[UnixListener]) {
    let listeners: Vec<_> =
        listeners.iter().map(|listener| AsyncFd::new(listener.try_clone().unwrap()).unwrap()).collect();
    let [std, extra, ssh] = listeners.as_slice() else { panic!("not three sockets") };
    tokio::select! {
        _ = std.readable() => {}
        _ = extra.readable() => {}
        _ = ssh.readable() => {}
    }
}

/// An agent, until it ends. sd_listen_fds(3) wants the sockets from descriptor 3 on, and the process's own id.
async fn agent(gnupg_home: &Path, listeners: &[UnixListener]) {
    let script = "exec 3<&0 4<&1 5<&2 </dev/null >/dev/null 2>/dev/null\n\
                  LISTEN_PID=$$ exec gpg-agent --supervised";
    let socket = |index: usize| Stdio::from(OwnedFd::from(listeners[index].try_clone().unwrap()));
    let mut child = Command::new("sh")
        .args(["-c", script])
        .env("GNUPGHOME", gnupg_home)
        .env("LISTEN_FDS", SOCKETS.len().to_string())
        .env("LISTEN_FDNAMES", SOCKETS.map(|(name, _)| name).join(":"))
        .stdin(socket(0))
        .stdout(socket(1))
        .stderr(socket(2))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child.wait().await.unwrap();
}

/// A GnuPG home that gpg accepts.
pub fn make_home(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}
