//! Keys that sign checkpoints, as the store keeps them.

use sealcard_signer_protocol::{MasterKeyId, StoredCheckpointKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{NotOursError, OpenError, Store, StoreError, format::Identity};
use crate::operations::checkpoint::{CheckpointKey, Seeds};

impl Store {
    /// Makes a key for the checkpoints of a log and seals it.
    ///
    /// # Errors
    /// If there is no such master key, the origin is none, or the library fails.
    pub fn generate_checkpoint_key(
        &self,
        component: Uuid,
        origin: &str,
        master_key: Option<MasterKeyId>,
    ) -> Result<StoredCheckpointKey, StoreError> {
        let seeds = Seeds::generate()?;
        let key = CheckpointKey::new(origin, &seeds)?;
        let (ed25519, ml_dsa_44) = key.public_keys();
        let ed25519 = ed25519.try_into().map_err(|_| StoreError::Library)?;
        let ml_dsa_44 = ml_dsa_44.to_vec();
        let (origin, handle) = (origin.to_owned(), Vec::new());
        let row = StoredCheckpointKey { component, origin, ed25519, ml_dsa_44, handle };
        self.seal_checkpoint_key(row, &seeds.to_bytes(), master_key)
    }

    /// The key of a row, ready to sign.
    ///
    /// # Errors
    /// If the row does not open.
    pub fn checkpoint_key(&self, row: &StoredCheckpointKey) -> Result<CheckpointKey, OpenError> {
        let not_ours = NotOursError { component: row.component };
        let seeds = Seeds::from_bytes(&self.checkpoint_seeds(row)?).ok_or(not_ours)?;
        let key = CheckpointKey::new(&row.origin, &seeds).map_err(|_| not_ours)?;
        let is_that = key.public_keys() == (row.ed25519.as_slice(), row.ml_dsa_44.as_slice());
        if is_that { Ok(key) } else { Err(not_ours.into()) }
    }

    /// Seals a checkpoint key under another master key. Opens the result once before it returns it.
    ///
    /// # Errors
    /// If the key does not open, or there is no such master key.
    pub fn reseal_checkpoint_key(
        &self,
        row: &StoredCheckpointKey,
        master_key: MasterKeyId,
    ) -> Result<StoredCheckpointKey, StoreError> {
        let seeds = self.checkpoint_seeds(row)?;
        let resealed = self.seal_checkpoint_key(row.clone(), &seeds, Some(master_key))?;
        if *self.checkpoint_seeds(&resealed)? != *seeds {
            return Err(StoreError::Library);
        }
        Ok(resealed)
    }

    fn seal_checkpoint_key(
        &self,
        row: StoredCheckpointKey,
        seeds: &[u8],
        master_key: Option<MasterKeyId>,
    ) -> Result<StoredCheckpointKey, StoreError> {
        let handle = self.seal_handle(&Identity::of_checkpoint_key(&row), seeds, master_key)?;
        Ok(StoredCheckpointKey { handle, ..row })
    }

    fn checkpoint_seeds(&self, row: &StoredCheckpointKey) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.open_handle(row.component, &Identity::of_checkpoint_key(row), &row.handle)
    }
}
