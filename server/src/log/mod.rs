//! The record's log, for those who don't trust the server: checkpoints that a signer signs, and proofs that an entry is
//! in the log that a checkpoint covers.
//!
//! ```text
//! entries ─▶ leaves, subtrees          in the transaction that appends (storage)
//!                  └─▶ checkpoint      once a second at most, if there are new entries (publish.rs)
//!                          └─▶ cosignatures of witnesses, if there are some (witnesses)
//!                                  └─▶ receipt of an entry, proof of consistency (here), tiles and other files (files.rs)
//! ```

mod files;
mod publish;
mod receipt;
mod witnesses;

use std::sync::Arc;

use sealcard_transparency::{KeyError, KeyName, KeyType, VerifierKey};

pub(crate) use self::witnesses::WitnessesState;
pub use self::{
    publish::PublishError,
    receipt::{Receipt, ReceiptError},
    witnesses::{Witnesses, WitnessesError},
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
    witnesses: Option<Witnesses>,
}

/// A log as others know it.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its keys: Ed25519, then ML-DSA-44.
    pub keys: Vec<VerifierKey>,
    /// Its newest checkpoint that enough witnesses have cosigned. The newest one if none are configured, or they have
    /// cosigned none yet.
    pub checkpoint: CheckpointRow,
}

impl Log {
    /// The log of this server's record.
    #[must_use]
    pub const fn new(store: Store, signers: Arc<Signers>, config: RecordConfig, witnesses: Option<Witnesses>) -> Self {
        Self { store, signers, config, witnesses }
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
        let checkpoint = match self.store.published_checkpoint(&key.key.origin).await? {
            // Those who run a witness need the keys of the log before it can cosign.
            None => self.store.checkpoint(&key.key.origin).await?,
            published => published,
        };
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        let keys = keys(&key).map_err(|error| StorageError::Damaged(format!("a key of the log: {error}")))?;
        Ok(Some(Published { keys, checkpoint }))
    }
}

/// Whether a log of this origin goes on under the configured name.
fn goes_on_as(origin: &str, name: &str) -> bool {
    origin.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The public keys of a log.
fn keys(row: &LogKeyRow) -> Result<Vec<VerifierKey>, KeyError> {
    let name: KeyName = row.key.origin.parse()?;
    Ok(vec![
        VerifierKey::new(name.clone(), KeyType::Ed25519, &row.key.ed25519)?,
        VerifierKey::new(name, KeyType::MlDsa44, &row.key.ml_dsa_44)?,
    ])
}
