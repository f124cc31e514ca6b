//! Signing checkpoints: a note with a signature of Ed25519 and one of ML-DSA-44, both by the log's name.

use std::time::{SystemTime, UNIX_EPOCH};

use sealcard_signer_protocol::{LogHead, SignerError};
use sealcard_transparency::{
    Checkpoint, Hash, KeyName, KeyType, Note, SEED_LENGTH, SeedSigner, Signer as _, TreeHead, sign,
};
use zeroize::Zeroizing;

use super::{GenerateError, KeyMismatchError};
use crate::crypto;

/// What the two private keys grow from. Wiped when dropped.
pub struct Seeds {
    ed25519: Zeroizing<[u8; SEED_LENGTH]>,
    ml_dsa_44: Zeroizing<[u8; SEED_LENGTH]>,
}

impl Seeds {
    /// New ones.
    ///
    /// # Errors
    /// If the library fails.
    pub fn generate() -> Result<Self, GenerateError> {
        let random = || crypto::random().map_err(|_| GenerateError::Library);
        Ok(Self { ed25519: random()?, ml_dsa_44: random()? })
    }

    /// The bytes that are sealed: one after the other.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Of the length that it needs: growing would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * SEED_LENGTH));
        bytes.extend_from_slice(self.ed25519.as_slice());
        bytes.extend_from_slice(self.ml_dsa_44.as_slice());
        bytes
    }

    /// Reads what [`Seeds::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ed25519, rest) = bytes.split_first_chunk()?;
        Some(Self { ed25519: Zeroizing::new(*ed25519), ml_dsa_44: Zeroizing::new(rest.try_into().ok()?) })
    }
}

/// The keys of a log, ready to sign its checkpoints.
pub struct CheckpointKey {
    origin: String,
    ed25519: SeedSigner,
    ml_dsa_44: SeedSigner,
}

impl CheckpointKey {
    /// The keys of the log with this origin.
    ///
    /// # Errors
    /// If that is no origin, or the library fails.
    pub fn new(origin: &str, seeds: &Seeds) -> Result<Self, KeyMismatchError> {
        let name: KeyName = origin.parse().map_err(|_| KeyMismatchError)?;
        let signer = |key_type, seed| SeedSigner::new(name.clone(), key_type, seed).map_err(|_| KeyMismatchError);
        let ed25519 = signer(KeyType::Ed25519, &seeds.ed25519)?;
        let ml_dsa_44 = signer(KeyType::MlDsa44, &seeds.ml_dsa_44)?;
        Ok(Self { origin: origin.to_owned(), ed25519, ml_dsa_44 })
    }

    /// The public keys of Ed25519 and ML-DSA-44.
    #[must_use]
    pub fn public_keys(&self) -> (&[u8], &[u8]) {
        (self.ed25519.key().key(), self.ml_dsa_44.key().key())
    }

    /// The text of the note that says this of the log. It is formed here, so that nothing else is ever signed.
    ///
    /// # Errors
    /// If there can be no such log.
    pub fn text(&self, head: LogHead) -> Result<String, SignerError> {
        let tree = TreeHead { size: head.size, root: Hash(head.root) };
        let checkpoint = Checkpoint::new(&self.origin, tree);
        checkpoint.map(|checkpoint| checkpoint.to_string()).map_err(|error| SignerError::Invalid(error.to_string()))
    }

    /// The note with both signatures, each verified: one that a fault has spoiled could give the key away.
    ///
    /// # Errors
    /// If the library fails or a signature is wrong.
    pub fn sign(&self, text: String) -> Result<String, SignerError> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut signatures = Vec::with_capacity(2);
        for key in [&self.ed25519, &self.ml_dsa_44] {
            signatures.push(sign(&text, time, key).map_err(|_| SignerError::SelfCheckFailed)?);
        }
        let mut note = Note::new(text).map_err(|error| SignerError::Invalid(error.to_string()))?;
        for signature in signatures {
            note.add(signature).map_err(|error| SignerError::Invalid(error.to_string()))?;
        }
        Ok(note.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_transparency::VerifierKey;

    use super::*;

    #[test]
    fn note_has_a_signature_of_each_of_the_two_keys() {
        let seeds = Seeds::generate().unwrap();
        let key = CheckpointKey::new("example.org/log", &seeds).unwrap();
        let text = key.text(LogHead { size: 3, root: [7; 32] }).unwrap();
        assert_eq!(text, "example.org/log\n3\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n");
        let note = Note::parse(key.sign(text.clone()).unwrap().as_bytes()).unwrap();
        assert_eq!((note.text(), note.signatures().len()), (text.as_str(), 2));
        let again = CheckpointKey::new("example.org/log", &Seeds::from_bytes(&seeds.to_bytes()).unwrap()).unwrap();
        let (ed25519, ml_dsa_44) = again.public_keys();
        let name: KeyName = "example.org/log".parse().unwrap();
        let keys = [
            VerifierKey::new(name.clone(), KeyType::Ed25519, ed25519).unwrap(),
            VerifierKey::new(name, KeyType::MlDsa44, ml_dsa_44).unwrap(),
        ];
        let times: Vec<bool> = note.verify(&keys).unwrap().iter().map(|verified| verified.time.is_some()).collect();
        assert_eq!(times, [false, true]);
    }

    #[test]
    fn what_is_no_log_is_not_signed() {
        let key = CheckpointKey::new("example.org/log", &Seeds::generate().unwrap()).unwrap();
        for head in [LogHead { size: 0, root: [7; 32] }, LogHead { size: 1 << 63, root: [7; 32] }] {
            assert!(matches!(key.text(head), Err(SignerError::Invalid(_))));
        }
        assert!(CheckpointKey::new("two words", &Seeds::generate().unwrap()).is_err());
        assert!(Seeds::from_bytes(&[0; 63]).is_none() && Seeds::from_bytes(&[0; 65]).is_none());
    }
}
