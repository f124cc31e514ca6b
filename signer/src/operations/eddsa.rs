//! Ed25519 (RFC 8032 section 5.1).

use aws_lc_rs::{
    encoding::{AsBigEndian as _, Curve25519SeedBin},
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey},
};
use sealcard_signer_protocol::{PublicKeyBytes, SignerError};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};

pub(super) fn generate() -> Result<GeneratedKey, GenerateError> {
    let pair = Ed25519KeyPair::generate()?;
    let seed: Curve25519SeedBin<'_> = pair.seed()?.as_be_bytes()?;
    Ok(GeneratedKey {
        public_key: PublicKeyBytes::Ec { point: pair.public_key().as_ref().to_vec() },
        private: Zeroizing::new(seed.as_ref().to_vec()),
    })
}

/// An Ed25519 key, twice in memory: signatures are made with both and compared. A signature that a fault has spoiled,
/// in the computation or in one of the two, would give the key away to whoever sees it and a right one of the same
/// message.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    second: Ed25519KeyPair,
}

impl SigningKey {
    pub(super) fn parse(private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let PublicKeyBytes::Ec { point } = public else {
            return Err(KeyMismatchError);
        };
        let parse = || Ed25519KeyPair::from_seed_and_public_key(private, point);
        Ok(Self { pair: parse()?, second: parse()? })
    }

    /// Signs a message (for OpenPGP the digest is the message: RFC 9580 section 5.2.3.3). `R || S`, 32 bytes each.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = self.pair.try_sign(message).map_err(|_| SignerError::SelfCheckFailed)?;
        let second = self.second.try_sign(message).map_err(|_| SignerError::SelfCheckFailed)?;
        if signature.as_ref() != second.as_ref() {
            return Err(SignerError::SelfCheckFailed);
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_that_two_computations_do_not_agree_on_stays_here() {
        let key = || {
            let made = generate().unwrap();
            SigningKey::parse(&made.private, &made.public_key).unwrap()
        };
        let (one, other) = (key(), key());
        assert_eq!(one.sign(b"message").unwrap().len(), 64);
        let spoiled = SigningKey { pair: one.pair, second: other.second };
        assert!(matches!(spoiled.sign(b"message"), Err(SignerError::SelfCheckFailed)));
    }
}
