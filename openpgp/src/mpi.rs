//! Public keys and signatures of the wire contract in the numbers of OpenPGP, and back.

use std::time::SystemTime;

use sealcard_api::algorithm::{self as api, ComponentAlgorithm, ComponentRole, PublicKey as ApiKey, Scheme};
use sequoia_openpgp::{
    Result as OpenPgpResult,
    anyhow::anyhow,
    crypto::mpi::{MPI, PublicKey, Signature},
    packet::{
        Key,
        key::{Key4, KeyRole, PublicParts, UnspecifiedRole},
    },
    types::{Curve, HashAlgorithm, PublicKeyAlgorithm, SymmetricAlgorithm},
};
use thiserror::Error;

/// The public half of a component key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentKey {
    /// Its role.
    pub role: ComponentRole,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its public half.
    pub public_key: ApiKey,
}

impl ComponentKey {
    /// The key's packet.
    pub(crate) fn packet(&self, created: SystemTime) -> OpenPgpResult<Key4<PublicParts, UnspecifiedRole>> {
        let (id, mpis) = match (self.algorithm.scheme(), &self.public_key) {
            (Scheme::Rsa { .. }, ApiKey::Rsa { n, e }) => (
                PublicKeyAlgorithm::RSAEncryptSign,
                PublicKey::RSA { e: MPI::new(e.as_slice()), n: MPI::new(n.as_slice()) },
            ),
            (Scheme::Ecdsa(over), ApiKey::Ec { curve: of, point }) if over == *of => {
                (PublicKeyAlgorithm::ECDSA, PublicKey::ECDSA { curve: curve(over), q: MPI::new(point.as_slice()) })
            }
            (Scheme::Eddsa, ApiKey::Ec { curve: api::Curve::Ed25519, point }) => {
                #[allow(deprecated)]
                let id = PublicKeyAlgorithm::EdDSA;
                (id, PublicKey::EdDSA { curve: Curve::Ed25519, q: native(point.as_slice()) })
            }
            (Scheme::Ecdh(over), ApiKey::Ec { curve: of, point }) if over == *of => {
                let (hash, sym) = kdf(over);
                let q = if over.is_nist() { MPI::new(point.as_slice()) } else { native(point.as_slice()) };
                (PublicKeyAlgorithm::ECDH, PublicKey::ECDH { curve: curve(over), q, hash, sym })
            }
            _ => return Err(anyhow!("the public key is not one of {}", self.algorithm)),
        };
        Key4::new(created, id, mpis)
    }
}

/// Algorithm and public half of a key; `None` for what no component key can be.
pub(crate) fn component<R: KeyRole>(key: &Key<PublicParts, R>) -> Option<(ComponentAlgorithm, ApiKey)> {
    if key.version() != 4 {
        return None;
    }
    let (algorithm, point) = match key.mpis() {
        PublicKey::RSA { e, n } => {
            let algorithm = match n.bits() {
                2048 => ComponentAlgorithm::Rsa2048,
                3072 => ComponentAlgorithm::Rsa3072,
                4096 => ComponentAlgorithm::Rsa4096,
                _ => return None,
            };
            return Some((algorithm, ApiKey::Rsa { n: n.value().to_vec().into(), e: e.value().to_vec().into() }));
        }
        PublicKey::ECDSA { curve: Curve::NistP256, q } => (ComponentAlgorithm::EcdsaP256, q.value()),
        PublicKey::ECDSA { curve: Curve::NistP384, q } => (ComponentAlgorithm::EcdsaP384, q.value()),
        PublicKey::ECDSA { curve: Curve::NistP521, q } => (ComponentAlgorithm::EcdsaP521, q.value()),
        PublicKey::ECDH { curve: Curve::NistP256, q, .. } => (ComponentAlgorithm::EcdhP256, q.value()),
        PublicKey::ECDH { curve: Curve::NistP384, q, .. } => (ComponentAlgorithm::EcdhP384, q.value()),
        PublicKey::ECDH { curve: Curve::NistP521, q, .. } => (ComponentAlgorithm::EcdhP521, q.value()),
        PublicKey::EdDSA { curve: Curve::Ed25519, q } => {
            (ComponentAlgorithm::EddsaEd25519, q.value().strip_prefix(&[0x40])?)
        }
        PublicKey::ECDH { curve: Curve::Cv25519, q, .. } => {
            (ComponentAlgorithm::EcdhCv25519, q.value().strip_prefix(&[0x40])?)
        }
        _ => return None,
    };
    let curve = algorithm.curve().filter(|curve| curve.has_form_of(point))?;
    Some((algorithm, ApiKey::Ec { curve, point: point.to_vec().into() }))
}

/// A signer's answer that is no signature of the key's algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum WrongSignature {
    /// It can't be cut into two halves.
    #[error("it has a wrong length")]
    Length,
    /// Keys of this algorithm don't sign here.
    #[error("keys of this algorithm can't sign here")]
    Algorithm,
}

/// What a signer made with a key, as OpenPGP writes it (RFC 9580 sections 5.2.3.1 to 5.2.3.3).
pub(crate) fn signature_mpis<R: KeyRole>(key: &Key<PublicParts, R>, raw: &[u8]) -> Result<Signature, WrongSignature> {
    let halves = || match raw.split_at_checked(raw.len() / 2) {
        Some((r, s)) if !r.is_empty() && r.len() == s.len() => Ok((MPI::new(r), MPI::new(s))),
        _ => Err(WrongSignature::Length),
    };
    match key.mpis() {
        PublicKey::RSA { .. } => Ok(Signature::RSA { s: MPI::new(raw) }),
        PublicKey::ECDSA { .. } => halves().map(|(r, s)| Signature::ECDSA { r, s }),
        PublicKey::EdDSA { .. } => halves().map(|(r, s)| Signature::EdDSA { r, s }),
        _ => Err(WrongSignature::Algorithm),
    }
}

/// What an ECDH key is used with (RFC 9580 section 11.5): what gpg chooses, since keys that are recreated from a card's
/// data would get another fingerprint with any other choice.
const fn kdf(curve: api::Curve) -> (HashAlgorithm, SymmetricAlgorithm) {
    match curve {
        api::Curve::NistP256 | api::Curve::Cv25519 | api::Curve::Ed25519 => {
            (HashAlgorithm::SHA256, SymmetricAlgorithm::AES128)
        }
        api::Curve::NistP384 => (HashAlgorithm::SHA384, SymmetricAlgorithm::AES192),
        api::Curve::NistP521 => (HashAlgorithm::SHA512, SymmetricAlgorithm::AES256),
    }
}

const fn curve(curve: api::Curve) -> Curve {
    match curve {
        api::Curve::NistP256 => Curve::NistP256,
        api::Curve::NistP384 => Curve::NistP384,
        api::Curve::NistP521 => Curve::NistP521,
        api::Curve::Ed25519 => Curve::Ed25519,
        api::Curve::Cv25519 => Curve::Cv25519,
    }
}

/// A point in the curve's native form is marked by a leading 40 (RFC 9580 section 11.2.2).
fn native(point: &[u8]) -> MPI {
    MPI::new(&[&[0x40], point].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A public half of the right form; it need not be a point of the curve.
    fn public_key(algorithm: ComponentAlgorithm, seed: u8) -> ApiKey {
        match algorithm.scheme() {
            Scheme::Rsa { bits } => {
                let mut n = vec![seed; usize::from(bits / 8)];
                *n.first_mut().unwrap() |= 0x80;
                ApiKey::Rsa { n: n.into(), e: vec![1, 0, 1].into() }
            }
            _ => {
                let curve = algorithm.curve().unwrap();
                let mut point = vec![seed; curve.point_len()];
                if curve.is_nist() {
                    *point.first_mut().unwrap() = 4;
                }
                ApiKey::Ec { curve, point: point.into() }
            }
        }
    }

    fn packet(algorithm: ComponentAlgorithm, public_key: ApiKey) -> OpenPgpResult<Key<PublicParts, UnspecifiedRole>> {
        let key = ComponentKey { role: ComponentRole::Sign, algorithm, public_key };
        Ok(key.packet(SystemTime::UNIX_EPOCH)?.into())
    }

    proptest! {
        #[test]
        fn a_component_key_survives_its_packet(at in 0..ComponentAlgorithm::ALL.len(), seed: u8) {
            let algorithm = *ComponentAlgorithm::ALL.get(at).unwrap();
            let public_key = public_key(algorithm, seed);
            let packet = packet(algorithm, public_key.clone()).unwrap();
            prop_assert_eq!(component(&packet), Some((algorithm, public_key)));
        }

        #[test]
        fn a_public_key_of_another_algorithm_is_refused(
            one in prop::sample::select(ComponentAlgorithm::ALL.to_vec()),
            other in prop::sample::select(ComponentAlgorithm::ALL.to_vec()),
        ) {
            if one.curve() != other.curve() {
                prop_assert!(packet(one, public_key(other, 7)).is_err());
            }
        }

        #[test]
        fn signatures_of_curves_have_two_halves(raw in prop::collection::vec(any::<u8>(), 0..140)) {
            let key = packet(ComponentAlgorithm::EcdsaP256, public_key(ComponentAlgorithm::EcdsaP256, 7)).unwrap();
            let expected = !raw.is_empty() && raw.len() % 2 == 0;
            prop_assert_eq!(signature_mpis(&key, &raw).is_ok(), expected);
        }
    }

    #[test]
    fn keys_that_decrypt_make_no_signature() {
        let key = packet(ComponentAlgorithm::EcdhP256, public_key(ComponentAlgorithm::EcdhP256, 7)).unwrap();
        assert_eq!(signature_mpis(&key, &[7; 64]).err(), Some(WrongSignature::Algorithm));
    }
}
