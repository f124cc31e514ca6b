//! The body of the fuzz target for keys that gpg exported.

use sealcard_api::algorithm::{ComponentAlgorithm, Curve, PublicKey};
use secrecy::SecretString;

use super::ExportedKey;

/// Reads a key and tries to open each of its secrets: nothing panics, and the public part is one that can be read.
pub fn exported_key(data: &[u8]) {
    let Ok(key) = ExportedKey::read(data) else { return };
    let (_, _) = (key.certificate(), key.user_id());
    let passphrase = SecretString::from("passphrase");
    let point = |curve: Curve| PublicKey::Ec { curve, point: vec![4; curve.point_len()].into() };
    for (fingerprint, _) in key.secrets() {
        for algorithm in ComponentAlgorithm::ALL {
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
