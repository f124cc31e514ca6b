//! Why somebody was not let in, or a password or grant was not changed.

use super::{AuthorizationError, IssueError, PasswordError};
use crate::storage::StorageError;

/// Why a login, or a change of one's own password or of a grant, came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// What was sent can't be right; a sentence for a person. Retrying can't help.
    #[error("{0}")]
    Invalid(String),
    /// Programs have no password. Retrying can't help.
    #[error("a service account has no password")]
    NoPassword,
    /// There were wrong attempts before. Retrying helps after so many seconds.
    #[error("wait {0} seconds after wrong attempts")]
    TooSoon(u64),
    /// What was shown is wrong, or no longer valid; a sentence for a person, the same for all that must not be told
    /// apart.
    #[error("{0}")]
    WrongCredentials(&'static str),
    /// The password is right, and good for one login that replaces it.
    #[error("the one-time password must be replaced")]
    PasswordChangeRequired,
    /// There is no such grant. Retrying can't help.
    #[error("there is no such login")]
    NoSuchGrant,
    /// The password could not be checked or hashed. Retrying may help.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// No grant was issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The caller may not do it. Retrying can't help.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
