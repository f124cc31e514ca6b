//! What can be done with a private key.
//!
//! Cryptography is aws-lc-rs throughout. Each signature is verified with the public key of the sealed row before it is
//! given out: a fault during RSA-CRT would otherwise give the key away.

mod check;
mod ecdh;
mod ecdsa;
mod eddsa;
mod rsa;

pub use check::{check, input};

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use zeroize::Zeroizing;

use crate::protocol::{Operation, Plaintext, PublicKeyBytes, ResponseBody, SignerError};

/// A private key, parsed and ready.
pub enum PrivateKey {
    /// RSA, for signatures.
    RsaSign(rsa::SigningKey),
    /// RSA, for decryption.
    RsaDecrypt(rsa::DecryptionKey),
    /// ECDSA over P-256.
    Ecdsa(ecdsa::SigningKey),
    /// Ed25519.
    Eddsa(eddsa::SigningKey),
    /// ECDH over P-256 or Curve25519.
    Ecdh(ecdh::AgreementKey),
}

/// A new key.
pub struct GeneratedKey {
    /// The public half.
    pub public_key: PublicKeyBytes,
    /// The private half: PKCS#8 DER for RSA, the secret number or seed (32 bytes, as the algorithm's own standard writes
    /// it) for curves.
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
    if !fits(algorithm, role) {
        return Err(GenerateError::Mismatch { algorithm, role });
    }
    match algorithm {
        ComponentAlgorithm::Rsa4096 => rsa::generate(),
        ComponentAlgorithm::EcdsaP256 => ecdsa::generate(),
        ComponentAlgorithm::EddsaEd25519 => eddsa::generate(),
        ComponentAlgorithm::EcdhP256 => ecdh::generate(ecdh::Curve::P256),
        ComponentAlgorithm::EcdhCv25519 => ecdh::generate(ecdh::Curve::Cv25519),
    }
}

const fn fits(algorithm: ComponentAlgorithm, role: ComponentRole) -> bool {
    match algorithm {
        ComponentAlgorithm::Rsa4096 => true,
        ComponentAlgorithm::EcdsaP256 | ComponentAlgorithm::EddsaEd25519 => !matches!(role, ComponentRole::Decrypt),
        ComponentAlgorithm::EcdhP256 | ComponentAlgorithm::EcdhCv25519 => matches!(role, ComponentRole::Decrypt),
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
        Ok(match (algorithm, role) {
            (ComponentAlgorithm::Rsa4096, ComponentRole::Decrypt) => {
                Self::RsaDecrypt(rsa::DecryptionKey::parse(private, public_key)?)
            }
            (ComponentAlgorithm::Rsa4096, _) => Self::RsaSign(rsa::SigningKey::parse(private, public_key)?),
            (ComponentAlgorithm::EcdsaP256, _) => Self::Ecdsa(ecdsa::SigningKey::parse(private, public_key)?),
            (ComponentAlgorithm::EddsaEd25519, _) => Self::Eddsa(eddsa::SigningKey::parse(private, public_key)?),
            (ComponentAlgorithm::EcdhP256, _) => {
                Self::Ecdh(ecdh::AgreementKey::parse(ecdh::Curve::P256, private, public_key)?)
            }
            (ComponentAlgorithm::EcdhCv25519, _) => {
                Self::Ecdh(ecdh::AgreementKey::parse(ecdh::Curve::Cv25519, private, public_key)?)
            }
        })
    }

    /// Performs an operation that [`check`] allowed for the key's row.
    ///
    /// # Errors
    /// If the operation is not one of this kind of key, a ciphertext does not decrypt, or a signature does not verify.
    pub fn perform(&self, operation: &Operation) -> Result<ResponseBody, SignerError> {
        match (self, operation) {
            (
                Self::RsaSign(key),
                Operation::Sign { hash, digest }
                | Operation::Certify { hash, digest }
                | Operation::Authenticate { hash, digest },
            ) => key.sign(*hash, digest).map(ResponseBody::Signature),
            (
                Self::Ecdsa(key),
                Operation::Sign { digest, .. }
                | Operation::Certify { digest, .. }
                | Operation::Authenticate { digest, .. },
            ) => key.sign(digest).map(ResponseBody::Signature),
            (Self::Eddsa(key), Operation::Sign { digest, .. } | Operation::Certify { digest, .. }) => {
                key.sign(digest).map(ResponseBody::Signature)
            }
            (Self::Eddsa(key), Operation::AuthenticateSsh { message }) => {
                key.sign(message).map(ResponseBody::Signature)
            }
            (Self::RsaDecrypt(key), Operation::Decrypt { ciphertext }) => {
                key.decrypt(ciphertext).map(|plaintext| ResponseBody::Plaintext(Plaintext(plaintext)))
            }
            (Self::Ecdh(key), Operation::Decrypt { ciphertext }) => {
                key.agree(ciphertext).map(|secret| ResponseBody::Plaintext(Plaintext(secret)))
            }
            _ => Err(SignerError::Invalid(format!("this kind of key does not {}", operation.name()))),
        }
    }
}
