//! ECDSA over NIST P-256 (FIPS 186-5 section 6.4).

use aws_lc_rs::{
    digest::{self, Digest},
    encoding::{AsBigEndian as _, EcPrivateKeyBin},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
    },
};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};
use crate::protocol::{PublicKeyBytes, SignerError};

/// Width of the order in bytes.
const WIDTH: usize = 32;

pub(super) fn generate() -> Result<GeneratedKey, GenerateError> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let private: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes()?;
    Ok(GeneratedKey {
        public_key: PublicKeyBytes::Ec { point: pair.public_key().as_ref().to_vec() },
        private: Zeroizing::new(private.as_ref().to_vec()),
    })
}

/// A P-256 key for signatures.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: ParsedPublicKey,
}

impl SigningKey {
    pub(super) fn parse(private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let PublicKeyBytes::Ec { point } = public else {
            return Err(KeyMismatchError);
        };
        let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, private, point)?;
        if pair.public_key().as_ref() != point {
            return Err(KeyMismatchError);
        }
        Ok(Self { public: ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)?, pair })
    }

    /// Signs a digest. `r || s`, 32 bytes each.
    pub(super) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        // ECDSA takes 32 bytes, whatever made them; the library calls every 32 bytes SHA-256.
        let digest = Digest::import_less_safe(&to_order_width(digest), &digest::SHA256)
            .map_err(|_| SignerError::SelfCheckFailed)?;
        let signature = self.pair.sign_digest(&digest).map_err(|_| SignerError::SelfCheckFailed)?;
        self.public.verify_digest_sig(&digest, signature.as_ref()).map_err(|_| SignerError::SelfCheckFailed)?;
        Ok(signature.as_ref().to_vec())
    }
}

/// The integer of a digest (FIPS 186-5 section 6.4.1 step 2): the leftmost 256 bits of a longer one, and zeros before a
/// shorter one.
fn to_order_width(digest: &[u8]) -> [u8; WIDTH] {
    let taken = digest.get(..WIDTH).unwrap_or(digest);
    let mut out = [0; WIDTH];
    for (to, from) in out.iter_mut().rev().zip(taken.iter().rev()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn long_digests_lose_their_right_end_and_short_ones_gain_zeros_on_the_left() {
        let long: Vec<u8> = (0..64).collect();
        assert_eq!(to_order_width(&long)[..], long[..32]);
        let short = [7; 28];
        assert_eq!(to_order_width(&short)[..4], [0; 4]);
        assert_eq!(to_order_width(&short)[4..], short);
    }
}
