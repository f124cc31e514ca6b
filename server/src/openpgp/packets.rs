//! Key packets from public keys.

use std::time::SystemTime;

use sealcard_api::algorithm::ComponentAlgorithm;
use sealcard_signer::protocol::{PublicKeyBytes, SealedKey};
use sequoia_openpgp::{
    crypto::mpi::{MPI, PublicKey},
    packet::key::{Key4, PublicParts, UnspecifiedRole},
    types::{Curve, HashAlgorithm, PublicKeyAlgorithm, SymmetricAlgorithm},
};

use super::CertificateError;

/// What an ECDH key is used with (RFC 9580 section 11.5). For both curves what gpg chooses, `03 01 08 07`: keys that
/// are recreated from a card's data would get another fingerprint with any other choice.
const KDF: (HashAlgorithm, SymmetricAlgorithm) = (HashAlgorithm::SHA256, SymmetricAlgorithm::AES128);

/// The packet of a component key's public half.
pub(super) fn key(
    sealed: &SealedKey,
    created: SystemTime,
) -> Result<Key4<PublicParts, UnspecifiedRole>, CertificateError> {
    use ComponentAlgorithm as A;
    let (hash, cipher) = KDF;
    let (id, mpis) = match (sealed.algorithm, &sealed.public_key) {
        (A::Rsa4096, PublicKeyBytes::Rsa { n, e }) => {
            (PublicKeyAlgorithm::RSAEncryptSign, PublicKey::RSA { e: MPI::new(e), n: MPI::new(n) })
        }
        (A::EcdsaP256, PublicKeyBytes::Ec { point }) => {
            (PublicKeyAlgorithm::ECDSA, PublicKey::ECDSA { curve: Curve::NistP256, q: MPI::new(point) })
        }
        (A::EcdhP256, PublicKeyBytes::Ec { point }) => (
            PublicKeyAlgorithm::ECDH,
            PublicKey::ECDH { curve: Curve::NistP256, q: MPI::new(point), hash, sym: cipher },
        ),
        (A::EddsaEd25519, PublicKeyBytes::Ec { point }) => {
            #[allow(deprecated)]
            let id = PublicKeyAlgorithm::EdDSA;
            (id, PublicKey::EdDSA { curve: Curve::Ed25519, q: MPI::new(&native(point)) })
        }
        (A::EcdhCv25519, PublicKeyBytes::Ec { point }) => (
            PublicKeyAlgorithm::ECDH,
            PublicKey::ECDH { curve: Curve::Cv25519, q: MPI::new(&native(point)), hash, sym: cipher },
        ),
        (algorithm, _) => {
            return Err(CertificateError::OpenPgp(format!("the public key is not one of {algorithm}")));
        }
    };
    Ok(Key4::new(created, id, mpis)?)
}

/// A point in the curve's native form is marked by a leading 40 (RFC 9580 section 11.2.2).
fn native(point: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(point.len().saturating_add(1));
    marked.push(0x40);
    marked.extend_from_slice(point);
    marked
}
