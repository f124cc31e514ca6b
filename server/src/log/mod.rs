//! The record's log, for those who don't trust the server: checkpoints that a signer signs, and proofs that an entry is
//! in the log that a checkpoint covers.
//!
//! ```text
//! entries ─▶ leaves, subtrees          in the transaction that appends (storage)
//!                  └─▶ checkpoint      once a second at most, if there are new entries (publish.rs)
//!                          └─▶ receipt of an entry, proof of consistency (here), tiles and other files (files.rs)
//! ```

mod files;
mod publish;
mod receipt;

use std::sync::Arc;

use sealcard_transparency::{KeyError, KeyName, KeyType, VerifierKey};

pub use self::{
    publish::PublishError,
    receipt::{Receipt, ReceiptError},
};
use crate::{
    config::RecordConfig,
    signers::Signers,
    storage::{CheckpointRow, LogKeyRow, StorageError, Store},
};

/// A file in the data folder that says that the log goes on under a new name, because the database is an older copy:
/// [`Log::publish`] makes a key for that, and removes the file.
pub const NEW_LOG: &str = "new-log";

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    store: Store,
    signers: Arc<Signers>,
    config: RecordConfig,
}

/// A log as others know it.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its keys: Ed25519, then ML-DSA-44.
    pub keys: Vec<VerifierKey>,
    /// Its newest checkpoint.
    pub checkpoint: CheckpointRow,
}

impl Log {
    /// The log of this server's record.
    #[must_use]
    pub const fn new(store: Store, signers: Arc<Signers>, config: RecordConfig) -> Self {
        Self { store, signers, config }
    }

    /// What is published of the log. None if it has no name, or no checkpoint yet.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn published(&self) -> Result<Option<Published>, StorageError> {
        if self.config.origin.is_none() {
            return Ok(None);
        }
        let Some(key) = self.store.log_key().await? else { return Ok(None) };
        let Some(checkpoint) = self.store.checkpoint(&key.key.origin).await? else { return Ok(None) };
        let keys = keys(&key).map_err(|error| StorageError::Damaged(format!("a key of the log: {error}")))?;
        Ok(Some(Published { keys, checkpoint }))
    }
}

/// The public keys of a log.
fn keys(row: &LogKeyRow) -> Result<Vec<VerifierKey>, KeyError> {
    let name: KeyName = row.key.origin.parse()?;
    Ok(vec![
        VerifierKey::new(name.clone(), KeyType::Ed25519, &row.key.ed25519)?,
        VerifierKey::new(name, KeyType::MlDsa44, &row.key.ml_dsa_44)?,
    ])
}
