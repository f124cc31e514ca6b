//! Receipts: the proof that an entry is in the log.

use sealcard_transparency::{Note, Receipt as Proof};

use super::{Log, Published};
use crate::storage::{RecordRow, StorageError};

/// An entry, and the proof that it is in the log that the published checkpoint covers.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The entry.
    pub row: RecordRow,
    /// What is published of the log.
    pub published: Published,
    /// The proof, in the form of C2SP's tlog-proof.
    pub proof: String,
}

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// No checkpoint covers the entry yet. Retrying helps within seconds, unless the log is not published.
    #[error("no checkpoint covers the entry yet")]
    NotYet,
    /// Too few witnesses have cosigned a checkpoint that covers the entry. Retrying helps once they have.
    #[error("too few witnesses have cosigned a checkpoint that covers the entry")]
    NotWitnessed,
    /// The server publishes no log.
    #[error("this server publishes no log")]
    NotPublished,
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Log {
    /// The receipt of an entry.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub async fn receipt(&self, row: RecordRow) -> Result<Receipt, ReceiptError> {
        if self.config.origin.is_none() {
            return Err(ReceiptError::NotPublished);
        }
        let published = self.published().await?.ok_or(ReceiptError::NotYet)?;
        let (index, size) = (row.sequence.saturating_sub(1), published.checkpoint.size);
        let is_covered = index < size;
        match &self.witnesses {
            Some(witnesses) if !is_covered || !witnesses.have_cosigned(&published.checkpoint.note) => {
                return Err(ReceiptError::NotWitnessed);
            }
            None if !is_covered => return Err(ReceiptError::NotYet),
            _ => {}
        }
        let checkpoint = Note::parse(published.checkpoint.note.as_bytes())
            .map_err(|error| StorageError::Damaged(format!("the newest checkpoint: {error}")))?;
        let proof = self.store.prove_inclusion(index, size).await?;
        let proof = Proof { extra: None, index, proof, checkpoint };
        Ok(Receipt { row, published, proof: proof.to_string() })
    }
}
