//! What a worker may still do once it has all that it needs.
//!
//! Two layers. Landlock takes away the file system, TCP, signals to others and abstract sockets, but for what is
//! declared. Seccomp takes away system calls: a sealed store's worker is left with those that a program needs that
//! computes and answers on open sockets; a worker with a vendor's module, whose needs nobody knows, loses those that no
//! module needs. What is taken away fails with EPERM or EACCES. Both hold for every thread that is started afterwards,
//! and can't be undone.

mod files;
mod probe;
mod syscalls;

pub use probe::{Attempt, Outcome, attempts};

use std::{fmt, io, path::PathBuf};

use crate::{
    log::{self, Level},
    pkcs11::config::TokenConfig,
};

/// What a worker may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    calls: Calls,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    unix_sockets: Vec<PathBuf>,
    ports: Vec<u16>,
    require: bool,
}

/// Which system calls are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    /// Only those that the worker's own code needs.
    Own,
    /// All but those that no module needs.
    Module,
}

/// What a vendor's module needs, as an administrator declares it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Files and folders that it reads, its own file among them.
    pub read: Vec<PathBuf>,
    /// Folders that it writes to.
    pub write: Vec<PathBuf>,
    /// Unix sockets that it connects to. Without any it can make no Unix socket at all.
    pub unix_sockets: Vec<PathBuf>,
    /// TCP ports that it connects to. Without any it can make no network socket at all.
    pub ports: Vec<u16>,
}

impl Rules {
    /// A sealed store's worker: no files, no network.
    #[must_use]
    pub fn sealed_store() -> Self {
        Self { calls: Calls::Own, ..Self::module(Needs::default()) }
    }

    /// A worker with a module: what is declared, and the system's libraries.
    #[must_use]
    pub fn module(needs: Needs) -> Self {
        let Needs { read, write, unix_sockets, ports } = needs;
        Self { calls: Calls::Module, read, write, unix_sockets, ports, require: true }
    }

    /// A worker with the module that a `token.toml` describes.
    #[must_use]
    pub fn of_token(config: &TokenConfig) -> Self {
        let declared = &config.sandbox;
        let mut read = declared.read.clone();
        read.push(config.module.clone());
        let ports = declared.hosts.iter().map(|host| host.port).collect();
        let needs = Needs { read, write: declared.write.clone(), unix_sockets: declared.unix_sockets.clone(), ports };
        Self::module(needs).require(declared.require)
    }

    /// Whether the worker refuses to run where the rules for files can't be enforced; it does unless told otherwise.
    #[must_use]
    pub fn require(self, require: bool) -> Self {
        Self { require, ..self }
    }

    /// Whether it is a module's.
    #[must_use]
    pub fn is_module(&self) -> bool {
        self.calls == Calls::Module
    }

    /// Whether network sockets can be made.
    #[must_use]
    pub const fn has_network(&self) -> bool {
        !self.ports.is_empty()
    }

    /// Whether Unix sockets can be made.
    #[must_use]
    pub const fn has_unix_sockets(&self) -> bool {
        !self.unix_sockets.is_empty()
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
        "this system can't enforce rules for files (no Landlock), and the module would have all of them; \
         use a kernel with Landlock (5.13), or set require = false under [sandbox] to accept that"
    )]
    NoLandlock,
    /// Seccomp refused.
    #[error("the rules for system calls can't be enforced")]
    Calls(#[from] syscalls::CallsError),
    /// The process could not give up what it must.
    #[error("privileges can't be given up")]
    Privileges(#[source] io::Error),
}

/// What was enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforced {
    /// The Landlock version that is in force; 0 if there is none.
    pub landlock: i32,
    /// What this system can't enforce, in words.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missing.is_empty() { f.write_str("nothing") } else { f.write_str(&self.missing.join(", ")) }
    }
}

/// Puts this thread, and those that it starts from now on, into the sandbox. Call it before any other thread runs and
/// after everything is open that is not declared.
///
/// # Errors
/// If a rule that must be enforced can't be. Then no key may be used.
pub fn enter(rules: &Rules) -> Result<Enforced, SandboxError> {
    warm_up();
    nix::sys::prctl::set_no_new_privs().map_err(|e| SandboxError::Privileges(e.into()))?;
    let enforced = files::restrict(rules)?;
    // A worker of its own code can't even name a file: the calls that do are gone.
    if enforced.landlock == 0 && rules.require && rules.is_module() {
        return Err(SandboxError::NoLandlock);
    }
    syscalls::restrict(rules)?;
    if enforced.missing.is_empty() {
        log::event(Level::Info, "sandboxed", &[("landlock", &enforced.landlock)]);
    } else {
        log::event(Level::Warn, "sandboxed", &[("landlock", &enforced.landlock), ("not-enforced", &enforced)]);
    }
    Ok(enforced)
}

/// Lets libraries open what they open once.
fn warm_up() {
    let _ = crate::crypto::random::<32>();
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
            ports: vec![port],
        };
        let root = place.path().to_owned();
        inside(Rules::module(needs), move || {
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
    fn a_declared_unix_socket_makes_unix_sockets_possible_and_no_others() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("daemon.sock");
        let daemon = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let needs = Needs { unix_sockets: vec![path.clone()], ..Needs::default() };
        inside(Rules::module(needs), move || {
            assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
            assert!(refused(TcpStream::connect((Ipv4Addr::LOCALHOST, 1))));
        });
        drop(daemon);
    }

    #[test]
    fn a_sealed_store_has_memory_threads_time_and_chance() {
        inside(Rules::sealed_store(), || {
            let many: Vec<_> = (0..8_u8)
                .map(|n| {
                    thread::spawn(move || {
                        let filled = vec![n; 8 * 1024 * 1024];
                        let random = crate::crypto::random::<32>().unwrap();
                        thread::sleep(std::time::Duration::from_millis(1));
                        filled.len() + random.len()
                    })
                })
                .collect();
            assert!(many.into_iter().all(|thread| thread.join().unwrap() > 8 * 1024 * 1024));
            assert!(std::time::SystemTime::now().elapsed().is_ok());
            assert!(refused(UnixDatagram::unbound()) && refused(File::open("/dev/null")));
        });
    }

    #[test]
    fn a_token_without_a_table_has_no_network_and_no_sockets() {
        let config = TokenConfig::parse(b"module = \"/m.so\"\ntoken = { label = \"t\" }\npin = \"person\"\n").unwrap();
        let rules = Rules::of_token(&config);
        assert!(rules.is_module() && !rules.has_network() && !rules.has_unix_sockets());
    }
}
