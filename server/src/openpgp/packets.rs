//! Key packets from public keys.

use std::time::SystemTime;

use sealcard_api::algorithm::{self as api, ComponentAlgorithm, Scheme};
use sealcard_signer_protocol::{PublicKeyBytes, StoredKey};
use sequoia_openpgp::{
    crypto::mpi::{MPI, PublicKey},
    packet::{
        Key,
        key::{Key4, KeyRole, PublicParts, UnspecifiedRole},
    },
    types::{Curve, HashAlgorithm, PublicKeyAlgorithm, SymmetricAlgorithm},
};

use super::CertificateError;

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

/// The packet of a component key's public half.
pub(super) fn key(
    sealed: &StoredKey,
    created: SystemTime,
) -> Result<Key4<PublicParts, UnspecifiedRole>, CertificateError> {
    let (id, mpis) = match (sealed.algorithm.scheme(), &sealed.public_key) {
        (Scheme::Rsa { .. }, PublicKeyBytes::Rsa { n, e }) => {
            (PublicKeyAlgorithm::RSAEncryptSign, PublicKey::RSA { e: MPI::new(e), n: MPI::new(n) })
        }
        (Scheme::Ecdsa(over), PublicKeyBytes::Ec { point }) => {
            (PublicKeyAlgorithm::ECDSA, PublicKey::ECDSA { curve: curve(over), q: MPI::new(point) })
        }
        (Scheme::Eddsa, PublicKeyBytes::Ec { point }) => {
            #[allow(deprecated)]
            let id = PublicKeyAlgorithm::EdDSA;
            (id, PublicKey::EdDSA { curve: Curve::Ed25519, q: MPI::new(&native(point)) })
        }
        (Scheme::Ecdh(over), PublicKeyBytes::Ec { point }) => {
            let (hash, sym) = kdf(over);
            let q = if over.is_nist() { MPI::new(point) } else { MPI::new(&native(point)) };
            (PublicKeyAlgorithm::ECDH, PublicKey::ECDH { curve: curve(over), q, hash, sym })
        }
        _ => {
            return Err(CertificateError::OpenPgp(format!("the public key is not one of {}", sealed.algorithm)));
        }
    };
    Ok(Key4::new(created, id, mpis)?)
}

/// The other way round: algorithm and public half of a key; `None` for what no component key can be.
pub(super) fn component<R: KeyRole>(key: &Key<PublicParts, R>) -> Option<(ComponentAlgorithm, PublicKeyBytes)> {
    if key.version() != 4 {
        return None;
    }
    let (algorithm, public_key) = match key.mpis() {
        PublicKey::RSA { e, n } => {
            let algorithm = match n.bits() {
                2048 => ComponentAlgorithm::Rsa2048,
                3072 => ComponentAlgorithm::Rsa3072,
                4096 => ComponentAlgorithm::Rsa4096,
                _ => return None,
            };
            return Some((algorithm, PublicKeyBytes::Rsa { n: n.value().to_vec(), e: e.value().to_vec() }));
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
    algorithm
        .curve()
        .is_some_and(|curve| curve.has_form_of(public_key))
        .then(|| (algorithm, PublicKeyBytes::Ec { point: public_key.to_vec() }))
}

/// A point in the curve's native form is marked by a leading 40 (RFC 9580 section 11.2.2).
fn native(point: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(point.len().saturating_add(1));
    marked.push(0x40);
    marked.extend_from_slice(point);
    marked
}
