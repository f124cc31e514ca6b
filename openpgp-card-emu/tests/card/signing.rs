//! PSO: COMPUTE DIGITAL SIGNATURE, INTERNAL AUTHENTICATE and the public keys that verify their results.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use openpgp_card_emu::host::{HostCommand, read_public_key};
use openpgp_card_emu::{Card, KeyOperation, OperationError, PublicKey, Session, SignInput, Slot, Status, Step};

use crate::client::Client;
use crate::key_holder::{KeyHolder, PrivateKey, SHA256_PREFIX};

/// A card that signs and authenticates with keys from `make`.
fn client(make: fn() -> PrivateKey) -> Client {
    Client::new(KeyHolder { sign: Some(make()), decrypt: None, authenticate: Some(make()) })
}

fn public_key(client: &mut Client, slot: Slot) -> PublicKey {
    read_public_key(&client.ok(&HostCommand::read_public_key(slot))).unwrap()
}

fn counter(client: &mut Client) -> Vec<u8> {
    client.ok(&HostCommand::get_data(0x93))
}

#[test]
fn an_rsa_signature_verifies_with_the_public_key_that_the_card_gives() {
    let mut client = client(PrivateKey::rsa);
    let info = [SHA256_PREFIX, digest(&SHA256, MESSAGE).as_ref()].concat();
    let commands = [
        (Slot::Sign, HostCommand::compute_digital_signature(&info)),
        (Slot::Authenticate, HostCommand::internal_authenticate(&info)),
    ];
    for (slot, command) in commands {
        let PublicKey::Rsa { n, e } = public_key(&mut client, slot) else { panic!("an RSA key") };
        let signature = client.ok(&command);
        let key = RsaPublicKeyComponents { n, e };
        key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, MESSAGE, &signature).unwrap();
    }
}

#[test]
fn an_ecdsa_signature_verifies_with_the_public_key_that_the_card_gives() {
    let mut client = client(PrivateKey::p256);
    let digest = digest(&SHA256, MESSAGE);
    let commands = [
        (Slot::Sign, HostCommand::compute_digital_signature(digest.as_ref())),
        (Slot::Authenticate, HostCommand::internal_authenticate(digest.as_ref())),
    ];
    for (slot, command) in commands {
        let PublicKey::Point(point) = public_key(&mut client, slot) else { panic!("a point") };
        let signature = client.ok(&command);
        assert_eq!(signature.len(), 64);
        UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(MESSAGE, &signature).unwrap();
    }
}

#[test]
fn an_ed25519_signature_verifies_with_the_public_key_that_the_card_gives() {
    let mut client = client(PrivateKey::ed25519);
    let long = vec![0x5A; 3000]; // ssh signs whole messages
    for message in [MESSAGE, &long] {
        let commands = [
            (Slot::Sign, HostCommand::compute_digital_signature(message)),
            (Slot::Authenticate, HostCommand::internal_authenticate(message)),
        ];
        for (slot, command) in commands {
            let PublicKey::Point(point) = public_key(&mut client, slot) else { panic!("a point") };
            assert_eq!(point.len(), 32);
            let signature = client.ok(&command);
            UnparsedPublicKey::new(&signature::ED25519, point).verify(message, &signature).unwrap();
        }
    }
}

#[test]
fn the_counter_counts_signatures_and_not_authentications_or_failures() {
    let mut client = client(PrivateKey::ed25519);
    client.ok(&HostCommand::compute_digital_signature(MESSAGE));
    client.ok(&HostCommand::compute_digital_signature(MESSAGE));
    client.ok(&HostCommand::internal_authenticate(MESSAGE));
    assert_eq!(counter(&mut client), [0, 0, 2]);
    assert_eq!(client.card.signature_counter(), 2);

    let apdu = HostCommand::compute_digital_signature(MESSAGE).to_extended_apdu().unwrap();
    assert!(matches!(client.session.command(&mut client.card, &apdu), Step::Operation(_)));
    client.session.complete(&mut client.card, Err(OperationError::Unavailable));
    assert_eq!(counter(&mut client), [0, 0, 2]);
}

#[test]
fn the_counter_goes_on_where_it_was_and_stays_at_its_end() {
    let keys = KeyHolder { sign: Some(PrivateKey::ed25519()), ..KeyHolder::default() };
    let mut profile = keys.profile();
    profile.signature_counter = 0x00FF_FFFE;
    let mut client = Client::with_card(Card::new(profile), keys);
    for _ in 0..3 {
        client.ok(&HostCommand::compute_digital_signature(MESSAGE));
        assert_eq!(counter(&mut client), [0xFF, 0xFF, 0xFF]);
    }
}

#[test]
fn a_counter_that_no_card_can_show_is_its_end() {
    let mut profile = KeyHolder::default().profile();
    profile.signature_counter = u32::MAX;
    let mut client = Client::with_card(Card::new(profile), KeyHolder::default());
    assert_eq!(client.card.signature_counter(), 0x00FF_FFFF);
    assert_eq!(counter(&mut client), [0xFF, 0xFF, 0xFF]);
}

#[test]
fn a_failed_operation_becomes_its_status_word() {
    let mut client = client(PrivateKey::ed25519);
    let apdu = HostCommand::compute_digital_signature(MESSAGE).to_extended_apdu().unwrap();
    let failures = [
        (Err(OperationError::Denied), [0x69, 0x82]),
        (Err(OperationError::Unavailable), [0x64, 0x00]),
        (Err(OperationError::WrongData), [0x6A, 0x80]),
        (Ok(vec![0; 63]), [0x6F, 0x00]), // not a signature of this key
        (Ok(Vec::new()), [0x6F, 0x00]),
    ];
    for (result, status) in failures {
        assert!(matches!(client.session.command(&mut client.card, &apdu), Step::Operation(_)));
        assert_eq!(client.session.complete(&mut client.card, result), status);
    }
}

#[test]
fn data_that_no_key_of_this_kind_signs_never_leave_the_card() {
    let mut rsa = client(PrivateKey::rsa);
    assert_eq!(rsa.status(&HostCommand::compute_digital_signature(&[0x30; 103])), Status::WrongLength);
    assert_eq!(rsa.status(&HostCommand::compute_digital_signature(&[])), Status::WrongLength);
    let mut p256 = client(PrivateKey::p256);
    for length in [19, 65] {
        assert_eq!(p256.status(&HostCommand::compute_digital_signature(&vec![1; length])), Status::WrongLength);
        assert_eq!(p256.status(&HostCommand::internal_authenticate(&vec![1; length])), Status::WrongLength);
    }
}

#[test]
fn an_ecdsa_digest_longer_than_the_curve_is_handed_over_whole() {
    let mut client = client(PrivateKey::p256);
    let apdu = HostCommand::compute_digital_signature(&[7; 64]).to_extended_apdu().unwrap();
    let step = client.session.command(&mut client.card, &apdu);
    assert_eq!(step, Step::Operation(KeyOperation::Sign(SignInput::Digest(vec![7; 64]))));
}

#[test]
fn an_empty_slot_has_no_key_to_read_or_use() {
    let mut client = Client::new(KeyHolder::default());
    for slot in Slot::ALL {
        assert_eq!(client.status(&HostCommand::read_public_key(slot)), Status::KeyReferenceNotFound);
    }
    for command in [
        HostCommand::compute_digital_signature(MESSAGE),
        HostCommand::internal_authenticate(MESSAGE),
        HostCommand::decipher_rsa(&[1; 256]),
    ] {
        assert_eq!(client.status(&command), Status::KeyReferenceNotFound);
    }
}

#[test]
fn a_public_key_is_found_by_its_number_too() {
    let mut client = client(PrivateKey::ed25519);
    let short = client.transmit(&[0x00, 0x47, 0x81, 0x00, 0x02, 0xB6, 0x00, 0x00]);
    let long = client.transmit(&[0x00, 0x47, 0x81, 0x00, 0x05, 0xB6, 0x03, 0x84, 0x01, 0x01, 0x00]);
    assert_eq!(short, long);
    let (_, status) = client.transmit(&[0x00, 0x47, 0x81, 0x00, 0x05, 0xB6, 0x03, 0x84, 0x01, 0x02, 0x00]);
    assert_eq!(status, Status::IncorrectDataParameter);
}

#[test]
fn another_command_waits_for_an_operation_without_disturbing_it() {
    let mut client = client(PrivateKey::ed25519);
    let apdu = HostCommand::compute_digital_signature(MESSAGE).to_extended_apdu().unwrap();
    let Step::Operation(operation) = client.session.command(&mut client.card, &apdu) else { panic!("an operation") };
    for meanwhile in [HostCommand::get_data(0x4F), HostCommand::select(), HostCommand::get_response()] {
        let meanwhile = meanwhile.to_extended_apdu().unwrap();
        assert_eq!(client.session.command(&mut client.card, &meanwhile), Step::Reply(vec![0x69, 0x85]));
    }
    let response = client.session.complete(&mut client.card, client.keys.perform(&operation));
    assert_eq!(response.len(), 66);
    assert_eq!(response[64..], [0x90, 0x00]);
}

#[test]
fn a_result_that_comes_after_the_end_is_dropped() {
    let mut client = client(PrivateKey::ed25519);
    let apdu = HostCommand::compute_digital_signature(MESSAGE).to_extended_apdu().unwrap();
    let endings: [fn(&mut Session) -> Vec<u8>; 2] = [
        |session| session.abort(),
        |session| {
            session.reset();
            vec![0x64, 0x00]
        },
    ];
    for end in endings {
        assert!(matches!(client.session.command(&mut client.card, &apdu), Step::Operation(_)));
        assert_eq!(end(&mut client.session), [0x64, 0x00]);
        assert!(!client.session.is_pending());
        assert_eq!(client.session.complete(&mut client.card, Ok(vec![0; 64])), [0x69, 0x85]);
        client.ok(&HostCommand::select());
    }
    assert_eq!(client.card.signature_counter(), 0);
}

const MESSAGE: &[u8] = b"Sixty-four hexadecimal digits make one SHA-256.";
