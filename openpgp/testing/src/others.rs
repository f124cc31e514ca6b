//! What others do with a certificate: verify and encrypt, by a library that made nothing of it.

use sealcard_api::{Fingerprint, algorithm::HashAlgorithm};
use sequoia_openpgp::{
    Cert,
    crypto::{SessionKey, mpi},
    packet::{
        Key,
        key::{PublicParts, UnspecifiedRole},
    },
    parse::Parse as _,
    types::HashAlgorithm as Hash,
};

/// Whether `raw`, in the form of the wire contract, is a signature over a digest by the key with this fingerprint in a
/// certificate.
///
/// # Panics
///
/// When the certificate can't be read, has no such key, or the key does not sign.
#[must_use]
pub fn is_signature(certificate: &str, key: Fingerprint, hash: HashAlgorithm, digest: &[u8], raw: &[u8]) -> bool {
    let key = find(certificate, key);
    let (r, s) = raw.split_at(raw.len() / 2);
    let (r, s) = (mpi::MPI::new(r), mpi::MPI::new(s));
    let signature = match key.mpis() {
        mpi::PublicKey::RSA { .. } => mpi::Signature::RSA { s: mpi::MPI::new(raw) },
        mpi::PublicKey::ECDSA { .. } => mpi::Signature::ECDSA { r, s },
        mpi::PublicKey::EdDSA { .. } => mpi::Signature::EdDSA { r, s },
        other => panic!("{other:?} does not sign"),
    };
    let hash = match hash {
        HashAlgorithm::Sha224 => Hash::SHA224,
        HashAlgorithm::Sha256 => Hash::SHA256,
        HashAlgorithm::Sha384 => Hash::SHA384,
        HashAlgorithm::Sha512 => Hash::SHA512,
    };
    key.verify(&signature, hash, digest).is_ok()
}

/// A text encrypted to the RSA key with this fingerprint in a certificate, as wide as the modulus.
///
/// # Panics
///
/// When the certificate can't be read or has no such RSA key.
#[must_use]
pub fn encrypt_rsa(certificate: &str, key: Fingerprint, text: &[u8]) -> Vec<u8> {
    let key = find(certificate, key);
    let mpi::PublicKey::RSA { n, .. } = key.mpis() else { panic!("not RSA") };
    match key.encrypt(&SessionKey::from(text.to_vec())).unwrap() {
        mpi::Ciphertext::RSA { c } => c.value_padded(n.value().len()).unwrap().into_owned(),
        other => panic!("{other:?} is not of RSA"),
    }
}

fn find(certificate: &str, key: Fingerprint) -> Key<PublicParts, UnspecifiedRole> {
    let certificate = Cert::from_bytes(certificate).unwrap();
    let found = certificate.keys().find(|one| one.key().fingerprint().as_bytes() == key.0);
    found.unwrap().key().clone().role_into_unspecified()
}
