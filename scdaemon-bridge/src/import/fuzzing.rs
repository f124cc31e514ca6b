//! The body of the fuzz target for keys that gpg exported.

use sealcard_api::algorithm::{ComponentAlgorithm, Curve, PublicKey};
use sealcard_openpgp::{
    PublicCertificate,
    fuzzing::{Secrets, published},
};
use secrecy::SecretSlice;

use super::{ExportedKey, SecretState};

/// Reads a key and tries to open each of its secrets: nothing panics, and nothing secret is in what is published, in
/// what is said of parts that are left out, or in an error. The server, given the same bytes, keeps nothing secret
/// either.
pub fn exported_key(data: &[u8]) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzz_corpus_runs() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/import_exported_key");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 2);
        for file in files {
            exported_key(&std::fs::read(file).unwrap());
        }
    }
}
