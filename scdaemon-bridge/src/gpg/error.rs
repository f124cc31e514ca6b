//! Why GnuPG did not do what it was asked.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::config::ConfigError;

/// Why GnuPG did not do what it was asked.
#[derive(Debug, Error)]
pub enum GpgError {
    /// A tool is not installed. Retrying helps after it is.
    #[error("{program} is not installed or can't be started: {source}")]
    Start {
        /// Such as `gpg`.
        program: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A tool failed. Whether retrying helps depends on what it says.
    #[error("`{command}` failed: {message}")]
    Failed {
        /// As a person would type it.
        command: String,
        /// The last lines that it wrote to its standard error.
        message: String,
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
