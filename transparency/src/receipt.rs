//! Receipts: all that shows offline that an entry is in a log (<https://c2sp.org/tlog-proof>).

use std::fmt;

use data_encoding::BASE64;

use crate::{
    Accepted, Checkpoint, Hash, Note, NoteError, ProofError, TrustError, TrustPolicy,
    note::MAX_NOTE,
    text::{base64, line, number},
    verify_inclusion,
    witness::parse_hashes,
};

/// The first line of a receipt.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The most extra data that a receipt may have, in bytes.
pub const MAX_EXTRA: usize = 128 * 1024;

/// The ending of a receipt's file name.
pub const RECEIPT_EXTENSION: &str = "tlog-proof";

/// The place of an entry in a log, the proof of it, and the signed checkpoint that the proof leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What is needed besides to make the entry again, a salt for instance. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// The place of the entry, from 0.
    pub index: u64,
    /// The proof that it is there: see [`crate::prove_inclusion`].
    pub proof: Vec<Hash>,
    /// The checkpoint with its signatures.
    pub checkpoint: Note,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_NOTE + 2 * MAX_EXTRA {
            return Err(ReceiptError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ReceiptError::Header)?;
        let rest = line(text).filter(|(first, _)| *first == HEADER).ok_or(ReceiptError::Header)?.1;
        let (first, after) = line(rest).ok_or(ReceiptError::Index)?;
        let (extra, rest) = match first.strip_prefix("extra ") {
            Some(encoded) => (Some(base64(encoded).ok_or(ReceiptError::Extra)?), after),
            None => (None, rest),
        };
        if extra.as_ref().is_some_and(|extra| extra.len() > MAX_EXTRA) {
            return Err(ReceiptError::TooLong);
        }
        let (second, rest) = line(rest).ok_or(ReceiptError::Index)?;
        let index = second.strip_prefix("index ").and_then(number).ok_or(ReceiptError::Index)?;
        let (proof, note) = parse_hashes(rest).ok_or(ReceiptError::Proof)?;
        let checkpoint = Note::parse(note.as_bytes())?;
        Checkpoint::parse(checkpoint.text()).map_err(TrustError::from)?;
        Ok(Self { extra, index, proof, checkpoint })
    }

    /// Checks that this entry is in a log that the policy trusts: the checkpoint has the signatures that it asks for,
    /// and the proof leads from the entry to its root.
    ///
    /// # Errors
    /// If it is not shown.
    pub fn verify<'p>(&self, entry: &[u8], policy: &'p TrustPolicy) -> Result<Accepted<'p>, ReceiptError> {
        let accepted = policy.check(&self.checkpoint)?;
        verify_inclusion(&Hash::leaf(entry), self.index, accepted.checkpoint.tree(), &self.proof)?;
        Ok(accepted)
    }
}

/// The text of the receipt.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Why a text is no receipt, or a receipt does not hold. Retrying can't help, but a newer receipt of the same entry may
/// have the signatures that this one lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It does not begin as a receipt.
    #[error("a receipt begins with the line {HEADER}")]
    Header,
    /// It is longer than a receipt can be.
    #[error("the receipt is too long")]
    TooLong,
    /// The extra data is not in base64.
    #[error("the extra data of the receipt is not in base64")]
    Extra,
    /// The line with the index is missing or malformed.
    #[error("the receipt has no index")]
    Index,
    /// The proof is malformed.
    #[error("the proof of the receipt must be at most 63 lines with a hash in base64 each, then an empty line")]
    Proof,
    /// The checkpoint is malformed.
    #[error("the checkpoint of the receipt is malformed: {0}")]
    Note(#[from] NoteError),
    /// The policy does not trust the checkpoint.
    #[error("the checkpoint of the receipt is not trusted: {0}")]
    Untrusted(#[from] TrustError),
    /// The proof does not lead from the entry to the checkpoint.
    #[error("the receipt is not one of this entry: {0}")]
    NotIncluded(#[from] ProofError),
}
