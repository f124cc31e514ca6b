//! What an audit finds wrong.

use sealcard_record::{export::LineError, fold::Difference, verify};
use sealcard_transparency::{LeafError, TrustError};

/// Findings beyond this number are counted only.
const MAX_FINDINGS: usize = 100;

/// Something that is wrong with a log, as a sentence for a person. `file` is a path below the log's prefix.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Finding {
    /// The checkpoint is malformed.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// Those who are trusted did not sign it.
    #[error("checkpoint: {0}")]
    Untrusted(#[from] TrustError),
    /// It is of another log than the one that is known.
    #[error("checkpoint: it is of the log {found}, and this was the log {known}")]
    OtherLog { known: String, found: String },
    /// Entries that were there are gone.
    #[error("checkpoint: the log went back: it had {known} entries, and has {found}")]
    WentBack { known: u64, found: u64 },
    /// Entries are others than before.
    #[error("checkpoint: the log was rewritten: its first {known} entries are not those that it had")]
    Rewritten { known: u64 },
    /// The tiles have another root than the checkpoint.
    #[error(
        "checkpoint: the hashes of the tiles don't lead to its root: entries were changed, removed or put in together with \
         their hashes, or the checkpoint is of another state of the log"
    )]
    Root,
    /// A file that the checkpoint covers is not there.
    #[error("{file}: the file is missing")]
    Missing { file: String },
    /// A file does not have its form.
    #[error("{file}: {reason}")]
    Malformed { file: String, reason: String },
    /// A tile has other hashes than the checkpoint covers.
    #[error("{file}: its hashes are not those that the checkpoint covers")]
    Tile { file: String },
    /// A tile and what is below it are wrong, so nothing vouches for what is below.
    #[error("{file}: neither its hashes nor those below it are the ones that the checkpoint covers")]
    Subtree { file: String },
    /// A leaf is another one than the checkpoint covers.
    #[error("{file}: the leaf of entry {number} is not the one that the checkpoint covers")]
    Leaf { file: String, number: u64 },
    /// A leaf has the right hash but not the form of one.
    #[error("{file}: the leaf of entry {number} can't be read: {error}")]
    LeafForm { file: String, number: u64, error: LeafError },
    /// An entry is not what its leaf commits to, or not of its schema.
    #[error("{file}: entry {number}: {error}")]
    Entry { file: String, number: u64, error: LineError },
    /// Record and journals contradict one another.
    #[error("{0}")]
    Journals(verify::Finding),
    /// The tables are not what follows from the entries.
    #[error("{0}")]
    Tables(Difference),
    /// The tables were read beside another log.
    #[error("{file}: at entry {number} the server's log was another one than this")]
    TablesOfOtherLog { file: String, number: u64 },
}

/// The first findings, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) first: Vec<Finding>,
    pub(crate) more: u64,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        if self.first.len() < MAX_FINDINGS {
            self.first.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}
