//! The process that the server starts: it keeps the secrets and sees to it that a worker runs.
//!
//! The keeper loads no vendor code and uses no signing key. It opens the folder, verifies the journal, holds the
//! unsealed master key or the token's PIN, listens for `unseal`, and starts the worker ([`crate::worker`]), a process
//! of its own, which it replaces when that dies or hangs; nobody has to enter a secret again. Requests do not pass
//! through here: the server is handed a socket to each worker.

mod backoff;
mod control;
mod custody;
mod identity;
mod link;
mod process;
mod supervisor;
mod unsealer;

pub use control::{ControlReply, ControlRequest, ask};
pub(crate) use identity::{create as create_identity, fingerprint};

use std::{
    io,
    os::fd::RawFd,
    path::Path,
    sync::{Arc, mpsc},
};

use sealcard_signer_protocol::channel::ChannelError;

use crate::{
    folder::{FolderError, JOURNAL_FILE, LockedFolder},
    journal::{JournalError, OpenJournal},
    log::{self, Level},
    os,
    pkcs11::config::ConfigError,
    seal::SealError,
};
use custody::Custody;
use link::Link;
use supervisor::Supervisor;
use unsealer::Unsealer;

/// Why the keeper does not start or ended. Retrying can't help unless a variant says so.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The process could not be shielded, so it touches no key.
    #[error("the process can't be shielded")]
    Harden(#[source] io::Error),
    /// The socket is not usable.
    #[error("the server's socket is not usable")]
    Socket(#[source] io::Error),
    /// The folder is not usable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The seal is not usable.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The token's configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The journal is not usable.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The control socket can't be made.
    #[error("the control socket can't be made")]
    Control(#[source] io::Error),
    /// No thread can be started. Retrying may help.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
    /// What came from the server is no message.
    #[error("the server's socket failed: {0}")]
    Server(ChannelError),
}

/// Keeps a worker for the server at the other end of the inherited descriptor `fd`, until the server closes it.
///
/// # Errors
/// If the keeper can't start, the journal breaks, or what the server sends makes no sense.
pub fn serve(folder: &Path, fd: RawFd) -> Result<(), KeeperError> {
    os::harden(fd).map_err(KeeperError::Harden)?;
    let locked = os::lock_memory();
    let socket = os::inherited_socket(fd).map_err(KeeperError::Socket)?;
    let folder = std::path::absolute(folder).map_err(|e| FolderError::Open(folder.to_owned(), e))?;
    let folder = LockedFolder::open(&folder)?;
    let custody = Arc::new(Custody::load(folder.path())?);
    let journal = OpenJournal::open(&folder.path().join(JOURNAL_FILE))?;
    custody.open_unattended();
    let (events, queue) = mpsc::channel();
    let unsealer = Unsealer::new(Arc::clone(&custody), events.clone());
    control::listen(&folder, unsealer.clone()).map_err(KeeperError::Control)?;
    custody.log_state(locked, journal.scan().head.sequence);
    let link = Link::start(socket, events.clone()).map_err(KeeperError::Thread)?;
    let deadlines = custody.deadlines();
    let supervisor = Supervisor::new(folder.path(), journal, custody, unsealer, link, events, deadlines);
    let outcome = supervisor.run(&queue);
    control::remove(&folder);
    log::event(Level::Info, "stopped", &[]);
    outcome
}
