//! What comes of a question.

use thiserror::Error;

use crate::{KeyOperation, Role};

/// The answer to [`crate::decide`], with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    grounds: Vec<Ground>,
    denials: Vec<Denial>,
}

impl Decision {
    /// Whether the request may go on: at least one ground, and no denial.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.denials.is_empty() && !self.grounds.is_empty()
    }

    /// What speaks for the request.
    #[must_use]
    pub fn grounds(&self) -> &[Ground] {
        &self.grounds
    }

    /// What stands against it, the weightiest first.
    #[must_use]
    pub fn denials(&self) -> &[Denial] {
        &self.denials
    }

    /// Whether the key's state is what stands against it first: the caller has the right to know it then.
    #[must_use]
    pub fn is_about_the_key(&self) -> bool {
        use Denial::{KeyDestroyed, KeyDisabled, KeyExpired, KeyRevoked};
        matches!(self.denials.first(), Some(KeyDisabled | KeyRevoked | KeyDestroyed | KeyExpired))
    }

    /// All reasons as text for the record: the denials, or the grounds if there is no denial.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        if self.denials.is_empty() {
            self.grounds.iter().map(ToString::to_string).collect()
        } else {
            self.denials.iter().map(ToString::to_string).collect()
        }
    }

    pub(crate) fn ground(&mut self, ground: Ground) {
        self.grounds.push(ground);
    }

    pub(crate) fn deny(&mut self, denial: Denial) {
        self.denials.push(denial);
    }
}

/// A reason to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ground {
    /// A role in the project.
    #[error("the role {0} in the project")]
    Role(Role),
    /// The principal may administer the server.
    #[error("the right to administer the server")]
    Administrator,
    /// The environment holds, or may come to hold, keys of the principal's projects.
    #[error("keys in the environment")]
    KeysThere,
    /// The server's configuration allows it.
    #[error("the server's configuration")]
    Configuration,
    /// Nothing more than a valid grant is needed.
    #[error("a valid grant")]
    LoggedIn,
}

/// A reason to refuse. Asking again helps only after someone has changed the fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denial {
    /// The principal was removed.
    #[error("the account has been removed")]
    AccountRemoved,
    /// The principal is disabled.
    #[error("the account has been disabled")]
    AccountDisabled,
    /// The grant was revoked.
    #[error("the grant has been revoked")]
    GrantRevoked,
    /// The grant, or the token of it that was shown, has expired.
    #[error("the grant has expired")]
    GrantExpired,
    /// There is no such key.
    #[error("there is no such key")]
    UnknownKey,
    /// A role in the project is missing.
    #[error("the role {0} in the project is missing")]
    MissingRole(Role),
    /// No role in the project at all.
    #[error("not a member of the project")]
    NotAMember,
    /// Only administrators may.
    #[error("only administrators may do this")]
    NotAdministrator,
    /// The maker of the change would get the use of keys by it.
    #[error("you can't give yourself the use of keys: another owner of the project or administrator must do it")]
    SelfGrant,
    /// The environment holds no key that the principal could see.
    #[error("the environment holds no keys of yours")]
    ForeignEnvironment,
    /// The key is disabled.
    #[error("the key is disabled")]
    KeyDisabled,
    /// The key, or its component for the operation, was revoked.
    #[error("the key is revoked")]
    KeyRevoked,
    /// The key's private halves were destroyed.
    #[error("the key is destroyed")]
    KeyDestroyed,
    /// The time of the component for the operation is over.
    #[error("the key has expired")]
    KeyExpired,
    /// The key has nothing to do this with.
    #[error("the key has no component to {0} with")]
    NoComponent(KeyOperation),
}
