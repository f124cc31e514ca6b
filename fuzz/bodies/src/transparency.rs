//! The formats of the Merkle log.

use sealcard_transparency::{
    AddCheckpoint, Answer, Checkpoint, Frontier, KeyType, Leaf, Note, Receipt, Resource, TrustPolicy, VerifierKey,
    encode_bundle, parse_bundle,
};

/// A signed note, and the text of a key.
///
/// # Panics
///
/// When a note or key is another one after it was written.
pub fn transparency_note(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data, "a note survives its text");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "a key has one form");
        assert!(key.message("text\n", 0).is_some() == (key.key_type() == KeyType::Ed25519), "others sign checkpoints");
    }
}

/// The text of a checkpoint.
///
/// # Panics
///
/// When a checkpoint is another one after it was written.
pub fn transparency_checkpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text, "a checkpoint has one form");
    }
}

/// A receipt.
///
/// # Panics
///
/// When a receipt is another one after it was written.
pub fn transparency_receipt(data: &[u8]) {
    if let Ok(receipt) = Receipt::parse(data) {
        assert_eq!(receipt.to_string().as_bytes(), data, "a receipt has one form");
    }
}

/// A trust policy, which is asked about an unsigned checkpoint.
///
/// # Panics
///
/// When an unsigned checkpoint is trusted.
pub fn transparency_policy(data: &[u8]) {
    let Ok(policy) = TrustPolicy::parse(data) else { return };
    let text = "log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".to_owned();
    if let Ok(unsigned) = Note::new(text) {
        assert!(policy.check(&unsigned).is_err(), "a log must have signed");
    }
}

/// The files of a log: a bundle of entries, an entry, a path, a frontier.
///
/// # Panics
///
/// When one of them is another one after it was written.
pub fn transparency_tiles(data: &[u8]) {
    if let Ok(entries) = parse_bundle(data) {
        assert_eq!(encode_bundle(&entries).as_deref(), Ok(data), "a bundle has one form");
    }
    if let Ok(leaf) = Leaf::parse(data) {
        assert_eq!(leaf.to_bytes(), data, "an entry has one form");
    }
    if let Some(frontier) = Frontier::from_bytes(data) {
        assert_eq!(frontier.to_bytes(), data, "a frontier has one form");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(resource) = text.parse::<Resource>() {
        assert_eq!(resource.to_string(), text, "a path has one form");
    }
}

/// What a log asks a witness, and what that answers. Bytes that begin with a digit are an answer: a status of three
/// digits, then the body.
///
/// # Panics
///
/// When a request is another one after it was written.
pub fn transparency_witness(data: &[u8]) {
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(request.to_string().as_bytes(), data, "a request has one form");
    }
    let Some((status, body)) = data.split_first_chunk::<3>() else { return };
    if let Some(status) = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok()) {
        let _ = Answer::parse(status, body);
    }
}
