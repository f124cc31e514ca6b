//! Why configuration can't be used.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a folder or file of the configuration can't be used. Retrying helps in no case before a person acts.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Neither the environment nor the user database names a home folder.
    #[error("no home folder: HOME is not set and user {uid} has no entry in the user database")]
    NoHome {
        /// The user's number.
        uid: u32,
    },
    /// A path that must be absolute is not: programs started elsewhere would find another file.
    #[error("{what} must be an absolute path, but is {}", path.display())]
    Relative {
        /// Who named it, such as `SEALCARD_CONFIG_FOLDER`.
        what: String,
        /// The path.
        path: PathBuf,
    },
    /// A file or folder can't be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// Which one.
        path: PathBuf,
        /// What is wrong, with the line where it is known.
        reason: String,
    },
    /// Others may read a file that holds a secret.
    #[error(
        "others can read {} (mode {mode:03o}): it holds a secret; run `chmod 600 {}` and, if someone may have seen it, \
         `sealcard logout` and `sealcard login`", path.display(), path.display()
    )]
    Exposed {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file of the machine's login is open to more than its group may do.
    #[error(
        "{} (mode {mode:03o}) is open to others than its group's readers: run `chmod 640 {}` as root and, if \
         someone may \
         have changed or seen it, `sealcard login --machine`", path.display(), path.display()
    )]
    TooOpen {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may change a file or folder that decides which server is believed.
    #[error(
        "other users can change {} (mode {mode:03o}), and so which server is trusted: run `chmod go-w {}`",
        path.display(), path.display()
    )]
    Writable {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that must be one's own, or root's, belongs to someone else.
    #[error(
        "{} belongs to user {owner}, who could put anything there: run `chown` as root, or remove it",
        path.display()
    )]
    ForeignOwner {
        /// Which one.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
}

impl ConfigError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    pub(crate) fn invalid(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Invalid { path: path.into(), reason: reason.to_string() }
    }
}
