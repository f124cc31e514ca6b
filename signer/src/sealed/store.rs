//! The sealed store: the master key in memory, and what it opens.

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer_protocol::envelope::{Binding, EnvelopeError, Purpose, RecipientKey};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};
use uuid::Uuid;

use super::{NotOursError, cache::Cache, format};
use crate::{
    crypto::CryptoError,
    operations::{self, GenerateError, KeyMismatchError, PrivateKey},
    seal::{self, MasterKey, Passphrase, SealError},
};

/// So many keys are kept open and parsed at most; each takes up to about 20 KiB.
const OPEN_KEYS: usize = 128;

/// An unsealed store.
pub struct Store {
    master: MasterKey,
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

    /// The store of a master key.
    #[must_use]
    pub fn new(master: MasterKey) -> Self {
        Self { master, open: Mutex::new(Cache::new(OPEN_KEYS)) }
    }

    /// Makes a key and seals it. RSA takes seconds.
    ///
    /// # Errors
    /// If algorithm and role do not go together, or the library fails.
    pub fn generate(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
    ) -> Result<StoredKey, StoreError> {
        let operations::GeneratedKey { public_key, private } = operations::generate(algorithm, role)?;
        let identity = format::Identity { component, algorithm, role, public_key: &public_key };
        let handle = format::seal(&self.master, &identity, &private)?;
        Ok(StoredKey { component, algorithm, role, public_key, handle })
    }

    /// What envelopes for this store are closed with.
    ///
    /// # Errors
    /// If the library fails.
    pub fn recipient(&self) -> Result<RecipientKey, StoreError> {
        Ok(self.master.envelope_key()?.recipient()?)
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
    ) -> Result<StoredKey, StoreError> {
        let binding = Binding::component(component, algorithm, role, &public_key.to_public_key(algorithm));
        let private = self.master.envelope_key()?.open(Purpose::ImportKey, &binding, envelope)?;
        PrivateKey::parse(algorithm, role, &private, &public_key)?;
        let identity = format::Identity { component, algorithm, role, public_key: &public_key };
        let handle = format::seal(&self.master, &identity, &private)?;
        Ok(StoredKey { component, algorithm, role, public_key, handle })
    }

    /// The parsed private key of a row.
    ///
    /// # Errors
    /// If the row does not open.
    pub fn key(&self, row: &StoredKey) -> Result<Arc<PrivateKey>, NotOursError> {
        if let Some(key) = self.open_key(row) {
            return Ok(key);
        }
        // The lock is not held while decrypting and parsing.
        let private = format::open(&self.master, row)?;
        let key =
            PrivateKey::parse(row.algorithm, row.role, &private, &row.public_key).map_err(|_| NotOursError::of(row))?;
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
    pub fn private_bytes(&self, row: &StoredKey) -> Result<zeroize::Zeroizing<Vec<u8>>, NotOursError> {
        format::open(&self.master, row)
    }

    /// Whether the system keeps the master key out of swap.
    #[must_use]
    pub const fn is_locked_in_memory(&self) -> bool {
        self.master.is_locked_in_memory()
    }
}
