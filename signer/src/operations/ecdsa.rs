//! ECDSA over NIST P-256, P-384 and P-521 (FIPS 186-5 section 6.4).

use aws_lc_rs::{
    digest::{self, Digest},
    encoding::{AsBigEndian as _, EcPrivateKeyBin},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _, ParsedPublicKey,
    },
};
use sealcard_api::algorithm::Curve;
use sealcard_signer_protocol::{PublicKeyBytes, SignerError};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};

/// What the library needs to be told for a curve.
#[derive(Clone, Copy)]
struct Parameters {
    signing: &'static EcdsaSigningAlgorithm,
    verification: &'static EcdsaVerificationAlgorithm,
    /// The longest digest that is not longer than the order: a digest is brought to this one's length.
    digest: &'static digest::Algorithm,
}

/// `None` for curves that ECDSA does not use.
fn parameters(curve: Curve) -> Option<Parameters> {
    Some(match curve {
        Curve::NistP256 => Parameters {
            signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
            verification: &ECDSA_P256_SHA256_FIXED,
            digest: &digest::SHA256,
        },
        Curve::NistP384 => Parameters {
            signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
            verification: &ECDSA_P384_SHA384_FIXED,
            digest: &digest::SHA384,
        },
        Curve::NistP521 => Parameters {
            signing: &ECDSA_P521_SHA512_FIXED_SIGNING,
            verification: &ECDSA_P521_SHA512_FIXED,
            digest: &digest::SHA512,
        },
        Curve::Ed25519 | Curve::Cv25519 => return None,
    })
}

pub(super) fn generate(curve: Curve) -> Result<GeneratedKey, GenerateError> {
    let parameters = parameters(curve).ok_or(GenerateError::Library)?;
    let pair = EcdsaKeyPair::generate(parameters.signing)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    Ok(GeneratedKey {
        public_key: PublicKeyBytes::Ec { point: pair.public_key().as_ref().to_vec() },
        private: Zeroizing::new(private.as_ref().to_vec()),
    })
}

/// A key of a NIST curve for signatures.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    pub(super) fn parse(curve: Curve, private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let PublicKeyBytes::Ec { point } = public else {
            return Err(KeyMismatchError);
        };
        let parameters = parameters(curve).ok_or(KeyMismatchError)?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(parameters.signing, private, point)?;
        if pair.public_key().as_ref() != point {
            return Err(KeyMismatchError);
        }
        Ok(Self { pair, public: VerifyingKey::parse(curve, public)? })
    }

    /// Signs a digest. `r || s`, each as wide as the order.
    pub(super) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let digest = self.public.import(digest)?;
        let signature = self.pair.sign_digest(&digest).map_err(|_| SignerError::SelfCheckFailed)?;
        self.public.verify_imported(&digest, signature.as_ref())?;
        Ok(signature.as_ref().to_vec())
    }
}

/// A key of a NIST curve that verifies.
pub struct VerifyingKey {
    key: ParsedPublicKey,
    digest: &'static digest::Algorithm,
}

impl VerifyingKey {
    /// Also the check that a point lies on its curve.
    pub(super) fn parse(curve: Curve, public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let PublicKeyBytes::Ec { point } = public else {
            return Err(KeyMismatchError);
        };
        let parameters = parameters(curve).filter(|_| curve.has_form_of(point)).ok_or(KeyMismatchError)?;
        Ok(Self { key: ParsedPublicKey::new(parameters.verification, point)?, digest: parameters.digest })
    }

    /// Verifies a signature of a digest: `r || s`, each as wide as the order.
    pub(super) fn verify(&self, digest: &[u8], signature: &[u8]) -> Result<(), SignerError> {
        self.verify_imported(&self.import(digest)?, signature)
    }

    // ECDSA takes a number, whatever made it; the library wants to know which digest has that many bytes.
    fn import(&self, digest: &[u8]) -> Result<Digest, SignerError> {
        let number = to_width(digest, self.digest.output_len());
        Digest::import_less_safe(&number, self.digest).map_err(|_| SignerError::SelfCheckFailed)
    }

    fn verify_imported(&self, digest: &Digest, signature: &[u8]) -> Result<(), SignerError> {
        self.key.verify_digest_sig(digest, signature).map_err(|_| SignerError::SelfCheckFailed)
    }
}

/// The integer of a digest (FIPS 186-5 section 6.4.1 step 2): the leftmost bytes of a longer one, and zeros before a
/// shorter one. The orders of P-256 and P-384 are as wide as SHA-256 and SHA-384; that of P-521 is wider than any
/// digest, so nothing is cut there.
fn to_width(digest: &[u8], width: usize) -> Vec<u8> {
    let taken = digest.get(..width).unwrap_or(digest);
    let mut number = vec![0; width.saturating_sub(taken.len())];
    number.extend_from_slice(taken);
    number
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn long_digests_lose_their_right_end_and_short_ones_gain_zeros_on_the_left() {
        let long: Vec<u8> = (0..64).collect();
        for width in [32, 48, 64] {
            assert_eq!(to_width(&long, width), long[..width]);
            let short = to_width(&[7; 28], width);
            assert_eq!(short.len(), width);
            assert!(short[..width - 28].iter().all(|byte| *byte == 0));
            assert_eq!(short[width - 28..], [7; 28]);
        }
    }
}
