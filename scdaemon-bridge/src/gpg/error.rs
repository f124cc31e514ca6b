//! Why GnuPG did not do what it was asked.

use std::path::PathBuf;

use thiserror::Error;

use crate::{config::ConfigError, program::ProgramError};

/// Why GnuPG did not do what it was asked.
#[derive(Debug, Error)]
pub enum GpgError {
    /// A tool can't be run or failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// gpg-agent does not start. Retrying can't help before a person looked.
    #[error("gpg-agent does not start: {said}")]
    NoAgent {
        /// What was said of it.
        said: String,
    },
    /// A tool's answer is of an unknown form. Retrying can't help.
    #[error("`{command}` gave an unexpected answer: {answer}")]
    Unexpected {
        /// As a person would type it.
        command: String,
        /// What it wrote.
        answer: String,
    },
    /// gpg-agent went on running after it was told to stop. Retrying may help.
    #[error("gpg-agent for {} did not stop", home.display())]
    StillRuns {
        /// The GnuPG home.
        home: PathBuf,
    },
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] ConfigError),
}

impl GpgError {
    /// What to do next, for a person.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Program(error) => error.advice(),
            Self::NoAgent { .. } => Some("Run `gpg-connect-agent /bye` to see what it says."),
            Self::StillRuns { .. } => Some("Run `gpgconf --kill gpg-agent`, or end the gpg-agent yourself."),
            Self::Unexpected { .. } | Self::File(_) => None,
        }
    }
}
