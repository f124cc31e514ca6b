//! The sealed store: the master keys in memory, and what they open.

use std::{path::Path, sync::Arc};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer_protocol::envelope::{Binding, EnvelopeError, Purpose, RecipientKey};
use sealcard_signer_protocol::{MasterKeyId, PublicKeyBytes, StoredKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    NotOursError, OpenError,
    cache::Cache,
    format::{self, Identity},
};
use crate::{
    crypto::CryptoError,
    operations::{self, GenerateError, KeyMismatchError, PrivateKey},
    seal::{self, MasterKeys, Passphrase, SealError},
};

/// So many keys are kept open and parsed at most; each takes up to about 20 KiB.
const OPEN_KEYS: usize = 128;

/// An unsealed store.
pub struct Store {
    master_keys: RwLock<MasterKeys>,
    open: Mutex<Cache>,
}

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key could not be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The cryptographic library failed, such as for want of memory. Retrying may help.
    #[error("the cryptographic library failed")]
    Library,
    /// The envelope does not open. Retrying can't help.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The private half is not that of the public half. Retrying can't help.
    #[error(transparent)]
    Mismatch(#[from] KeyMismatchError),
    /// There is no such master key. Retrying helps once there is.
    #[error("the store has no master key {0}")]
    UnknownMasterKey(MasterKeyId),
    /// A sealed key does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<CryptoError> for StoreError {
    fn from(_: CryptoError) -> Self {
        Self::Library
    }
}

impl Store {
    /// Unseals the store of a signer's folder, with a passphrase if its seal wants one.
    ///
    /// # Errors
    /// If the seal can't be read or opened.
    pub fn open(folder: &Path, passphrase: Option<&Passphrase>) -> Result<Self, SealError> {
        let seal = seal::load(folder)?;
        Ok(Self::new(seal::unseal(&seal, folder, passphrase)?))
    }

    /// The store of these master keys.
    #[must_use]
    pub fn new(master_keys: MasterKeys) -> Self {
        Self { master_keys: RwLock::new(master_keys), open: Mutex::new(Cache::new(OPEN_KEYS)) }
    }

    /// Has these master keys from now on. What others have opened is forgotten.
    pub fn replace_master_keys(&self, master_keys: MasterKeys) {
        *self.master_keys.write() = master_keys;
        *self.open.lock() = Cache::new(OPEN_KEYS);
    }

    /// The ids of the master keys, the oldest first.
    #[must_use]
    pub fn master_key_ids(&self) -> Vec<MasterKeyId> {
        self.master_keys.read().ids()
    }

    /// Makes a key and seals it. RSA takes seconds.
    ///
    /// # Errors
    /// If algorithm and role do not go together, there is no such master key, or the library fails.
    pub fn generate(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        master_key: Option<MasterKeyId>,
    ) -> Result<StoredKey, StoreError> {
        let operations::GeneratedKey { public_key, private } = operations::generate(algorithm, role)?;
        self.seal(component, algorithm, role, public_key, &private, master_key)
    }

    /// What envelopes for this store are closed with: that of the master key that all servers have which share it.
    ///
    /// # Errors
    /// If the library fails.
    pub fn recipient(&self) -> Result<RecipientKey, StoreError> {
        Ok(self.master_keys.read().oldest().envelope_key()?.recipient()?)
    }

    /// Takes in a key from an envelope and seals it, if it is the private half of `public_key`.
    ///
    /// # Errors
    /// If the envelope was closed for another store or component, or holds another key.
    pub fn import(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        public_key: PublicKeyBytes,
        envelope: &[u8],
        master_key: Option<MasterKeyId>,
    ) -> Result<StoredKey, StoreError> {
        let binding = Binding::component(component, algorithm, role, &public_key.to_public_key(algorithm));
        let private = self.open_envelope(&binding, envelope)?;
        PrivateKey::parse(algorithm, role, &private, &public_key)?;
        self.seal(component, algorithm, role, public_key, &private, master_key)
    }

    /// Opens an envelope that was closed with the key of any of the master keys.
    fn open_envelope(&self, binding: &Binding, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        for master in self.master_keys.read().iter() {
            if let Ok(private) = master.envelope_key()?.open(Purpose::ImportKey, binding, envelope) {
                return Ok(private);
            }
        }
        Err(EnvelopeError.into())
    }

    /// Seals a key under another master key. Opens the result once before it returns it.
    ///
    /// # Errors
    /// If the key does not open, or there is no such master key.
    pub fn reseal(&self, row: &StoredKey, master_key: MasterKeyId) -> Result<StoredKey, StoreError> {
        let private = self.private_key(row)?;
        let StoredKey { component, algorithm, role, ref public_key, .. } = *row;
        let resealed = self.seal(component, algorithm, role, public_key.clone(), &private, Some(master_key))?;
        if *self.private_key(&resealed)? != *private {
            return Err(StoreError::Library);
        }
        Ok(resealed)
    }

    fn seal(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        public_key: PublicKeyBytes,
        private: &[u8],
        master_key: Option<MasterKeyId>,
    ) -> Result<StoredKey, StoreError> {
        let identity = Identity::component(&component, algorithm, role, &public_key);
        let handle = self.seal_handle(&identity, private, master_key)?;
        Ok(StoredKey { component, algorithm, role, public_key, handle })
    }

    pub(super) fn seal_handle(
        &self,
        identity: &Identity<'_>,
        private: &[u8],
        master_key: Option<MasterKeyId>,
    ) -> Result<Vec<u8>, StoreError> {
        let master_keys = self.master_keys.read();
        let master = match master_key {
            Some(id) => master_keys.get(id).ok_or(StoreError::UnknownMasterKey(id))?,
            None => master_keys.oldest(),
        };
        Ok(format::seal(master, identity, private)?)
    }

    /// Decrypts the private key of a row.
    fn private_key(&self, row: &StoredKey) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.open_handle(row.component, &Identity::of(row), &row.handle)
    }

    pub(super) fn open_handle(
        &self,
        component: Uuid,
        identity: &Identity<'_>,
        handle: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let not_ours = NotOursError { component };
        let id = MasterKeyId::of_handle(handle).ok_or(not_ours)?;
        let master = RwLockReadGuard::try_map(self.master_keys.read(), |keys: &MasterKeys| keys.get(id));
        let master = master.map_err(|_| OpenError::UnknownMasterKey(id))?;
        Ok(format::open(&master, identity, handle).ok_or(not_ours)?)
    }

    /// The parsed private key of a row.
    ///
    /// # Errors
    /// If the row does not open.
    pub fn key(&self, row: &StoredKey) -> Result<Arc<PrivateKey>, OpenError> {
        if let Some(key) = self.open_key(row) {
            return Ok(key);
        }
        // The lock is not held while decrypting and parsing.
        let private = self.private_key(row)?;
        let key = PrivateKey::parse(row.algorithm, row.role, &private, &row.public_key)
            .map_err(|_| NotOursError { component: row.component })?;
        let key = Arc::new(key);
        self.open.lock().put(row.clone(), Arc::clone(&key));
        Ok(key)
    }

    /// The parsed private key of a row, if it was opened before: takes no time.
    pub(crate) fn open_key(&self, row: &StoredKey) -> Option<Arc<PrivateKey>> {
        self.open.lock().get(row)
    }

    /// The private key of a row in the clear: PKCS#8 DER for RSA, the secret number or seed (32 bytes) for curves. For
    /// tests that search for it where it must not be.
    ///
    /// # Errors
    /// If the row does not open.
    #[cfg(feature = "failpoints")]
    pub fn private_bytes(&self, row: &StoredKey) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.private_key(row)
    }

    /// Whether the system keeps the master keys out of swap.
    #[must_use]
    pub fn is_locked_in_memory(&self) -> bool {
        self.master_keys.read().are_locked_in_memory()
    }
}
