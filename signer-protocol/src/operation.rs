//! What a key is asked to do.

use sealcard_api::algorithm::HashAlgorithm;
use serde::{Deserialize, Serialize};

use crate::sha256;

/// A use of a key, as a caller of the server asks for it. There is no "sign these bytes".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// A signature over data, with a key in the role `sign`.
    Sign {
        /// What made the digest.
        hash: HashAlgorithm,
        /// The digest.
        digest: Vec<u8>,
    },
    /// A login, with a key in the role `authenticate` (RSA and ECDSA, where only a digest is known).
    Authenticate {
        /// What made the digest.
        hash: HashAlgorithm,
        /// The digest.
        digest: Vec<u8>,
    },
    /// A message of ssh, with an Ed25519 key in the role `authenticate`. The signer refuses what
    /// [`sealcard_api::ssh::SshMessage`] does not know.
    AuthenticateSsh {
        /// The message.
        message: Vec<u8>,
    },
    /// Decryption, with a key in the role `decrypt`.
    Decrypt {
        /// RSA: as wide as the modulus. ECDH: the ephemeral point, in the form of [`crate::PublicKeyBytes::Ec`].
        ciphertext: Vec<u8>,
    },
}

impl Operation {
    /// The name as journal and record write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sign { .. } => "sign",
            Self::Authenticate { .. } => "authenticate",
            Self::AuthenticateSsh { .. } => "authenticate-ssh",
            Self::Decrypt { .. } => "decrypt",
        }
    }

    /// What it works on.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Sign { hash, digest } | Self::Authenticate { hash, digest } => Input::Digest(*hash, digest),
            Self::AuthenticateSsh { message } => Input::Message(message),
            Self::Decrypt { ciphertext } => Input::Ciphertext(ciphertext),
        }
    }
}

/// A self-signature or binding of a certificate, with a key in the role `certify`, or the back signature of a key in
/// the role `sign`. Only key management asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certification {
    /// What made the digest.
    pub hash: HashAlgorithm,
    /// The digest.
    pub digest: Vec<u8>,
}

impl Certification {
    /// The name as journal and record write it.
    pub const NAME: &str = "certify";

    /// What is signed.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        Input::Digest(self.hash, &self.digest)
    }
}

/// What a key works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// A digest to sign, and what made it.
    Digest(HashAlgorithm, &'a [u8]),
    /// A message to sign as it is: Ed25519 hashes it itself.
    Message(&'a [u8]),
    /// A ciphertext to decrypt or, with ECDH, a point to agree with.
    Ciphertext(&'a [u8]),
}

impl<'a> Input<'a> {
    /// The digest, message or ciphertext.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Digest(_, bytes) | Self::Message(bytes) | Self::Ciphertext(bytes) => bytes,
        }
    }

    /// What journal and record keep of it.
    #[must_use]
    pub fn sha256(self) -> [u8; 32] {
        sha256(self.bytes())
    }
}
