//! A card as a server lists it.

use sealcard_api::{
    CardSerial, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, Curve, KeyAlgorithm, PublicKey},
    cards::Card,
    ids::{KeyId, ProjectId},
    keys::{Component, KeyState},
};
use sequoia_openpgp::{Cert, Fingerprint as OfLibrary};

/// A card with the key `signs` of `cert` in its slot for signatures, and with this text as its certificate.
pub(crate) fn card(cert: &Cert, signs: &OfLibrary, certificate: String) -> Card {
    let fingerprint = |of: &OfLibrary| Fingerprint(of.as_bytes().try_into().unwrap());
    Card {
        key_id: KeyId::new(),
        name: "tags".to_owned(),
        project_id: ProjectId::new(),
        project: "release".to_owned(),
        serial: CardSerial::from_number(1).unwrap(),
        algorithm: KeyAlgorithm::Ed25519,
        user_id: "Owner <owner@example.org>".to_owned(),
        fingerprint: fingerprint(&cert.fingerprint()),
        components: vec![Component {
            role: ComponentRole::Sign,
            algorithm: ComponentAlgorithm::EddsaEd25519,
            public_key: PublicKey::Ec { curve: Curve::Ed25519, point: vec![7; 32].into() },
            fingerprint: fingerprint(signs),
            created: Timestamp::from_unix(1_700_000_000),
            expires: None,
            revoked: false,
        }],
        signatures: 0,
        state: KeyState::Active,
        revoked: None,
        expires: None,
        certificate,
    }
}
