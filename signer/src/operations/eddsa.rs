//! Ed25519 (RFC 8032 section 5.1).

use aws_lc_rs::{
    encoding::{AsBigEndian as _, Curve25519SeedBin},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey},
};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};
use crate::protocol::{PublicKeyBytes, SignerError};

pub(super) fn generate() -> Result<GeneratedKey, GenerateError> {
    let pair = Ed25519KeyPair::generate()?;
    let seed: Curve25519SeedBin<'_> = pair.seed()?.as_be_bytes()?;
    Ok(GeneratedKey {
        public_key: PublicKeyBytes::Ec { point: pair.public_key().as_ref().to_vec() },
        private: Zeroizing::new(seed.as_ref().to_vec()),
    })
}

/// An Ed25519 key.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    pub(super) fn parse(private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let PublicKeyBytes::Ec { point } = public else {
            return Err(KeyMismatchError);
        };
        let pair = Ed25519KeyPair::from_seed_and_public_key(private, point)?;
        Ok(Self { pair, public: VerifyingKey::parse(public)? })
    }

    /// Signs a message (for OpenPGP the digest is the message: RFC 9580 section 5.2.3.3). `R || S`, 32 bytes each.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self.pair.try_sign(message).map_err(|_| SignerError::SelfCheckFailed)?;
        self.public.verify(message, signature.as_ref())?;
        Ok(signature.as_ref().to_vec())
    }
}

/// An Ed25519 key that verifies.
pub struct VerifyingKey(ParsedPublicKey);

impl VerifyingKey {
    pub(super) fn parse(public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        match public {
            PublicKeyBytes::Ec { point } => Ok(Self(ParsedPublicKey::new(&ED25519, point)?)),
            PublicKeyBytes::Rsa { .. } => Err(KeyMismatchError),
        }
    }

    /// Verifies a signature of a message: `R || S`, 32 bytes each.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignerError> {
        self.0.verify_sig(message, signature).map_err(|_| SignerError::SelfCheckFailed)
    }
}
