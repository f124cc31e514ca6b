//! Why signatures can't be made or read.

use sequoia_openpgp::anyhow;
use thiserror::Error;

use crate::certificate::CardCertificateError;

/// Why a signature could not be made or read. Retrying with the same input can't help.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// The key's certificate is not what it must be.
    #[error(transparent)]
    Certificate(#[from] CardCertificateError),
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

impl From<anyhow::Error> for SignatureError {
    fn from(error: anyhow::Error) -> Self {
        Self::Library(format!("{error:#}"))
    }
}
