//! macOS: the folders of Apple's File System Programming Guide, the login keychain, no runtime folder.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    path::PathBuf,
    time::Instant,
};

use keyring_core::{Entry, Error, api::CredentialStoreApi as _};

use nix::sys::resource::{Resource, setrlimit};

use super::{AcceptedConnection, Place};

pub(crate) const CONFIG_PLACE: Place =
    Place { base_variable: None, base: "Library/Application Support", name: "Sealcard" };

pub(crate) const STATE_PLACE: Place =
    Place { base_variable: None, base: "Library/Application Support/Sealcard", name: "State" };

/// Where a login for the whole machine lies.
pub(crate) const MACHINE_FOLDER: &str = "/Library/Application Support/Sealcard";

/// Bytes that the path of a socket may have: `sun_path` is 104 long, the last of which is a zero (unix(4)).
pub(crate) const MAX_SOCKET_PATH: usize = 103;

/// What a person does on this system.
pub(crate) mod advice {
    pub(crate) const SET_CLOCK: &str = "set the clock: System Settings, General, Date & Time, \"Set automatically\"";
    pub(crate) const SHORTEN_SOCKET_PATH: &str = "use a GNUPGHOME with a shorter path";
}

/// None: GnuPG keeps its sockets in the home itself here.
pub(crate) const fn gnupg_socket_folder() -> Option<PathBuf> {
    None
}

/// Every user has a login keychain.
pub(crate) const fn keyring_is_absent() -> Option<&'static str> {
    None
}

/// An item of the login keychain. Reading or writing it may wait for a person: each program that did not make the item
/// asks once.
pub(crate) fn keyring_entry(service: &str, account: &str) -> Result<Entry, Error> {
    apple_native_keyring_store::keychain::Store::new()?.build(service, account, None)
}

/// Whether a process exists.
pub(crate) fn process_lives(id: u32) -> bool {
    i32::try_from(id).is_ok_and(|id| nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), None).is_ok())
}

/// A process, for as long as the system runs. None is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessIdentity {}

/// A process of which something is known. There is none: this system tells of the processes of others only what needs
/// rights that this program does not have.
#[derive(Debug)]
pub(crate) enum ProcessHandle {}

impl ProcessHandle {
    pub(crate) const fn open(_id: i32) -> Option<Self> {
        None
    }

    pub(crate) const fn current() -> Option<Self> {
        None
    }

    pub(crate) const fn of(identity: ProcessIdentity) -> Option<Self> {
        match identity {}
    }

    pub(crate) const fn identity(&self) -> Option<ProcessIdentity> {
        match *self {}
    }

    pub(crate) const fn terminal(&self) -> Option<File> {
        match *self {}
    }

    pub(crate) const fn parent(&self) -> Option<Self> {
        match *self {}
    }

    pub(crate) const fn path(&self) -> Option<PathBuf> {
        match *self {}
    }

    pub(crate) const fn executable(&self) -> Option<File> {
        match *self {}
    }

    pub(crate) const fn arguments(&self) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) const fn environment(&self) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) const fn program(&self) -> Option<PathBuf> {
        match *self {}
    }

    pub(crate) const fn working_folder(&self) -> Option<PathBuf> {
        match *self {}
    }
}

pub(crate) fn holders(_sockets: &HashSet<u64>, _deadline: Instant) -> HashMap<u64, ProcessHandle> {
    HashMap::new()
}

pub(crate) fn accepted_connections() -> io::Result<Vec<AcceptedConnection>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Keeps passwords and grants from core images. A debugger needs an entitlement of this program on this system, which
/// it does not have. To be called first in `main`.
///
/// # Errors
///
/// When the system refuses.
pub fn shield() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Nothing: the keychain needs no variable.
pub const fn adopt_session() {}
