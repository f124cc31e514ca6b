//! What holds for every sequence of APDUs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use openpgp_card_emu::host::{HostCommand, PasswordReference, Response};
use openpgp_card_emu::{Session, Slot, Step};
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_sequence_of_apdus_panics_and_each_gets_a_status_word(
        choice in 0u8..16,
        apdus in proptest::collection::vec(apdu(), 0..12),
    ) {
        sealcard_fuzz_bodies::apdu(&sequence(choice, &apdus));
    }

    #[test]
    fn chained_and_extended_commands_have_the_same_result(choice in 0u8..4, command in command()) {
        let run = |apdus: &[Vec<u8>]| {
            let (mut card, mut session) = (sealcard_fuzz_bodies::card(choice), Session::new());
            session.command(&mut card, &HostCommand::select().to_extended_apdu().unwrap());
            let mut data = Vec::new();
            for apdu in apdus {
                data.clear();
                let mut step = session.command(&mut card, apdu);
                // What did not fit into a short answer.
                while let Step::Reply(reply) = &step {
                    let response = Response::parse(reply).unwrap();
                    data.extend(response.data);
                    match response.status {
                        openpgp_card_emu::Status::MoreAvailable(_) => {
                            let more = &HostCommand::get_response().to_short_apdus()[0];
                            step = session.command(&mut card, more);
                        }
                        status => {
                            data.extend(u16::from(status).to_be_bytes());
                            step = Step::Reply(data.clone());
                            break;
                        }
                    }
                }
                if !matches!(step, Step::Reply(_)) {
                    return step;
                }
            }
            Step::Reply(data)
        };
        prop_assert_eq!(run(&command.to_short_apdus()), run(&[command.to_extended_apdu().unwrap()]));
    }
}

/// APDUs that mostly are commands of the application, with arbitrary bodies.
fn apdu() -> impl Strategy<Value = Vec<u8>> {
    let class = prop_oneof![6 => Just(0x00u8), 2 => Just(0x10), 1 => any::<u8>()];
    let header = prop_oneof![
        Just([0xA4, 0x04, 0x00]),
        Just([0xCA, 0x00, 0x6E]),
        Just([0xCA, 0x7F, 0x21]),
        Just([0xCC, 0x7F, 0x21]),
        Just([0x20, 0x00, 0x81]),
        Just([0x20, 0x00, 0x82]),
        Just([0x2A, 0x9E, 0x9A]),
        Just([0x2A, 0x80, 0x86]),
        Just([0x88, 0x00, 0x00]),
        Just([0x47, 0x81, 0x00]),
        Just([0x84, 0x00, 0x00]),
        Just([0x22, 0x41, 0xA4]),
        Just([0x22, 0x41, 0xB8]),
        Just([0xA5, 0x01, 0x04]),
        Just([0xC0, 0x00, 0x00]),
        any::<[u8; 3]>(),
    ];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        Just(b"\x06\xD2\x76\x00\x01\x24\x01".to_vec()),
        Just(b"\x06123456".to_vec()),
        Just(b"\x03\x83\x01\x02".to_vec()),
        Just(b"\x02\xB6\x00\x00".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..255).prop_map(|data| with_length(&data)),
    ];
    (class, header, body).prop_map(|(class, header, body)| {
        let mut apdu = vec![class];
        apdu.extend(header);
        apdu.extend(body);
        apdu
    })
}

fn with_length(data: &[u8]) -> Vec<u8> {
    let mut body = vec![0x00];
    body.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    body.extend(data);
    body
}

/// Commands as a host builds them.
fn command() -> impl Strategy<Value = HostCommand> {
    let data = proptest::collection::vec(any::<u8>(), 0..1200);
    let tag = prop_oneof![Just(0x6Eu16), Just(0x7F21), Just(0xC0), Just(0x65), Just(0xFA), any::<u16>()];
    prop_oneof![
        data.clone().prop_map(|data| HostCommand::compute_digital_signature(&data)),
        data.clone().prop_map(|data| HostCommand::internal_authenticate(&data)),
        data.clone().prop_map(|data| HostCommand::decipher_rsa(&data)),
        data.clone().prop_map(|data| HostCommand::decipher_ecdh(&data)),
        data.prop_map(|data| HostCommand::verify(PasswordReference::Sign, &data)),
        tag.prop_map(HostCommand::get_data),
        Just(HostCommand::read_public_key(Slot::Sign)),
    ]
}

/// The bytes that [`sealcard_fuzz_bodies::apdu`] reads.
fn sequence(choice: u8, apdus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![choice];
    for apdu in apdus {
        bytes.extend(u16::try_from(apdu.len()).unwrap().to_be_bytes());
        bytes.extend(apdu);
    }
    bytes
}
