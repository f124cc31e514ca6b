//! How private keys are kept.
//!
//! Each private key is encrypted with AES-256-GCM under a data key of its own, and the data key with AES-256-GCM under
//! a master key. Associated data of both binds component id, algorithm, role, public key, the master key's id and the
//! format's version, so a row of the database can be neither changed nor put in another's place. The form of
//! [`sealcard_signer_protocol::StoredKey::handle`]:
//!
//! ```text
//! 01 · id of the master key (8) · wrapped data key (12 nonce, 32, 16 tag) · private key (12 nonce, n, 16 tag)
//! ```
//!
//! The handle of a [`sealcard_signer_protocol::StoredCheckpointKey`] has the same form. Its private key is the two
//! seeds one after the other; its associated data begins with another label and binds id, origin and both public keys.

mod cache;
mod checkpoint;
mod format;
mod store;

use sealcard_signer_protocol::MasterKeyId;
pub use store::{Store, StoreError};

/// Why a sealed key can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is damaged or was changed.
    #[error(transparent)]
    NotOurs(#[from] NotOursError),
    /// It is sealed under a master key that the store does not have. Retrying helps once it has.
    #[error("the store has no master key {0}")]
    UnknownMasterKey(MasterKeyId),
}

/// The sealed key does not open: another store's, damaged, or changed. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed key of {component} does not belong to this store or was changed")]
pub struct NotOursError {
    /// The component that the row speaks of.
    pub component: uuid::Uuid,
}
