//! Changing a seal that exists: another master key, or another secret that opens it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sealcard_signer_protocol::MasterKeyId;

use super::{
    MAX_SEAL_FILE, MasterKeys, Passphrase, SealError, SealFile, SealMethod, key_encryption_key, prepare, secret_file,
    unwrap,
};
use crate::{
    crypto,
    folder::{self, SEAL_FILE},
};

/// An open seal that nobody else changes meanwhile.
pub struct SealEdit {
    folder: PathBuf,
    file: SealFile,
    kek: crypto::Key,
    keys: MasterKeys,
    _lock: File,
}

impl SealEdit {
    /// Opens the seal of a folder with its secret, a passphrase if it wants one.
    ///
    /// # Errors
    /// If it can't be opened, or another process changes it.
    pub fn open(folder: &Path, passphrase: Option<&Passphrase>) -> Result<Self, SealError> {
        let lock = lock(&folder.join(SEAL_FILE))?;
        let file = super::load(folder)?;
        let kek = key_encryption_key(file.source(), folder, passphrase)?;
        let keys = unwrap(&file, &kek)?;
        Ok(Self { folder: folder.to_owned(), file, kek, keys, _lock: lock })
    }

    /// The ids of its master keys, the oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<MasterKeyId> {
        self.keys.ids()
    }

    /// Adds a new master key. Its id.
    ///
    /// # Errors
    /// If there are too many, or the file can't be written.
    pub fn add_key(mut self) -> Result<MasterKeyId, SealError> {
        let id = self.keys.add()?;
        self.save()?;
        Ok(id)
    }

    /// Removes master keys: what is sealed under them can never be opened again.
    ///
    /// # Errors
    /// If none would be left, or the file can't be written.
    pub fn remove_keys(self, ids: &[MasterKeyId]) -> Result<(), SealError> {
        let Self { folder, file, kek, keys, _lock } = self;
        let keys = keys.without(ids).ok_or(SealError::LastMasterKey)?;
        Self { folder, file, kek, keys, _lock }.save()
    }

    /// Takes the master keys of another server's `seal.json`, which the same secret opens. The ids of all that there
    /// are now.
    ///
    /// # Errors
    /// If the secret does not open it, or it lacks a master key of this one that is not among `unused`.
    pub fn take_over(mut self, other: &Path, unused: &[MasterKeyId]) -> Result<Vec<MasterKeyId>, SealError> {
        let text = secret_file::read_limited(other, MAX_SEAL_FILE)?;
        let file = SealFile::parse(&text).map_err(|error| SealError::Format(other.to_owned(), error))?;
        if !file.source().same_secret(self.file.source()) {
            return Err(SealError::OtherSecret(other.to_owned()));
        }
        let keys = unwrap(&file, &self.kek).map_err(|_| SealError::OtherSecret(other.to_owned()))?;
        let lacking = self.keys.ids().into_iter().find(|id| keys.get(*id).is_none() && !unused.contains(id));
        if let Some(id) = lacking {
            return Err(SealError::LacksMasterKey { file: other.to_owned(), id });
        }
        self.keys = keys;
        self.save()?;
        Ok(self.keys.ids())
    }

    /// Seals the same master keys with another secret. The key file that it made, if it made one.
    ///
    /// # Errors
    /// If the secret can't be had, or the file can't be written.
    pub fn reseal(mut self, method: &SealMethod) -> Result<Option<PathBuf>, SealError> {
        let prepared = prepare(&self.folder, method)?;
        self.kek = key_encryption_key(&prepared.source, &self.folder, method.passphrase())?;
        self.file = SealFile::new(prepared.source, Vec::new());
        self.save()?;
        Ok(prepared.key_file.filter(|_| prepared.key_file_created))
    }

    /// Puts the new file in the place of the old one: a crash leaves one of the two.
    fn save(&self) -> Result<(), SealError> {
        let source = self.file.source();
        let wrapped = crypto::seal(&self.kek, &source.associated_data(), &self.keys.joined())?;
        let text = SealFile::new(source.clone(), wrapped).to_text();
        let (path, new) = (self.folder.join(SEAL_FILE), self.folder.join(format!("{SEAL_FILE}.new")));
        let write = || {
            // Only what a crash has left behind can be there.
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            crate::failpoint::hit("signer::before_seal");
            fs::rename(&new, &path)?;
            folder::sync_folder_of(&path)
        };
        write().map_err(|error| SealError::File(path.clone(), error))
    }
}

/// Locks the file itself. The earlier holder of the lock may have replaced the file.
fn lock(path: &Path) -> Result<File, SealError> {
    let failed = |error| SealError::File(path.to_owned(), error);
    loop {
        let file = File::open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "another command changes it; try again";
                return Err(failed(io::Error::new(io::ErrorKind::WouldBlock, why)));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (locked, now) = (file.metadata().map_err(failed)?, fs::metadata(path).map_err(failed)?);
        if (locked.dev(), locked.ino()) == (now.dev(), now.ino()) {
            return Ok(file);
        }
    }
}
