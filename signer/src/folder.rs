//! The signer's folder: its files, their modes and its lock.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

/// How the master key is sealed.
pub(crate) const SEAL_FILE: &str = "seal.json";
/// The key file, if `init` was told no other path.
pub(crate) const KEY_FILE: &str = "master.key";
/// The keeper's own key.
pub(crate) const KEEPER_KEY_FILE: &str = "keeper.key";
/// The journal.
pub(crate) const JOURNAL_FILE: &str = "journal.jsonl";
/// The socket for `unseal`.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";

/// The folder, held for one signer: nobody else gets the lock while this lives.
pub(crate) struct LockedFolder {
    handle: File,
    path: PathBuf,
}

/// Why the folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It can't be opened. Retrying helps once it is there.
    #[error("the folder {} can't be opened", .0.display())]
    Open(PathBuf, #[source] io::Error),
    /// Others may put files into it. Retrying helps after the command in the text.
    #[error("others may write to the folder {}; run: chmod 700 {}", .0.display(), .0.display())]
    Loose(PathBuf),
    /// Another signer runs on it. Retrying helps once that one has ended.
    #[error("another signer is using the folder {}", .0.display())]
    InUse(PathBuf),
}

impl LockedFolder {
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |e| FolderError::Open(path.to_owned(), e);
        let handle = File::open(path).map_err(failed)?;
        if handle.metadata().map_err(failed)?.permissions().mode() & 0o022 != 0 {
            return Err(FolderError::Loose(path.to_owned()));
        }
        match handle.try_lock() {
            Ok(()) => Ok(Self { handle, path: path.to_owned() }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The control socket's path by way of the open folder: the address of a Unix socket holds only 107 bytes, a path
    /// may be longer.
    pub(crate) fn control_socket(&self) -> PathBuf {
        control_socket(&self.handle)
    }
}

/// See [`LockedFolder::control_socket`]. Valid while `folder` is open.
pub(crate) fn control_socket(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{CONTROL_SOCKET}", folder.as_raw_fd()))
}

/// Makes the folder (0700) and what is missing above it.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a new file (0600) with `content`, durable when this returns. An existing one is an error.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    sync_folder_of(path)
}

/// Makes the entry of a new file in its folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
