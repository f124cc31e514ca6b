//! What a process of Sealcard may still do once it has all that it needs.
//!
//! Two layers. Landlock takes away the file system, TCP, signals to others and abstract sockets, but for what is
//! declared. Seccomp takes away system calls: a process that [only computes](Rules::computing) is left with those that
//! a program needs that answers on open sockets; [any other](Rules::with) loses those that it has no use for: starting
//! programs, looking into other processes, changing the machine. Everything else fails with EPERM or EACCES. Both
//! hold for every thread that is started afterwards, and can't be undone.

mod calls;
mod files;

use std::{fmt, io, path::PathBuf};

/// What a process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    calls: Calls,
    needs: Needs,
    require: bool,
}

/// Which system calls are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    /// Only those that computing and answering need.
    Computing,
    /// All but those that no process of ours needs.
    Usual,
}

/// What a process needs beside memory, threads, time and the system's libraries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files and folders that it reads.
    pub read: Vec<PathBuf>,
    /// Folders that it writes to.
    pub write: Vec<PathBuf>,
    /// Unix sockets, or folders of them, that it connects to. Without any it can make no Unix socket at all.
    pub unix_sockets: Vec<PathBuf>,
    /// Its network.
    pub network: Network,
}

/// Which network a process has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// It can make no network socket.
    #[default]
    None,
    /// It connects to these TCP ports, and resolves names.
    Connect(Vec<u16>),
    /// It connects and listens as it likes.
    Any,
}

impl Rules {
    /// A process that computes and answers on open sockets: no files, no network.
    #[must_use]
    pub fn computing() -> Self {
        Self { calls: Calls::Computing, ..Self::with(Needs::default()) }
    }

    /// A process that has what it needs, and reads the system's libraries.
    #[must_use]
    pub const fn with(needs: Needs) -> Self {
        Self { calls: Calls::Usual, needs, require: true }
    }

    /// Whether the process refuses to go on where the rules for files can't be enforced; it does unless told otherwise.
    #[must_use]
    pub fn require(self, require: bool) -> Self {
        Self { require, ..self }
    }

    /// Whether it can name files at all.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.calls == Calls::Usual
    }

    /// Whether network sockets can be made.
    #[must_use]
    pub fn has_network(&self) -> bool {
        self.needs.network != Network::None
    }

    /// Whether Unix sockets can be made.
    #[must_use]
    pub const fn has_unix_sockets(&self) -> bool {
        !self.needs.unix_sockets.is_empty()
    }
}

/// Why the process is not in its sandbox. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Landlock refused.
    #[error("the rules for files can't be enforced")]
    Files(#[source] landlock::RulesetError),
    /// The system has no Landlock, or it is switched off.
    #[error(
        "this system can't enforce rules for files (no Landlock), and the process would have all of them; use a kernel \
         with Landlock (5.13), or, for a token's module, set require = false under [sandbox] to accept that"
    )]
    NoLandlock,
    /// Seccomp refused.
    #[error("the rules for system calls can't be enforced")]
    Calls(#[from] calls::CallsError),
    /// The process could not give up what it must.
    #[error("privileges can't be given up")]
    Privileges(#[source] io::Error),
}

/// What was enforced.
#[derive(Debug)]
pub struct Enforced {
    /// The Landlock version that is in force; 0 if there is none.
    pub landlock: i32,
    /// What this system can't enforce, in words.
    pub missing: Vec<&'static str>,
    /// Declared paths that can't be opened, so that they are not allowed, and why.
    pub absent: Vec<(PathBuf, io::Error)>,
}

impl fmt::Display for Enforced {
    /// What is missing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missing.is_empty() { f.write_str("nothing") } else { f.write_str(&self.missing.join(", ")) }
    }
}

/// Puts this thread, and those that it starts from now on, into the sandbox. Call it before any other thread runs and
/// after everything is open that is not declared.
///
/// # Errors
/// If a rule that must be enforced can't be.
pub fn enter(rules: &Rules) -> Result<Enforced, SandboxError> {
    nix::sys::prctl::set_no_new_privs().map_err(|e| SandboxError::Privileges(e.into()))?;
    let enforced = files::restrict(rules)?;
    // A process that computes can't even name a file: the calls that do are gone.
    if enforced.landlock == 0 && rules.require && rules.has_files() {
        return Err(SandboxError::NoLandlock);
    }
    calls::restrict(rules)?;
    Ok(enforced)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        fs::{self, File},
        io::{self, ErrorKind},
        net::{Ipv4Addr, TcpListener, TcpStream},
        os::unix::net::UnixDatagram,
        process::Command,
        thread,
    };

    use super::*;

    /// What a thread gives that has entered the sandbox; the test's own thread stays outside.
    fn inside<T: Send + 'static>(rules: Rules, work: impl FnOnce() -> T + Send + 'static) -> T {
        let entered = thread::spawn(move || enter(&rules).map(|_| work()).unwrap());
        entered.join().unwrap()
    }

    /// Asks the system for chance, as a cryptographic library does. Gives how many bytes came.
    fn getrandom() -> usize {
        let mut bytes = [0_u8; 32];
        #[allow(unsafe_code)]
        // SAFETY: the buffer lives and is as long as is said.
        let read = unsafe { nix::libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        usize::try_from(read).unwrap()
    }

    fn refused<T>(result: io::Result<T>) -> bool {
        result.err().is_some_and(|error| error.kind() == ErrorKind::PermissionDenied)
    }

    #[test]
    fn a_module_has_what_is_declared_and_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for folder in ["read", "write", "other"] {
            fs::create_dir(path(folder)).unwrap();
            fs::write(path(folder).join("file"), "text").unwrap();
        }
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (declared, other) = (listen(), listen());
        let (port, other_port) = (declared.local_addr().unwrap().port(), other.local_addr().unwrap().port());
        let needs = Needs {
            read: vec![path("read"), path("other/file")],
            write: vec![path("write")],
            unix_sockets: vec![],
            network: Network::Connect(vec![port]),
        };
        let root = place.path().to_owned();
        inside(Rules::with(needs), move || {
            let path = |name: &str| root.join(name);
            assert_eq!(fs::read_to_string(path("read/file")).unwrap(), "text");
            assert_eq!(fs::read_to_string(path("other/file")).unwrap(), "text");
            assert!(refused(fs::write(path("read/file"), "")) && refused(File::create(path("read/new"))));
            assert!(refused(fs::read_dir(path("other"))) && refused(fs::read_dir(&root)));
            fs::write(path("write/new"), "text").unwrap();
            fs::rename(path("write/new"), path("write/newer")).unwrap();
            fs::remove_file(path("write/newer")).unwrap();
            assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
            assert!(refused(TcpStream::connect((Ipv4Addr::LOCALHOST, other_port))));
            assert!(refused(UnixDatagram::unbound()));
            assert!(refused(Command::new("/bin/true").spawn()));
            // The sandbox reaches threads that are started in it, which is possible.
            assert!(thread::spawn(move || refused(File::open("/etc/passwd"))).join().unwrap());
        });
        assert!(File::open("/etc/passwd").is_ok(), "the test itself is outside");
    }

    #[test]
    fn declared_unix_socket_allows_unix_sockets_only() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("daemon.sock");
        let daemon = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let needs = Needs { unix_sockets: vec![path.clone()], ..Needs::default() };
        inside(Rules::with(needs), move || {
            assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
            assert!(refused(TcpStream::connect((Ipv4Addr::LOCALHOST, 1))));
        });
        drop(daemon);
    }

    #[test]
    fn a_sealed_store_has_memory_threads_time_and_chance() {
        inside(Rules::computing(), || {
            let many: Vec<_> = (0..8_u8)
                .map(|n| {
                    thread::spawn(move || {
                        let filled = vec![n; 8 * 1024 * 1024];
                        let random = getrandom();
                        thread::sleep(std::time::Duration::from_millis(1));
                        filled.len() + random
                    })
                })
                .collect();
            assert!(many.into_iter().all(|thread| thread.join().unwrap() > 8 * 1024 * 1024));
            assert!(std::time::SystemTime::now().elapsed().is_ok());
            assert!(refused(UnixDatagram::unbound()) && refused(File::open("/dev/null")));
        });
    }

    #[test]
    fn a_server_listens_and_connects_and_starts_no_program() {
        let place = tempfile::tempdir().unwrap();
        let (data, other) = (place.path().join("data"), place.path().join("other"));
        fs::create_dir(&data).unwrap();
        fs::write(&other, "text").unwrap();
        let needs = Needs { write: vec![data.clone()], network: Network::Any, ..Needs::default() };
        inside(Rules::with(needs), move || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok());
            fs::write(data.join("file"), "text").unwrap();
            assert!(refused(fs::read(&other)) && refused(Command::new("/bin/true").spawn()));
            assert!(refused(nix::sys::ptrace::attach(nix::unistd::getppid()).map_err(io::Error::from)));
        });
    }

    #[test]
    fn a_declared_path_that_is_not_there_is_named() {
        let needs = Needs { read: vec!["/nonexistent".into()], ..Needs::default() };
        let entered = thread::spawn(move || enter(&Rules::with(needs)).unwrap());
        let absent: Vec<_> = entered.join().unwrap().absent.into_iter().map(|(path, _)| path).collect();
        assert_eq!(absent, [PathBuf::from("/nonexistent")]);
    }
}
