//! What can be done with the public half of a key: the check of a signature before it leaves the signer.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use sealcard_api::algorithm::{ComponentAlgorithm, Curve, Scheme};
use sealcard_signer_protocol::{Input, PublicKeyBytes, SignerError};

use super::{KeyMismatchError, ecdsa, eddsa, rsa};

/// The public half of a key that signs, parsed and ready.
pub enum PublicKey {
    /// RSA.
    Rsa(rsa::VerifyingKey),
    /// ECDSA over a NIST curve.
    Ecdsa(ecdsa::VerifyingKey),
    /// Ed25519.
    Eddsa(eddsa::VerifyingKey),
}

impl PublicKey {
    /// Parses the public half of a key that signs.
    ///
    /// # Errors
    /// If it is not one of this algorithm, or the algorithm does not sign.
    pub fn parse(algorithm: ComponentAlgorithm, public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        Ok(match algorithm.scheme() {
            Scheme::Rsa { bits } => Self::Rsa(rsa::VerifyingKey::parse(bits, public)?),
            Scheme::Ecdsa(curve) => Self::Ecdsa(ecdsa::VerifyingKey::parse(curve, public)?),
            Scheme::Eddsa => Self::Eddsa(eddsa::VerifyingKey::parse(public)?),
            Scheme::Ecdh(_) => return Err(KeyMismatchError),
        })
    }

    /// Verifies the signature over a digest or message, in the form of
    /// [`sealcard_signer_protocol::ResponseBody::Signature`].
    ///
    /// # Errors
    /// [`SignerError::SelfCheckFailed`] if it does not verify or is not of that form.
    pub fn verify(&self, input: Input<'_>, signature: &[u8]) -> Result<(), SignerError> {
        match (self, input) {
            (Self::Rsa(key), Input::Digest(hash, digest)) => key.verify(hash, digest, signature),
            (Self::Ecdsa(key), Input::Digest(_, digest)) => key.verify(digest, signature),
            (Self::Eddsa(key), Input::Digest(_, message) | Input::Message(message)) => key.verify(message, signature),
            _ => Err(SignerError::SelfCheckFailed),
        }
    }
}

/// Whether a point, in the form of [`PublicKeyBytes::Ec`], may be given to a private key for key agreement: a NIST
/// curve's must be on it; Curve25519's must not be one of the few of small order (RFC 7748 section 6.1).
#[must_use]
pub fn is_fit_for_agreement(curve: Curve, point: &[u8]) -> bool {
    match curve {
        Curve::Ed25519 => false,
        // Every 32 bytes are a point (RFC 7748 section 5). The library refuses a secret of zeros, and those of small
        // order give it with every key, so also with one that was made just now.
        Curve::Cv25519 => PrivateKey::generate(&X25519)
            .is_ok_and(|key| agreement::agree(&key, UnparsedPublicKey::new(&X25519, point), (), |_| Ok(())).is_ok()),
        _ => ecdsa::VerifyingKey::parse(curve, &PublicKeyBytes::Ec { point: point.to_vec() }).is_ok(),
    }
}
