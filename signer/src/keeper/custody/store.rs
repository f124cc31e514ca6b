//! The secret of a sealed store: its master key.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use sealcard_signer_protocol::{SecretKind, envelope::RecipientKey};

use crate::{
    control::{KeyBytes, Secret},
    seal::{self, MasterKey, Passphrase, SealError, SealFile, SealSource},
};

pub(super) struct StoreSecret {
    folder: PathBuf,
    seal: SealFile,
    master: Mutex<Option<MasterKey>>,
}

impl StoreSecret {
    pub(super) fn load(folder: &Path) -> Result<Self, SealError> {
        Ok(Self { folder: folder.to_owned(), seal: seal::load(folder)?, master: Mutex::default() })
    }

    pub(super) fn kind(&self) -> &'static str {
        self.seal.source().kind()
    }

    pub(super) const fn wanted(&self) -> SecretKind {
        match self.seal.source() {
            SealSource::Passphrase { .. } => SecretKind::Passphrase,
            SealSource::KeyFile { .. } | SealSource::SystemdCredential { .. } => SecretKind::None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.master.lock().is_some()
    }

    pub(super) fn is_locked_in_memory(&self) -> bool {
        self.master.lock().as_ref().is_some_and(MasterKey::is_locked_in_memory)
    }

    pub(super) fn open(&self, passphrase: Option<&Passphrase>) -> Result<(), SealError> {
        let master = seal::unseal(&self.seal, &self.folder, passphrase)?;
        *self.master.lock() = Some(master);
        Ok(())
    }

    pub(super) fn secret(&self) -> Option<Secret> {
        self.master.lock().as_ref().map(|master| Secret::MasterKey(KeyBytes::new(master.bytes())))
    }

    pub(super) fn envelope_key(&self) -> Option<RecipientKey> {
        self.master.lock().as_ref()?.envelope_key().ok()?.recipient().ok()
    }
}
