//! Rows of the database that were changed, swapped or come from elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer::{
    seal::{SealMethod, init},
    sealed::Store,
};
use sealcard_signer_protocol::{Input, PublicKeyBytes, StoredKey};
use uuid::Uuid;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signer");
    init(&path, &SealMethod::KeyFile(None)).unwrap();
    let store = Store::open(&path, None).unwrap();
    (folder, store)
}

fn key(store: &Store) -> StoredKey {
    store.generate(Uuid::now_v7(), ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign, None).unwrap()
}

/// The row opens, so it is in the cache, and its copies that were changed do not.
#[track_caller]
fn assert_bound(store: &Store, row: &StoredKey, change: impl FnOnce(&mut StoredKey)) {
    store.key(row).unwrap();
    let mut changed = row.clone();
    change(&mut changed);
    assert!(store.key(&changed).is_err());
    store.key(row).unwrap();
}

#[test]
fn every_byte_of_the_ciphertext_counts() {
    let (_folder, store) = store();
    let row = key(&store);
    for at in 0..row.handle.len() {
        for bit in [0x01, 0x80] {
            assert_bound(&store, &row, |row| row.handle[at] ^= bit);
        }
        assert_bound(&store, &row, |row| row.handle.truncate(at));
    }
    assert_bound(&store, &row, |row| row.handle.push(0));
}

#[test]
fn id_algorithm_role_and_public_key_are_bound() {
    let (_folder, store) = store();
    let (row, other) = (key(&store), key(&store));
    assert_bound(&store, &row, |row| row.component = other.component);
    assert_bound(&store, &row, |row| row.algorithm = ComponentAlgorithm::EcdhCv25519);
    for role in [ComponentRole::Certify, ComponentRole::Authenticate, ComponentRole::Decrypt] {
        assert_bound(&store, &row, |row| row.role = role);
    }
    assert_bound(&store, &row, |row| row.public_key = other.public_key.clone());
    assert_bound(&store, &row, |row| {
        let PublicKeyBytes::Ec { point } = &row.public_key else { panic!() };
        row.public_key = PublicKeyBytes::Rsa { n: point.clone(), e: vec![] };
    });
}

#[test]
fn one_keys_ciphertext_does_not_open_in_anothers_row() {
    let (_folder, store) = store();
    let (a, b) = (key(&store), key(&store));
    assert_bound(&store, &a, |row| row.handle.clone_from(&b.handle));
    // Nor do parts of it: the data key of one, the private key of the other.
    let middle = 1 + 8 + 12 + 32 + 16;
    assert_bound(&store, &a, |row| row.handle[..middle].copy_from_slice(&b.handle[..middle]));
    assert_bound(&store, &a, |row| row.handle[middle..].copy_from_slice(&b.handle[middle..]));
}

#[test]
fn another_store_opens_nothing() {
    let ((_f, ours), (_g, theirs)) = (store(), store());
    assert!(theirs.key(&key(&ours)).is_err());
}

#[test]
fn a_store_opens_its_keys_again_after_a_restart_and_holds_them_only_encrypted() {
    let (folder, store) = store();
    let row = key(&store);
    let message = || Input::Message(b"message");
    let signature = store.key(&row).unwrap().perform(message()).unwrap();
    #[cfg(feature = "failpoints")]
    {
        let private = store.private_bytes(&row).unwrap();
        assert_eq!(private.len(), 32);
        assert!(!row.handle.windows(16).any(|w| w == &private[..16]));
    }
    drop(store);
    let again = Store::open(&folder.path().join("signer"), None).unwrap();
    // Ed25519 has one signature for a message (RFC 8032 section 5.1.6).
    assert_eq!(again.key(&row).unwrap().perform(message()).unwrap(), signature);
}

#[test]
fn more_keys_than_the_cache_holds_all_work() {
    let (_folder, store) = store();
    let rows: Vec<StoredKey> = (0..300).map(|_| key(&store)).collect();
    for row in rows.iter().chain(rows.iter().rev()) {
        store.key(row).unwrap();
    }
}
