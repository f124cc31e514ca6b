//! OpenPGP certificates as Sealcard publishes them.
//!
//! A certificate that came from outside is never passed on as it came. [`PublicCertificate`] is built from parts that were
//! understood and that the primary key has signed; everything else is left out, and named in
//! [`PublicCertificate::left_out`]. The server reads with [`PublicCertificate::read`], which refuses input with any secret
//! packet. The workstation takes the secret packets out of an export itself and gives the rest to
//! [`PublicCertificate::from_parts`].
//!
//! Texts and errors hold no bytes of the input: a damaged packet may hold a secret where a name was expected.

mod armor;
mod certificate;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod part;
mod policy;
mod public_key;
mod signatures;

pub use armor::{Block, BlockKind, blocks};
pub use certificate::PublicCertificate;
pub use frames::{Frame, FrameError, frames};
pub use part::{Part, tag};
pub use policy::policy;
pub use public_key::{algorithm_name, fingerprint, public_part};

use sealcard_api::import::LeftOut;
use thiserror::Error;

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
