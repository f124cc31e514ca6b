//! Certificates and exported keys: nothing secret gets out.

use data_encoding::BASE64;
use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, Curve, PublicKey},
};
use sealcard_openpgp::{ForeignCertificate, PublicCertificate};
use sealcard_openpgp_import::{ExportedKey, SecretState};
use sealcard_openpgp_testing::{Secrets, published};
use secrecy::SecretSlice;

/// Text, or packets put into armor, as a certificate to be imported by the server, with all of its keys.
///
/// # Panics
///
/// When a role is given twice, a secret would be stored, or input with one is not refused.
pub fn import_certificate(data: &[u8]) {
    let armored;
    let text = match std::str::from_utf8(data) {
        Ok(text) => text,
        Err(_) => {
            armored = format!(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{}\n-----END PGP PUBLIC KEY BLOCK-----\n",
                BASE64.encode(data)
            );
            &armored
        }
    };
    let secret = Secrets::of(data);
    let secrets: Vec<Fingerprint> = match PublicCertificate::read(data) {
        Ok(certificate) => certificate.keys().collect(),
        Err(_) => Vec::new(),
    };
    if let Ok(read) = ForeignCertificate::read(text, &secrets, Timestamp::from_unix(1_800_000_000)) {
        assert!(secret.is_empty(), "a certificate with a secret is taken");
        let stored = PublicCertificate::read(read.armored.as_bytes());
        assert!(stored.is_ok_and(|stored| !published(&stored).is_empty()), "what is stored can't be read");
        let roles: Vec<_> = read.keys.iter().map(|key| key.role).collect();
        assert!(roles.is_sorted_by(|a, b| a < b), "each role is given once, in order");
        assert!(read.keys.iter().all(|key| key.algorithm.fits(key.role)), "each key can do what it is for");
    }
}

/// A file as an exported key: reads it and tries to open each of its secrets. The server, given the same bytes, keeps
/// nothing secret either.
///
/// # Panics
///
/// When something secret is in what is published, in what is said of parts that are left out, or in an error.
pub fn import_exported_key(data: &[u8]) {
    let secrets = Secrets::of(data);
    if let Ok(certificate) = PublicCertificate::read(data) {
        assert!(!secrets.are_in_packets(&published(&certificate)), "the server would publish a secret");
    }
    let key = match ExportedKey::read(data) {
        Ok(key) => key,
        Err(error) => {
            assert!(!secrets.are_in(format!("{error} {error:?}").as_bytes()), "an error quotes a secret");
            return;
        }
    };
    assert!(!secrets.are_in_packets(&published(key.certificate())), "a secret is published");
    assert!(!secrets.are_in(key.user_id().as_bytes()), "a secret is shown as user id");
    for out in key.left_out() {
        assert!(!secrets.are_in(out.to_string().as_bytes()), "a secret is shown as left out");
    }
    let passphrase = SecretSlice::from(b"passphrase".to_vec());
    let point = |curve: Curve| PublicKey::Ec { curve, point: vec![4; curve.point_len()].into() };
    for (fingerprint, state) in key.secrets() {
        // To derive a key from a passphrase takes longer than all else: once is enough.
        let algorithms = match state {
            SecretState::Clear => ComponentAlgorithm::ALL.as_slice(),
            _ => &[ComponentAlgorithm::EddsaEd25519],
        };
        for algorithm in algorithms.iter().copied() {
            let public_key = match algorithm.curve() {
                Some(curve) => point(curve),
                None => PublicKey::Rsa { n: vec![0xC1; 256].into(), e: vec![1, 0, 1].into() },
            };
            let _ = key.secret(fingerprint, algorithm, &public_key, Some(&passphrase));
        }
    }
}
