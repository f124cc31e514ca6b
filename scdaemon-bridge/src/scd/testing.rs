//! Cards and a running daemon for tests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use sealcard_api::{
    Bytes, CardSerial, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, Curve, KeyAlgorithm, PublicKey},
    cards::{Card, CardList, Component},
    ids::{KeyId, ProjectId},
};
use uuid::Uuid;

/// Three cards, of Ed25519, P-256 and RSA. Their public keys are well-formed and nobody's.
pub(crate) fn sample_list() -> CardList {
    let cards = KeyAlgorithm::ALL.into_iter().enumerate().map(|(index, algorithm)| {
        let index = u8::try_from(index).unwrap();
        let keys = (1..=3).map(|slot| sample_key(algorithm, index, slot)).collect();
        card(index, algorithm, keys)
    });
    CardList { server_id: Uuid::from_u128(1), registry_version: 7, cards: cards.collect() }
}

/// A card with these public keys in its slots.
pub(crate) fn card(index: u8, algorithm: KeyAlgorithm, keys: Vec<PublicKey>) -> Card {
    let roles = [ComponentRole::Sign, ComponentRole::Decrypt, ComponentRole::Authenticate];
    let components = roles.into_iter().zip(keys).enumerate().map(|(slot, (role, public_key))| Component {
        role,
        algorithm: ComponentAlgorithm::of(algorithm, role),
        public_key,
        fingerprint: Fingerprint([0x10 * (index + 1) + u8::try_from(slot).unwrap(); 20]),
        created: Timestamp::from_unix(1_700_000_001 + i64::from(index)),
    });
    Card {
        key_id: KeyId(Uuid::from_u128(100 + u128::from(index))),
        name: format!("key-{algorithm}"),
        project_id: ProjectId(Uuid::from_u128(50)),
        project: "tools".to_owned(),
        serial: CardSerial::from_number(0xFE_1000_0001 + u64::from(index)).unwrap(),
        algorithm,
        user_id: "Release Signer <release@example.org>".to_owned(),
        fingerprint: Fingerprint([0xA0 + index; 20]),
        components: components.collect(),
        signatures: 12,
        expires: None,
        certificate: String::new(),
    }
}

fn sample_key(algorithm: KeyAlgorithm, index: u8, slot: u8) -> PublicKey {
    let seed = 0x10 * (index + 1) + slot;
    match (algorithm, slot) {
        (KeyAlgorithm::Rsa4096, _) => {
            PublicKey::Rsa { n: Bytes([&[0xC1][..], &[seed; 511]].concat()), e: Bytes(vec![1, 0, 1]) }
        }
        (KeyAlgorithm::NistP256, _) => {
            PublicKey::Ec { curve: Curve::NistP256, point: Bytes([&[4][..], &[seed; 64]].concat()) }
        }
        (KeyAlgorithm::Ed25519, 2) => PublicKey::Ec { curve: Curve::Cv25519, point: Bytes(vec![seed; 32]) },
        (KeyAlgorithm::Ed25519, _) => PublicKey::Ec { curve: Curve::Ed25519, point: Bytes(vec![seed; 32]) },
    }
}
