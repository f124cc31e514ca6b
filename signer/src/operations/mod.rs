//! What can be done with a private key.
//!
//! Cryptography is aws-lc-rs throughout. No signature is given out unchecked: one that a fault has
//! spoiled could give the key away (docs/decisions/aws-lc-rs.md).

pub mod checkpoint;
mod ecdh;
mod ecdsa;
mod eddsa;
mod public;
mod rsa;

pub use public::{PublicKey, is_fit_for_agreement};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Scheme};
use sealcard_signer_protocol::{Input, Plaintext, PublicKeyBytes, ResponseBody, SignerError};
use zeroize::Zeroizing;

/// A private key, parsed and ready.
pub enum PrivateKey {
    /// RSA, for signatures.
    RsaSign(rsa::SigningKey),
    /// RSA, for decryption.
    RsaDecrypt(rsa::DecryptionKey),
    /// ECDSA over a NIST curve.
    Ecdsa(ecdsa::SigningKey),
    /// Ed25519.
    Eddsa(eddsa::SigningKey),
    /// ECDH over a NIST curve or Curve25519.
    Ecdh(ecdh::AgreementKey),
}

/// A new key.
pub struct GeneratedKey {
    /// The public half.
    pub public_key: PublicKeyBytes,
    /// The private half: PKCS#8 DER for RSA, the secret number or seed (as wide as the curve, as the algorithm's own
    /// standard writes it) for curves.
    pub private: Zeroizing<Vec<u8>>,
}

/// Why there is no new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// Such as ECDH for signatures. Retrying can't help.
    #[error("a key with the algorithm {algorithm} can't have the role {role}")]
    Mismatch {
        /// The algorithm.
        algorithm: ComponentAlgorithm,
        /// The role.
        role: ComponentRole,
    },
    /// The cryptographic library failed. Retrying may help.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<aws_lc_rs::error::Unspecified> for GenerateError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Library
    }
}

/// The private bytes are not a key of this algorithm, or not the one of the public key. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private key of this algorithm and public key")]
pub struct KeyMismatchError;

impl From<aws_lc_rs::error::Unspecified> for KeyMismatchError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

impl From<aws_lc_rs::error::KeyRejected> for KeyMismatchError {
    fn from(_: aws_lc_rs::error::KeyRejected) -> Self {
        Self
    }
}

/// Makes a key. RSA takes seconds, the curves microseconds.
///
/// # Errors
/// If algorithm and role do not go together, or the library fails.
pub fn generate(algorithm: ComponentAlgorithm, role: ComponentRole) -> Result<GeneratedKey, GenerateError> {
    if !algorithm.fits(role) {
        return Err(GenerateError::Mismatch { algorithm, role });
    }
    match algorithm.scheme() {
        Scheme::Rsa { bits } => rsa::generate(bits),
        Scheme::Ecdsa(curve) => ecdsa::generate(curve),
        Scheme::Eddsa => eddsa::generate(),
        Scheme::Ecdh(curve) => ecdh::generate(curve),
    }
}

impl PrivateKey {
    /// Parses the private half of a key and checks that it belongs to the public half.
    ///
    /// # Errors
    /// If it does not.
    pub fn parse(
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
        private: &[u8],
        public_key: &PublicKeyBytes,
    ) -> Result<Self, KeyMismatchError> {
        if !algorithm.fits(role) {
            return Err(KeyMismatchError);
        }
        Ok(match algorithm.scheme() {
            Scheme::Rsa { bits } if role == ComponentRole::Decrypt => {
                Self::RsaDecrypt(rsa::DecryptionKey::parse(bits, private, public_key)?)
            }
            Scheme::Rsa { bits } => Self::RsaSign(rsa::SigningKey::parse(bits, private, public_key)?),
            Scheme::Ecdsa(curve) => Self::Ecdsa(ecdsa::SigningKey::parse(curve, private, public_key)?),
            Scheme::Eddsa => Self::Eddsa(eddsa::SigningKey::parse(private, public_key)?),
            Scheme::Ecdh(curve) => Self::Ecdh(ecdh::AgreementKey::parse(curve, private, public_key)?),
        })
    }

    /// Does what was allowed for the key's row ([`sealcard_signer_protocol::check`]).
    ///
    /// # Errors
    /// If this kind of key does not do that, a ciphertext does not decrypt, or a fault has spoiled a signature.
    pub fn perform(&self, input: Input<'_>) -> Result<ResponseBody, SignerError> {
        match (self, input) {
            (Self::RsaSign(key), Input::Digest(hash, digest)) => key.sign(hash, digest).map(ResponseBody::Signature),
            (Self::Ecdsa(key), Input::Digest(_, digest)) => key.sign(digest).map(ResponseBody::Signature),
            (Self::Eddsa(key), Input::Digest(_, message) | Input::Message(message)) => {
                key.sign(message).map(ResponseBody::Signature)
            }
            (Self::RsaDecrypt(key), Input::Ciphertext(ciphertext)) => {
                key.decrypt(ciphertext).map(|plaintext| ResponseBody::Plaintext(Plaintext(plaintext)))
            }
            (Self::Ecdh(key), Input::Ciphertext(ciphertext)) => {
                key.agree(ciphertext).map(|secret| ResponseBody::Plaintext(Plaintext(secret)))
            }
            _ => Err(SignerError::Invalid("this kind of key does not do that".into())),
        }
    }
}
