//! What a worker may still do once it has all that it needs.
//!
//! Two layers. Landlock takes away the file system, TCP, signals to others and abstract sockets, but for what is declared.
//! Seccomp takes away system calls: a sealed store's worker is left with those that a program needs that computes and answers
//! on open sockets; a worker with a vendor's module, whose needs nobody knows, loses those that no module needs. What is
//! taken away fails with EPERM or EACCES. Both hold for every thread that is started afterwards, and can't be undone.

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

/// Puts this thread, and those that it starts from now on, into the sandbox. Call it before any other thread runs and after
/// everything is open that is not declared.
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
