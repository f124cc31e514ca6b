//! Reading and making the files that hold a seal's secret.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::SealError;
pub(crate) use super::file::valid_credential_name;
use crate::{crypto, folder};

/// A key file has exactly so many bytes.
const KEY_FILE_LEN: usize = 32;
/// A credential is longer if somebody wants, but never shorter than a key.
const MAX_CREDENTIAL_LEN: usize = 4096;

/// Makes the key file with 32 random bytes if nothing is at `path`. True if it did.
pub(super) fn create_key_file_if_absent(path: &Path) -> Result<bool, SealError> {
    let bytes = crypto::random::<KEY_FILE_LEN>()?;
    match folder::write_new(path, bytes.as_ref()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(SealError::File(path.to_owned(), e)),
    }
}

/// Reads a key file that only its owner may use.
pub(crate) fn read_key_file(path: &Path) -> Result<crypto::Key, SealError> {
    let bytes = read_private(path, KEY_FILE_LEN)?;
    let mut key = crypto::Key::default();
    if bytes.len() != key.len() {
        return Err(bad(path, "a key file has exactly 32 bytes"));
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// Reads the credential that systemd placed for this service (`systemd.exec(5)`, `LoadCredential=`).
pub(super) fn read_credential(name: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (path, bytes) = read_credential_file(name, MAX_CREDENTIAL_LEN)?;
    if bytes.len() < KEY_FILE_LEN {
        return Err(bad(&path, "a credential needs at least 32 bytes; make one with: head -c 32 /dev/urandom"));
    }
    Ok(bytes)
}

/// Reads a credential of at most `limit` bytes, and tells where it lies.
pub(crate) fn read_credential_file(name: &str, limit: usize) -> Result<(PathBuf, Zeroizing<Vec<u8>>), SealError> {
    let path = credential_path(name)?;
    let bytes = read_guarded(&path, limit, true)?;
    Ok((path, bytes))
}

/// Where systemd placed a credential for this service.
fn credential_path(name: &str) -> Result<PathBuf, SealError> {
    let directory =
        std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| SealError::NoCredentials { name: name.to_owned() })?;
    let path = PathBuf::from(directory).join(name);
    if valid_credential_name(name) { Ok(path) } else { Err(bad(&path, "a credential's name is a plain file name")) }
}

/// Reads a file of at most `limit` bytes, whoever may read it.
pub(super) fn read_limited(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let failed = |e| SealError::File(path.to_owned(), e);
    read(&File::open(path).map_err(failed)?, path, limit)
}

/// Reads a regular file of at most `limit` bytes that only its owner, the signer's user or root, may use.
pub(crate) fn read_private(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, SealError> {
    read_guarded(path, limit, false)
}

/// As [`read_private`]. `listed`: systemd 254 and later leave a credential to root and root's group, and let the
/// service's user read it by an access control list, whose mask appears in the group's bits.
fn read_guarded(path: &Path, limit: usize, listed: bool) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let failed = |e| SealError::File(path.to_owned(), e);
    // Non-blocking: a FIFO in its place must not hang the start.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(bad(path, "it is not a regular file"));
    }
    let mode = metadata.mode() & 0o7777;
    let refused = if listed && metadata.uid() == 0 && metadata.gid() == 0 { 0o037 } else { 0o077 };
    if mode & refused != 0 {
        return Err(SealError::LooseMode { path: path.to_owned(), mode });
    }
    let owner = metadata.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(SealError::ForeignOwner { path: path.to_owned(), owner });
    }
    read(&file, path, limit)
}

fn read(file: &File, path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, SealError> {
    // Room for all of it at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|e| SealError::File(path.to_owned(), e))?;
    if bytes.len() > limit {
        return Err(bad(path, "it is longer than allowed"));
    }
    Ok(bytes)
}

pub(crate) fn bad(path: &Path, why: &'static str) -> SealError {
    SealError::BadSecretFile { path: path.to_owned(), why }
}
