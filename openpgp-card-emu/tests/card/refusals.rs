//! SELECT, and the status words of what the card does not do.

use openpgp_card_emu::host::{HostCommand, PasswordReference};
use openpgp_card_emu::{Card, Password, Passwords, PinPolicy, Session, SigningValidity, Status, Step};

use crate::client::Client;
use crate::key_holder::{AID, KeyHolder};

fn select(session: &mut Session, name: &[u8]) -> Vec<u8> {
    let mut apdu = vec![0x00, 0xA4, 0x04, 0x00, u8::try_from(name.len()).unwrap()];
    apdu.extend(name);
    match session.command(&mut KeyHolder::default().card(), &apdu) {
        Step::Reply(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_application_is_found_by_the_beginning_of_its_name() {
    for length in [5, 6, 8, 16] {
        assert_eq!(select(&mut Session::new(), &AID[..length]), [0x90, 0x00], "{length} bytes");
    }
    let mut longer = AID.to_vec();
    longer.push(0);
    let mut other_serial = AID;
    other_serial[13] ^= 1;
    for name in [&[][..], &AID[..4], &longer, &other_serial, &[0xA0, 0x00, 0x00, 0x03, 0x08]] {
        assert_eq!(select(&mut Session::new(), name), [0x6A, 0x82], "{name:02X?}");
    }
}

#[test]
fn nothing_works_before_the_application_is_selected() {
    let (mut card, mut session) = (KeyHolder::default().card(), Session::new());
    let apdu = HostCommand::get_data(0x4F).to_extended_apdu().unwrap();
    assert_eq!(session.command(&mut card, &apdu), Step::Reply(vec![0x69, 0x85]));
    assert_eq!(select(&mut session, b"\xA0\x00\x00\x03\x08"), [0x6A, 0x82]);
    assert_eq!(session.command(&mut card, &apdu), Step::Reply(vec![0x69, 0x85]));
}

#[test]
fn probing_for_files_finds_none_and_keeps_the_application() {
    let mut client = Client::new(KeyHolder::default());
    for apdu in [&[0x00, 0xA4, 0x00, 0x0C, 0x02, 0x3F, 0x00][..], &[0x00, 0xA4, 0x02, 0x0C, 0x02, 0x2F, 0x02]] {
        assert_eq!(client.transmit(apdu), (Vec::new(), Status::NotFound));
    }
    client.ok(&HostCommand::get_data(0x4F));
}

#[test]
fn each_malformed_or_foreign_apdu_has_its_status_word() {
    let mut client = Client::new(KeyHolder::default());
    let cases: &[(&[u8], u16)] = &[
        (&[], 0x6700),
        (&[0x00, 0xCA, 0x00], 0x6700),
        (&[0x00, 0xCA, 0x00, 0x4F, 0x05, 0x01], 0x6700), // Lc says five bytes, one follows
        (&[0x00, 0xCA, 0x00, 0x4F, 0x00, 0x00, 0x05, 0x01], 0x6700),
        (&[0x80, 0xCA, 0x00, 0x4F, 0x00], 0x6E00),
        (&[0xFF, 0xCA, 0x00, 0x4F, 0x00], 0x6E00),
        (&[0x01, 0xCA, 0x00, 0x4F, 0x00], 0x6881),
        (&[0x0C, 0xCA, 0x00, 0x4F, 0x00], 0x6882),
        (&[0x1C, 0xCA, 0x00, 0x4F, 0x00], 0x6882),
        (&[0x00, 0xCB, 0x3F, 0xFF, 0x00], 0x6D00),
        (&[0x00, 0x00, 0x00, 0x00], 0x6D00),
        (&[0x00, 0xFB, 0x00, 0x00], 0x6D00),
        (&[0x00, 0x20, 0x00, 0x84], 0x6B00),
        (&[0x00, 0x20, 0x01, 0x81], 0x6B00),
        (&[0x00, 0x20, 0xFF, 0x81, 0x01, 0x31], 0x6700), // log-out with a value
        (&[0x00, 0x2A, 0x9E, 0x9B, 0x01, 0x00], 0x6B00),
        (&[0x00, 0x88, 0x00, 0x01, 0x01, 0x00], 0x6B00),
        (&[0x00, 0x47, 0x81, 0x00, 0x02, 0xB7, 0x00, 0x00], 0x6A80),
        (&[0x00, 0x47, 0x81, 0x00, 0x00], 0x6A80),
        (&[0x00, 0x47, 0x82, 0x00, 0x02, 0xB6, 0x00], 0x6B00),
        (&[0x00, 0x22, 0x41, 0xB6, 0x03, 0x83, 0x01, 0x02], 0x6B00),
        (&[0x00, 0x22, 0x41, 0xA4, 0x03, 0x83, 0x01, 0x01], 0x6A80),
        (&[0x00, 0xA5, 0x00, 0x04, 0x02, 0x5C, 0x00], 0x6A80),
        (&[0x00, 0xC0, 0x00, 0x00, 0x00], 0x6985), // nothing is left to send
        (&[0x00, 0x2A, 0x86, 0x80, 0x01, 0x00], 0x6A81),
        (&[0x00, 0xE6, 0x00, 0x00], 0x6D00),
        (&[0x00, 0x44, 0x00, 0x00], 0x6D00),
    ];
    for (apdu, status) in cases {
        assert_eq!(client.transmit(apdu), (Vec::new(), Status::from_u16(*status)), "{apdu:02X?}");
    }
    client.ok(&HostCommand::get_data(0x4F));
}

#[test]
fn commands_that_write_need_the_administrator_and_are_refused_even_then() {
    let keys = KeyHolder::default();
    let mut profile = keys.profile();
    let password = |value: &[u8]| Password::new(value).unwrap();
    profile.pin_policy = PinPolicy::Required(Passwords {
        pw1: password(b"123456"),
        pw3: password(b"12345678"),
        signing: SigningValidity::Session,
    });
    let mut client = Client::with_card(Card::new(profile), keys);
    let writing: [&[u8]; 5] = [
        &[0x00, 0xDA, 0x00, 0x5B, 0x01, 0x41],
        &[0x00, 0xDA, 0x00, 0xC1, 0x06, 0x01, 0x08, 0x00, 0x00, 0x20, 0x00],
        &[0x00, 0xDB, 0x3F, 0xFF, 0x04, 0x4D, 0x02, 0xB6, 0x00],
        &[0x00, 0x47, 0x80, 0x00, 0x02, 0xB6, 0x00, 0x00],
        &[0x00, 0x2C, 0x02, 0x81, 0x06, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36],
    ];
    let content = |client: &mut Client| [0x65, 0x6E].map(|tag| client.ok(&HostCommand::get_data(tag)));
    let before = content(&mut client);
    for apdu in writing {
        assert_eq!(client.transmit(apdu), (Vec::new(), Status::SecurityStatusNotSatisfied), "{apdu:02X?}");
    }
    client.ok(&HostCommand::verify(PasswordReference::Admin, b"12345678"));
    for apdu in writing {
        assert_eq!(client.transmit(apdu), (Vec::new(), Status::ConditionsOfUseNotSatisfied), "{apdu:02X?}");
    }
    // What is derived from the rest is never written; what does not exist is not found.
    assert_eq!(client.transmit(&[0x00, 0xDA, 0x00, 0x6E, 0x01, 0x00]).1, Status::SecurityStatusNotSatisfied);
    assert_eq!(client.transmit(&[0x00, 0xDA, 0x00, 0x6D, 0x01, 0x00]).1, Status::KeyReferenceNotFound);
    for apdu in [&[0x00, 0x24, 0x00, 0x81, 0x01, 0x31][..], &[0x00, 0x2C, 0x00, 0x81, 0x01, 0x31]] {
        assert_eq!(client.transmit(apdu), (Vec::new(), Status::ConditionsOfUseNotSatisfied), "{apdu:02X?}");
    }
    assert_eq!(content(&mut client), before);
}

#[test]
fn debug_output_shows_neither_commands_nor_answers() {
    let mut client = Client::new(KeyHolder::default());
    let verify = HostCommand::verify(PasswordReference::Sign, &[0xAB; 6]);
    assert_eq!(format!("{verify:?}"), "HostCommand(20 00 81, 6 bytes)");
    let chained = [0x10, 0x20, 0x00, 0x81, 0x03, 0xAB, 0xAB, 0xAB];
    let step = client.session.command(&mut client.card, &chained);
    assert_eq!(format!("{step:?}"), "Reply(0 bytes, 9000)");
    let shown = format!("{:?}", client.session);
    assert!(!shown.contains("171") && shown.contains("Session"), "{shown}");
}
