//! A backup: a folder with copies of all that a server keeps, and a manifest that names each file with its hash.
//!
//! ```text
//! manifest.json
//! server.toml, login-names.key, host-id, tls/…     as in the data folder
//! sealcard.db                                      the database at one moment
//! signer/NAME/…                                    signers that the server starts
//! own-signers/NAME/…                               signers that run as a user of their own
//! ```
//!
//! What opens the keys is never in it: key files, passphrases, PINs.

mod copy;
mod journal;
mod manifest;
mod restore;

use std::{io, path::PathBuf};

pub use copy::{Sources, Summary, make};
pub use manifest::{BackedUp, BadManifest, FileEntry, Manifest, RecordHead};
pub use restore::{Backup, Owners, Targets, user};

use crate::{files::FileError, storage::StorageError};

/// The manifest's name in a backup.
pub const MANIFEST: &str = "manifest.json";

/// The database's name in a backup and in the data folder.
pub const DATABASE: &str = "sealcard.db";

/// Files of the data folder itself.
const OWN_FILES: [&str; 3] = [crate::config::FILE, crate::authn::NAME_KEY_FILE, "host-id"];

/// The folder with certificates and their keys.
const TLS: &str = "tls";

/// The folder of the signers that the server starts.
const SIGNERS: &str = "signer";

/// The folder of signers of their own users, in a backup.
const OWN_SIGNERS: &str = "own-signers";

/// A signer's journal.
const JOURNAL: &str = "journal.jsonl";

/// A signer's files besides the journal. Neither a key file nor a PIN is among them.
const SIGNER_FILES: [&str; 4] = ["seal.json", "token.toml", "socket.toml", "keeper.key"];

/// Why a backup can't be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file can't be read or written. Retrying helps once the cause is gone.
    #[error(transparent)]
    File(#[from] FileError),
    /// The database can't be copied or read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A link or a device where a file should be.
    #[error("{} is a link or no regular file", .0.display())]
    NoFile(PathBuf),
    /// A file that is too long for what it is.
    #[error("{} is too long to be what its name says", .0.display())]
    TooLong(PathBuf),
    /// The backup would be in a folder that is backed up.
    #[error("{} is part of what is backed up: choose another folder", .0.display())]
    Inside(PathBuf),
    /// No manifest: not a backup, or one that was not finished.
    #[error("{} is no finished backup: it has no {MANIFEST}", .0.display())]
    Unfinished(PathBuf),
    /// The manifest is damaged.
    #[error("the manifest: {0}")]
    Manifest(#[from] BadManifest),
    /// A file differs from what the manifest says of it.
    #[error("{0} was changed after the backup was made, or is damaged")]
    Changed(String),
    /// The place is taken.
    #[error("{} exists: nothing was restored. Choose another folder, or move it away", .0.display())]
    Exists(PathBuf),
    /// There is no such user.
    #[error("there is no user {0}: install the packages, or run systemd-sysusers, first")]
    NoUser(String),
}

/// Names what can't be done with which file.
fn failed(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> BackupError {
    let failed = crate::files::failed(action, path);
    move |error| BackupError::File(failed(error))
}
