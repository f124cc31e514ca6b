//! ECDH over NIST P-256, P-384 and P-521 (SP 800-56A section 5.7.1.2) and Curve25519 (RFC 7748 section 6.1).

use aws_lc_rs::{
    agreement::{self, Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey, X25519},
    encoding::{AsBigEndian as _, Curve25519SeedBin, EcPrivateKeyBin},
};
use sealcard_api::algorithm::Curve;
use sealcard_signer_protocol::{PublicKeyBytes, SignerError};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};

/// `None` for Ed25519, which only signs.
fn algorithm(curve: Curve) -> Option<&'static Algorithm> {
    match curve {
        Curve::NistP256 => Some(&ECDH_P256),
        Curve::NistP384 => Some(&ECDH_P384),
        Curve::NistP521 => Some(&ECDH_P521),
        Curve::Cv25519 => Some(&X25519),
        Curve::Ed25519 => None,
    }
}

pub(super) fn generate(curve: Curve) -> Result<GeneratedKey, GenerateError> {
    let key = PrivateKey::generate(algorithm(curve).ok_or(GenerateError::Library)?)?;
    let private = if curve == Curve::Cv25519 {
        let bytes: Curve25519SeedBin<'_> = key.as_be_bytes()?;
        Zeroizing::new(bytes.as_ref().to_vec())
    } else {
        let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes()?;
        Zeroizing::new(bytes.as_ref().to_vec())
    };
    let point = key.compute_public_key()?.as_ref().to_vec();
    Ok(GeneratedKey { public_key: PublicKeyBytes::Ec { point }, private })
}

/// A key for key agreement.
pub struct AgreementKey {
    key: PrivateKey,
    algorithm: &'static Algorithm,
    curve: Curve,
}

impl AgreementKey {
    pub(super) fn parse(curve: Curve, private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let algorithm = algorithm(curve).ok_or(KeyMismatchError)?;
        let key = PrivateKey::from_private_key(algorithm, private)?;
        let point = key.compute_public_key()?.as_ref().to_vec();
        if *public != (PublicKeyBytes::Ec { point }) {
            return Err(KeyMismatchError);
        }
        Ok(Self { key, algorithm, curve })
    }

    /// The X coordinate of the shared point, as wide as the field. Points that are not on the curve, compressed ones
    /// and those that give all zeros fail alike.
    pub(super) fn agree(&self, ephemeral: &[u8]) -> Result<Vec<u8>, SignerError> {
        if !self.curve.has_form_of(ephemeral) {
            return Err(SignerError::DecryptionFailed);
        }
        let peer = UnparsedPublicKey::new(self.algorithm, ephemeral);
        agreement::agree(&self.key, peer, SignerError::DecryptionFailed, |secret| Ok(secret.to_vec()))
    }
}
