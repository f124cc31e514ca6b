//! The secret of a sealed store: its master keys.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sealcard_signer_protocol::{MasterKeyId, SecretKind, envelope::RecipientKey};

use crate::{
    control::{KeyBytes, Secret},
    seal::{self, MasterKeys, Passphrase, SealError, SealFile, SealSource},
};

pub(super) struct StoreSecret {
    folder: PathBuf,
    seal: Mutex<SealFile>,
    master_keys: Mutex<Option<MasterKeys>>,
    /// Nothing is stored under these any more, says the server.
    unused: Mutex<Vec<MasterKeyId>>,
}

impl StoreSecret {
    pub(super) fn load(folder: &Path) -> Result<Self, SealError> {
        let seal = Mutex::new(seal::load(folder)?);
        Ok(Self { folder: folder.to_owned(), seal, master_keys: Mutex::default(), unused: Mutex::default() })
    }

    pub(super) fn kind(&self) -> &'static str {
        self.seal.lock().source().kind()
    }

    pub(super) fn wanted(&self) -> SecretKind {
        match self.seal.lock().source() {
            SealSource::Passphrase { .. } => SecretKind::Passphrase,
            SealSource::KeyFile { .. } | SealSource::SystemdCredential { .. } => SecretKind::None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.master_keys.lock().is_some()
    }

    pub(super) fn is_locked_in_memory(&self) -> bool {
        self.master_keys.lock().as_ref().is_some_and(MasterKeys::are_locked_in_memory)
    }

    pub(super) fn open(&self, passphrase: Option<&Passphrase>) -> Result<(), SealError> {
        let seal = self.seal.lock().clone();
        let master_keys = seal::unseal(&seal, &self.folder, passphrase)?;
        *self.master_keys.lock() = Some(master_keys);
        Ok(())
    }

    /// Reads the seal again, which has changed, and opens it. An error leaves the open keys as they are, and if a master key
    /// would be lost that may be in use.
    pub(super) fn reload(&self, passphrase: Option<&Passphrase>) -> Result<(), SealError> {
        let seal = seal::load(&self.folder)?;
        let new = seal::unseal(&seal, &self.folder, passphrase)?;
        let mut held = self.master_keys.lock();
        let unused = self.unused.lock();
        let lost = held.iter().flat_map(MasterKeys::ids).find(|id| new.get(*id).is_none() && !unused.contains(id));
        if let Some(id) = lost {
            return Err(SealError::LacksMasterKey { file: self.folder.join(crate::folder::SEAL_FILE), id });
        }
        *held = Some(new);
        *self.seal.lock() = seal;
        Ok(())
    }

    pub(super) fn secret(&self) -> Option<Secret> {
        let held = self.master_keys.lock();
        let keys = held.as_ref()?.iter().map(|key| KeyBytes::new(key.bytes())).collect();
        Some(Secret::MasterKeys(keys))
    }

    pub(super) fn envelope_key(&self) -> Option<RecipientKey> {
        self.master_keys.lock().as_ref()?.oldest().envelope_key().ok()?.recipient().ok()
    }

    pub(super) fn note_unused(&self, ids: Vec<MasterKeyId>) {
        *self.unused.lock() = ids;
    }

    /// The ids of the master keys, and of those that nothing is stored under.
    pub(super) fn master_key_ids(&self) -> Option<(Vec<MasterKeyId>, Vec<MasterKeyId>)> {
        let held = self.master_keys.lock().as_ref()?.ids();
        let unused = self.unused.lock().iter().copied().filter(|id| held.contains(id)).collect();
        Some((held, unused))
    }
}
