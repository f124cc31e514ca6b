//! Why rules were not changed.

use sealcard_api::key_rules::Diagnostic;

use crate::{authn::AuthorizationError, storage::StorageError};

/// Why rules or templates were not read or changed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The text has mistakes. Retrying the same can't help.
    #[error("the text has mistakes")]
    Invalid(Vec<Diagnostic>),
    /// There is nothing of this name, or the caller may not see it; a sentence for a person. Retrying can't help.
    #[error("{0}")]
    NotFound(String),
    /// Another change came between, or something else stands against it; a sentence for a person.
    #[error("{0}")]
    Conflict(String),
    /// The author may not do it any more. Retrying can't help.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A fault of this program.
    #[error("{0}")]
    Fault(&'static str),
}
