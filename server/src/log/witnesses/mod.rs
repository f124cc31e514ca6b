//! Witnesses of the log: others who cosign its checkpoints, each only if it continues the one that they cosigned before.
//!
//! Each witness has a task of its own, so that none waits for another one. It asks for the newest checkpoint only; one
//! node asks a witness at a time. A checkpoint is given out once the quorum has cosigned it. Until then the newest
//! checkpoint stays the newest one, so that witnesses of different speed cosign the same. Nothing that signs waits for it.

mod ask;
mod load;
mod state;
mod worker;

use std::sync::Arc;

use reqwest::{Client, Url};
use sealcard_transparency::{Note, Signature, TrustPolicy, VerifierKey};

pub use self::load::WitnessesError;
pub(crate) use self::state::WitnessesState;
use crate::storage::{CheckpointRow, StorageError, WriteTx};

/// The witnesses of this server's log, and how many of them are needed. Cheap to clone.
#[derive(Clone)]
pub struct Witnesses(Arc<Parts>);

struct Parts {
    policy: TrustPolicy,
    all: Vec<Arc<Witness>>,
}

/// One witness.
struct Witness {
    /// The name of its keys.
    name: String,
    keys: Vec<VerifierKey>,
    /// Where it takes checkpoints.
    url: Url,
    client: Client,
}

impl Witnesses {
    /// Whether enough of them have cosigned.
    pub(super) fn have_cosigned(&self, note: &str) -> bool {
        Note::parse(note.as_bytes()).is_ok_and(|note| self.0.policy.has_quorum(&note))
    }

    /// Keeps cosignatures of the checkpoint with this text, which were verified, and gives it out if they are enough. If
    /// it is neither the newest one nor the one that is given out, they are of no use any more.
    fn keep(&self, tx: &mut WriteTx, origin: &str, text: &str, cosignatures: &[Signature]) -> Result<(), StorageError> {
        if let Some(newest) = tx.checkpoint(origin)?
            && let Some((newest, note)) = cosigned(newest, text, cosignatures)?
        {
            tx.cosign_checkpoint(&newest)?;
            if self.0.policy.has_quorum(&note) {
                tx.publish_checkpoint(&newest)?;
            }
            return Ok(());
        }
        if let Some(published) = tx.published_checkpoint(origin)?
            && let Some((published, _)) = cosigned(published, text, cosignatures)?
        {
            tx.publish_checkpoint(&published)?;
        }
        Ok(())
    }
}

/// The checkpoint with these cosignatures, one of each key. None if it is another one.
fn cosigned(
    mut row: CheckpointRow,
    text: &str,
    cosignatures: &[Signature],
) -> Result<Option<(CheckpointRow, Note)>, StorageError> {
    let damaged = |error| StorageError::Damaged(format!("a checkpoint of {}: {error}", row.origin));
    let mut note = Note::parse(row.note.as_bytes()).map_err(damaged)?;
    if note.text() != text {
        return Ok(None);
    }
    for cosignature in cosignatures {
        let is_there = |other: &Signature| other.name() == cosignature.name() && other.id() == cosignature.id();
        if !note.signatures().iter().any(is_there) {
            note.add(cosignature.clone()).map_err(damaged)?;
        }
    }
    row.note = note.to_string();
    Ok(Some((row, note)))
}

impl Witness {
    /// Whether a checkpoint has the cosignatures of all its keys.
    fn has_cosigned(&self, note: &Note) -> bool {
        self.keys.iter().all(|key| note.signatures().iter().any(|signature| is_of(signature, key)))
    }
}

/// Whether a signature says that it was made by this key.
fn is_of(signature: &Signature, key: &VerifierKey) -> bool {
    signature.name() == key.name() && signature.id() == key.id()
}
