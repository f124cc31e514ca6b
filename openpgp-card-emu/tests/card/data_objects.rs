//! GET DATA, GET NEXT DATA and SELECT DATA.

use openpgp_card_emu::host::HostCommand;
use openpgp_card_emu::{AlgorithmAttributes, Card, CardProfile, Curve, Status, UserInteraction};

use crate::client::Client;
use crate::key_holder::{AID, KeyHolder, PrivateKey};

fn ed25519_client() -> Client {
    Client::new(KeyHolder {
        sign: Some(PrivateKey::ed25519()),
        decrypt: Some(PrivateKey::ecdh(Curve::X25519)),
        authenticate: None,
    })
}

fn client_with(change: impl FnOnce(&mut CardProfile)) -> Client {
    let keys = KeyHolder::default();
    let mut profile = keys.profile();
    change(&mut profile);
    Client::with_card(Card::new(profile), keys)
}

fn get(client: &mut Client, tag: u16) -> Vec<u8> {
    client.ok(&HostCommand::get_data(tag))
}

#[test]
fn every_simple_object_has_its_documented_bytes() {
    let mut client = ed25519_client();
    let ed25519 = AlgorithmAttributes::EdDsa(Curve::Ed25519).encode();
    let x25519 = AlgorithmAttributes::Ecdh(Curve::X25519).encode();
    let expected: &[(u16, Vec<u8>)] = &[
        (0x4F, AID.to_vec()),
        (0x5F52, vec![0x00, 0x31, 0xC5, 0x73, 0xC0, 0x01, 0xE0, 0x00, 0x90, 0x00]),
        (0x7F66, vec![0x02, 0x02, 0x40, 0x00, 0x02, 0x02, 0x40, 0x00]),
        (0x7F74, vec![0x81, 0x01, 0x00]),
        (0xC0, vec![0x40, 0x00, 0x04, 0x00, 0x10, 0x00, 0x08, 0x00, 0x00, 0x01]),
        (0xC1, ed25519),
        (0xC2, x25519),
        (0xC3, vec![0x01, 0x08, 0x00, 0x00, 0x20, 0x00]),
        (0xC4, vec![0x01, 127, 127, 127, 3, 0, 0]),
        (0xC5, [[1; 20], [2; 20], [0; 20]].concat()),
        (0xC6, vec![0; 60]),
        (0xCD, [1_700_000_001u32.to_be_bytes(), 1_700_000_002u32.to_be_bytes(), [0; 4]].concat()),
        (0xDE, vec![1, 1, 2, 1, 3, 0]),
        (0xD6, vec![0x00, 0x20]),
        (0xD7, vec![0x00, 0x20]),
        (0xD8, vec![0x00, 0x20]),
        (0x5B, b"Lovelace<<Ada".to_vec()),
        (0x5F2D, b"en".to_vec()),
        (0x5F35, b"9".to_vec()),
        (0x5E, b"ada".to_vec()),
        (0x5F50, b"https://keys.example/ada".to_vec()),
        (0x93, vec![0, 0, 0]),
        (0xF9, vec![0x81, 0x01, 0x00]),
        (0x7F21, vec![]),
        (0x0101, vec![]),
        (0x0102, vec![]),
        (0x0103, vec![]),
    ];
    for (tag, value) in expected {
        assert_eq!(&get(&mut client, *tag), value, "{tag:04X}");
    }
}

/// Tag and value of each object in a sequence.
fn parts(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let two = bytes[0] & 0x1F == 0x1F;
        let tag = if two { u16::from_be_bytes([bytes[0], bytes[1]]) } else { u16::from(bytes[0]) };
        bytes = &bytes[1 + usize::from(two)..];
        let (length, header) = match bytes[0] {
            0x81 => (usize::from(bytes[1]), 2),
            0x82 => (usize::from(u16::from_be_bytes([bytes[1], bytes[2]])), 3),
            short => (usize::from(short), 1),
        };
        parts.push((tag, &bytes[header..header + length]));
        bytes = &bytes[header + length..];
    }
    parts
}

#[test]
fn a_constructed_object_holds_the_same_values_as_its_parts() {
    let mut client = ed25519_client();
    let children: &[(u16, &[u16])] = &[
        (0x6E, &[0x4F, 0x5F52, 0x7F66, 0x7F74, 0x73]),
        (0x73, &[0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xCD, 0xDE, 0xD6, 0xD7, 0xD8]),
        (0x65, &[0x5B, 0x5F2D, 0x5F35]),
        (0x7A, &[0x93]),
        (0xFA, &[0xC1, 0xC2, 0xC3]),
    ];
    for (tag, expected) in children {
        let content = get(&mut client, *tag);
        let parts = parts(&content);
        assert_eq!(parts.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), *expected, "{tag:04X}");
        for (child, value) in parts {
            assert_eq!(value, get(&mut client, child), "{child:04X} in {tag:04X}");
        }
    }
}

#[test]
fn a_key_that_asks_for_consent_says_so() {
    let mut client = client_with(|profile| {
        let keys = KeyHolder { sign: Some(PrivateKey::ed25519()), ..KeyHolder::default() };
        profile.sign = keys.profile().sign;
        profile.sign.as_mut().unwrap().user_interaction = UserInteraction::Permanent;
    });
    assert_eq!(get(&mut client, 0xD6), [0x02, 0x20]);
    assert_eq!(get(&mut client, 0xD7), [0x00, 0x20]);
    assert_eq!(get(&mut client, 0x7F74), [0x81, 0x01, 0x20]);
}

#[test]
fn what_is_only_written_or_unknown_is_not_found() {
    let mut client = ed25519_client();
    for tag in [0x00, 0x4D, 0xC7, 0xCA, 0xCE, 0xD1, 0xD3, 0xD5, 0xF4, 0xFB, 0xD9, 0x0105, 0x5FC1, 0xFFFF] {
        assert_eq!(client.status(&HostCommand::get_data(tag)), Status::KeyReferenceNotFound, "{tag:04X}");
    }
}

#[test]
fn a_text_too_long_for_its_object_is_cut_at_a_character() {
    let mut client = client_with(|profile| profile.cardholder = "ä".repeat(30));
    assert_eq!(get(&mut client, 0x5B), "ä".repeat(19).into_bytes());
}

#[test]
fn certificates_are_found_in_turn_and_by_number() {
    let certificates = [vec![0xA0; 2000], vec![0xB8; 1000], vec![0xB6; 10]];
    let mut client = client_with(|profile| profile.certificates.clone_from(&certificates));
    let (next, first) = (HostCommand::get_next_data(0x7F21), HostCommand::get_data(0x7F21));

    assert_eq!(client.status(&next), Status::ConditionsOfUseNotSatisfied, "nothing comes before it");
    assert_eq!(client.ok(&first), certificates[0]);
    assert_eq!(client.ok(&next), certificates[1]);
    assert_eq!(client.ok(&next), certificates[2]);
    assert_eq!(client.status(&next), Status::KeyReferenceNotFound);

    client.ok(&HostCommand::select_data(0x7F21, 2));
    assert_eq!(client.ok(&first), certificates[2]);
    assert_eq!(client.status(&next), Status::KeyReferenceNotFound);
    client.ok(&HostCommand::select_data(0x7F21, 1));
    assert_eq!(client.ok(&first), certificates[1]);
    get(&mut client, 0x4F);
    assert_eq!(client.status(&next), Status::ConditionsOfUseNotSatisfied, "another object came between");

    client.ok(&HostCommand::select());
    assert_eq!(client.ok(&first), certificates[0], "SELECT takes the choice back");
    assert_eq!(client.status(&HostCommand::select_data(0x7F21, 3)), Status::KeyReferenceNotFound);
    assert_eq!(client.status(&HostCommand::select_data(0x5E, 0)), Status::KeyReferenceNotFound);
    assert_eq!(client.status(&HostCommand::get_next_data(0x5E)), Status::KeyReferenceNotFound);
}

#[test]
fn select_data_with_yubicos_length_in_front_is_understood() {
    let certificates = [vec![1], vec![2], vec![3]];
    let mut client = client_with(|profile| profile.certificates.clone_from(&certificates));
    let apdu = [0x00, 0xA5, 0x02, 0x04, 0x07, 0x06, 0x60, 0x04, 0x5C, 0x02, 0x7F, 0x21];
    assert_eq!(client.transmit(&apdu), (Vec::new(), Status::Success));
    assert_eq!(get(&mut client, 0x7F21), [3]);
}
