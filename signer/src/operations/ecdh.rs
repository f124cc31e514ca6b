//! ECDH over NIST P-256 (SP 800-56A section 5.7.1.2) and Curve25519 (RFC 7748 section 6.1).

use aws_lc_rs::{
    agreement::{self, Algorithm, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519},
    encoding::{AsBigEndian as _, Curve25519SeedBin, EcPrivateKeyBin},
};
use zeroize::Zeroizing;

use super::{GenerateError, GeneratedKey, KeyMismatchError};
use crate::protocol::{PublicKeyBytes, SignerError};

/// A curve for key agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    Cv25519,
}

impl Curve {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::Cv25519 => &X25519,
        }
    }

    /// A public key's length in bytes: `04 || X || Y`, or the X coordinate alone.
    const fn point_len(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::Cv25519 => 32,
        }
    }
}

pub(super) fn generate(curve: Curve) -> Result<GeneratedKey, GenerateError> {
    let key = PrivateKey::generate(curve.algorithm())?;
    let private = match curve {
        Curve::P256 => {
            let bytes: EcPrivateKeyBin<'_> = key.as_be_bytes()?;
            Zeroizing::new(bytes.as_ref().to_vec())
        }
        Curve::Cv25519 => {
            let bytes: Curve25519SeedBin<'_> = key.as_be_bytes()?;
            Zeroizing::new(bytes.as_ref().to_vec())
        }
    };
    let point = key.compute_public_key()?.as_ref().to_vec();
    Ok(GeneratedKey { public_key: PublicKeyBytes::Ec { point }, private })
}

/// A key for key agreement.
pub struct AgreementKey {
    key: PrivateKey,
    curve: Curve,
}

impl AgreementKey {
    pub(super) fn parse(curve: Curve, private: &[u8], public: &PublicKeyBytes) -> Result<Self, KeyMismatchError> {
        let key = PrivateKey::from_private_key(curve.algorithm(), private)?;
        let point = key.compute_public_key()?.as_ref().to_vec();
        if *public != (PublicKeyBytes::Ec { point }) {
            return Err(KeyMismatchError);
        }
        Ok(Self { key, curve })
    }

    /// The X coordinate of the shared point, 32 bytes. Points that are not on the curve, compressed ones and those that
    /// give all zeros fail alike.
    pub(super) fn agree(&self, ephemeral: &[u8]) -> Result<Vec<u8>, SignerError> {
        if ephemeral.len() != self.curve.point_len() {
            return Err(SignerError::DecryptionFailed);
        }
        let peer = UnparsedPublicKey::new(self.curve.algorithm(), ephemeral);
        agreement::agree(&self.key, peer, SignerError::DecryptionFailed, |secret| Ok(secret.to_vec()))
    }
}
