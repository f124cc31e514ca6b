//! Why an approval was not asked for, decided or ended.

use sealcard_api::approvals::ApprovalState;

use crate::{authn::AuthorizationError, storage::StorageError};

/// Why an approval was not asked for, decided or ended. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// There is none of this id that the caller may see. Retrying can't help.
    #[error("there is no such approval")]
    NotFound,
    /// It was changed since the caller saw it. Looking again helps.
    #[error("the approval {0} has changed since you saw it")]
    Changed(String),
    /// Nothing can be decided about it any more. Retrying can't help.
    #[error("the approval {0} is over")]
    Over(String, ApprovalState),
    /// The caller is not the one to decide. The text says why and who is.
    #[error("{0}")]
    NotYours(String),
    /// What is asked for is not possible; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// What is asked for stands against the present state; the text says what to do first.
    #[error("{0}")]
    Conflict(String),
    /// The caller may not do that any more.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
