//! Why a change of the directory was not made.

use sealcard_policy::Decision;

use crate::{authn::AuthorizationError, storage::StorageError};

/// Why a change of the directory was not made. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is nothing of this name or id; a sentence for a person. Retrying can't help.
    #[error("{0}")]
    NotFound(String),
    /// A rule stands against it; a sentence for a person. Retrying can't help.
    #[error("{0}")]
    Conflict(String),
    /// Policy denies it. Retrying can't help.
    #[error("denied: {}", .0.reasons().join("; "))]
    Denied(Decision),
    /// The author may not do it any more. Retrying can't help.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The name is taken, or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
