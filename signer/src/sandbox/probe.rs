//! Trying from inside what must fail.

use std::{
    fs::{self, File, OpenOptions},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::{
        net::{UnixListener, UnixStream},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        prctl, ptrace,
        resource::{Resource, setrlimit},
        signal::kill,
    },
    unistd::getppid,
};
use serde::Serialize;

use sealcard_sandbox::Rules;

/// The discard port: nobody listens there, and no module needs it.
const PORT: u16 = 9;

/// Something that a worker must not be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attempt {
    /// What was tried, in words.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
    /// The system's answer.
    pub answer: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The sandbox has refused it.
    Refused,
    /// It was done, or would be if the other side were there. It must not be.
    Allowed,
}

/// Tries what must fail in the sandbox that this process is in. What it makes by succeeding stays behind.
#[must_use]
pub fn attempts(rules: &Rules, folder: &Path) -> Vec<Attempt> {
    let scratch = format!("/tmp/.sealcard-sandbox-{}", std::process::id());
    let mut attempts = Vec::new();
    let mut attempt = |what: &str, result: io::Result<()>| attempts.push(Attempt::new(what, result));
    attempt("read /etc/passwd", File::open("/etc/passwd").map(drop));
    // Those that are there: that a file is missing would tell nothing.
    let own = if rules.has_files() { "token.toml" } else { "seal.json" };
    for name in [own, "keeper.key", "journal.jsonl"] {
        let path = folder.join(name);
        attempt(&format!("read {}", path.display()), File::open(&path).map(drop));
    }
    attempt(&format!("list {}", folder.display()), fs::read_dir(folder).map(drop));
    attempt("list /proc", fs::read_dir("/proc").map(drop));
    attempt("write to /tmp", OpenOptions::new().write(true).create(true).truncate(true).open(&scratch).map(drop));
    attempt("make a folder in /tmp", fs::create_dir(format!("{scratch}.d")));
    attempt("make a Unix socket in /tmp", UnixListener::bind(format!("{scratch}.s")).map(drop));
    if !rules.has_unix_sockets() {
        attempt("connect to a Unix socket of the system", UnixStream::connect("/run/dbus/system_bus_socket").map(drop));
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let patience = Duration::from_secs(2);
    attempt("connect to TCP port 9 of this machine", TcpStream::connect_timeout(&address, patience).map(drop));
    attempt("listen on a TCP port", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop));
    if !rules.has_network() {
        attempt("make a UDP socket", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(drop));
    }
    attempt("start a program", Command::new("/bin/true").spawn().map(drop));
    let parent = getppid();
    let of = |result: nix::Result<()>| result.map_err(io::Error::from);
    attempt("trace the parent process", of(ptrace::attach(parent)));
    attempt("signal the parent process", of(kill(parent, None)));
    attempt("read the parent's memory", File::open(format!("/proc/{parent}/mem")).map(drop));
    attempt("allow core images again", of(prctl::set_dumpable(true)));
    attempt("raise the limit for core images", of(setrlimit(Resource::RLIMIT_CORE, 1024, 1024)));
    // Last, because nothing comes after it if it works.
    attempt("become another program", Err(Command::new("/bin/false").exec()));
    attempts
}

impl Attempt {
    fn new(what: &str, result: io::Result<()>) -> Self {
        let (outcome, answer) = match result {
            Ok(()) => (Outcome::Allowed, "done".to_owned()),
            Err(error) => {
                let refused = [Errno::EPERM, Errno::EACCES].map(|errno| errno as i32);
                // "Not found" or "refused by the other side" say that it got that far.
                let outcome = match error.raw_os_error() {
                    Some(number) if refused.contains(&number) => Outcome::Refused,
                    _ => Outcome::Allowed,
                };
                (outcome, error.to_string())
            }
        };
        Self { what: what.to_owned(), outcome, answer }
    }
}
