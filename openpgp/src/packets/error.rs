//! Why certificates can't be read.

use sealcard_api::import::LeftOut;
use thiserror::Error;

use super::FrameError;

/// Why a certificate can't be read. Retrying with the same input can't help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// Not what OpenPGP programs write.
    #[error("it is no OpenPGP data")]
    NotOpenPgp,
    /// A packet does not end where it should.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// The ASCII armor does not hold what it should.
    #[error("its ASCII armor is damaged")]
    Armor,
    /// It has a secret packet, understood or not.
    #[error("it holds secret keys")]
    Secret,
    /// It has something else than keys.
    #[error("it is a message or a signature, not a key")]
    NotAKey,
    /// There are several certificates.
    #[error("it holds {0} keys instead of one")]
    Several(usize),
    /// The primary key is not understood.
    #[error("its primary key can't be used, and so none of its subkeys: {0}")]
    Primary(LeftOut),
    /// No user id or other statement is signed by the primary key.
    #[error("nothing in it is signed by its primary key")]
    Unsigned,
    /// The library could not write it.
    #[error("it can't be written")]
    Write,
}
