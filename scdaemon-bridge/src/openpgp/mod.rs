//! OpenPGP signatures of files, made and verified without gpg. Only the `sealcard` command links this.
//!
//! [`SigningKey`] is what a card says of its signing key; a [`Draft`] is a signature that lacks only what the server
//! makes; [`received`] reads what the server says is a card's certificate; [`verify_detached`] and [`verify_inline`]
//! judge signatures by certificates that are at hand.

mod cleartext;
mod draft;
mod key;
mod received;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
mod verify;

pub use cleartext::Cleartext;
pub use draft::{Draft, Form};
pub use key::SigningKey;
pub use received::received;
pub use verify::{Certificates, Judgement, Verdict, verify_detached, verify_inline};

use thiserror::Error;

/// Why a signature could not be made or read. Retrying with the same input can't help.
#[derive(Debug, Error)]
pub enum OpenPgpError {
    /// The key's certificate is not what it must be.
    #[error("the certificate of {name} can't be used: {reason}")]
    Certificate {
        /// The key's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The server gave something that is no signature by the key.
    #[error("the server's answer is no signature by the key: {0}")]
    WrongAnswer(String),
    /// There is no signature where one was expected.
    #[error("no OpenPGP signature is in it: {0}")]
    NoSignature(String),
    /// The content can't be read.
    #[error("can't read the content: {0}")]
    Io(#[from] std::io::Error),
    /// The library refuses.
    #[error("{0}")]
    Library(String),
}

impl From<anyhow::Error> for OpenPgpError {
    fn from(error: anyhow::Error) -> Self {
        Self::Library(format!("{error:#}"))
    }
}
