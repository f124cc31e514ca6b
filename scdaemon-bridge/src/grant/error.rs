//! Why a grant can't be kept.

use thiserror::Error;

use crate::config::ConfigError;

/// Why the grant can't be read or written.
#[derive(Debug, Error)]
pub enum GrantError {
    /// The file can't be used. Retrying helps after a person acted.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// There is no keyring to speak to. Retrying helps once the person's session has one.
    #[error("the system's keyring can't be reached: {0}")]
    NoKeyring(String),
    /// The keyring is locked, or did not answer in time: it may be asking for its password. Retrying helps once it is
    /// unlocked.
    #[error("the system's keyring is locked")]
    Locked,
    /// The keyring refused. Retrying may help.
    #[error("the system's keyring failed: {0}")]
    Keyring(String),
    /// What is stored is no grant. Retrying helps after `sealcard login`.
    #[error("the stored grant can't be understood: {0}")]
    Invalid(String),
    /// This program is ending. Retrying can't help.
    #[error("this program is ending")]
    Stopped,
}

impl GrantError {
    /// What to do next, for a person.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::NoKeyring(_) => Some(
                "Log in to your desktop session, or run `sealcard login --grant-file` to keep the grant in a file \
                 instead.",
            ),
            Self::Locked => {
                Some("Unlock the keyring and try again, or run `sealcard login --grant-file` to do without it.")
            }
            Self::Keyring(_) | Self::Invalid(_) => Some("Run `sealcard login`."),
            Self::File(_) | Self::Stopped => None,
        }
    }
}
