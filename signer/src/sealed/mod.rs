//! How private keys are kept.
//!
//! Each private key is encrypted with AES-256-GCM under a data key of its own, and the data key with AES-256-GCM under
//! the master key. Associated data of both binds component id, algorithm, role, public key and the format's version, so
//! a row of the database can be neither changed nor put in another's place. The form of [`StoredKey::handle`]:
//!
//! ```text
//! 01 · wrapped data key (12 nonce, 32, 16 tag) · private key (12 nonce, n, 16 tag)
//! ```

mod cache;
mod format;
mod store;

use sealcard_signer_protocol::StoredKey;
pub use store::{Store, StoreError};

/// The sealed key does not open: another store's, damaged, or changed. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed key of {component} does not belong to this store or was changed")]
pub struct NotOursError {
    /// The component that the row speaks of.
    pub component: uuid::Uuid,
}

impl NotOursError {
    const fn of(key: &StoredKey) -> Self {
        Self { component: key.component }
    }
}
