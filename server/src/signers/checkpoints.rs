//! Asking a signer for checkpoints of the record's log.

use sealcard_api::ids::RequestId;
use sealcard_signer_protocol::{
    Growth, LogHead, MasterKeyId, RequestBody, ResponseBody, SignerError, Stated, StoredCheckpointKey,
};
use sealcard_transparency::{Hash, TreeHead};
use uuid::Uuid;

use super::{Signer, UseError};

impl Signer {
    /// Makes a key for the checkpoints of the log with this origin, in a sealed store, under the master key that is in
    /// use there.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn make_checkpoint_key(
        &self,
        component: Uuid,
        origin: &str,
        master_key: Option<MasterKeyId>,
        stated: Stated,
    ) -> Result<StoredCheckpointKey, UseError> {
        let made = RequestBody::GenerateCheckpointKey { component, origin: origin.to_owned(), master_key, stated };
        match self.ask(made).await? {
            ResponseBody::CheckpointKey(key) if key.component == component && key.origin == origin => Ok(key),
            _ => Err(odd_answer()),
        }
    }

    /// The signed note of a checkpoint. `old_size` is that of the last one that this signer has signed with the key,
    /// and `proof` leads from there.
    ///
    /// # Errors
    /// See [`UseError`]; [`SignerError::Checkpoint`] says how the log does not continue the last one.
    pub async fn sign_checkpoint(
        &self,
        key: StoredCheckpointKey,
        tree: TreeHead,
        (old_size, proof): (u64, Vec<Hash>),
    ) -> Result<String, UseError> {
        let head = LogHead::from(tree);
        let growth = Growth { head, old_size, proof: proof.into_iter().map(|hash| hash.0).collect() };
        let stated = Stated { record: Some(head), ..Stated::by_server(RequestId::new().0) };
        match self.ask(RequestBody::SignCheckpoint { key, growth, stated }).await? {
            ResponseBody::Checkpoint { note } => Ok(note),
            _ => Err(odd_answer()),
        }
    }

    /// The last checkpoint that this signer has signed with a key: the next one is proved from there. Its note may not
    /// have arrived; it can be signed once more.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn last_checkpoint(&self, component: Uuid) -> Result<Option<TreeHead>, UseError> {
        match self.ask(RequestBody::CheckpointState { component }).await? {
            ResponseBody::CheckpointState { last } => Ok(last.map(TreeHead::from)),
            _ => Err(odd_answer()),
        }
    }

    /// The same key, sealed under another master key.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn reseal_checkpoint_key(
        &self,
        key: StoredCheckpointKey,
        master_key: MasterKeyId,
    ) -> Result<StoredCheckpointKey, UseError> {
        let before = StoredCheckpointKey { handle: Vec::new(), ..key.clone() };
        match self.ask(RequestBody::ResealCheckpointKey { key, master_key }).await? {
            ResponseBody::CheckpointKey(key) if StoredCheckpointKey { handle: Vec::new(), ..key.clone() } == before => {
                Ok(key)
            }
            _ => Err(odd_answer()),
        }
    }
}

/// A fault of the signer, or another release of it.
fn odd_answer() -> UseError {
    UseError::Refused(SignerError::Invalid("the signer answered something else than was asked".to_owned()))
}
