//! What holds for every input.

use openpgp_card_emu::fuzzing;
use openpgp_card_emu::host::{HostCommand, PasswordReference, Response, read_public_key};
use openpgp_card_emu::{AlgorithmAttributes, Session, Slot, Step};
use proptest::prelude::*;

proptest! {
    #[test]
    fn no_sequence_of_apdus_panics_and_each_gets_a_status_word(
        choice in 0u8..16,
        apdus in proptest::collection::vec(apdu(), 0..12),
    ) {
        fuzzing::apdus(&sequence(choice, &apdus));
    }

    #[test]
    fn chained_and_extended_commands_have_the_same_result(choice in 0u8..4, command in command()) {
        let run = |apdus: &[Vec<u8>]| {
            let (mut card, mut session) = (fuzzing::card(choice), Session::new());
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

    #[test]
    fn no_bytes_make_a_host_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert_eq!(Response::parse(&bytes).is_some(), bytes.len() >= 2);
        let _ = read_public_key(&bytes);
    }

    #[test]
    fn attributes_that_are_understood_survive_being_written_again(
        algorithm in prop_oneof![Just(1u8), Just(0x12), Just(0x13), Just(0x16), any::<u8>()],
        rest in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut bytes = vec![algorithm];
        bytes.extend(rest);
        if let Some(attributes) = AlgorithmAttributes::decode(&bytes) {
            prop_assert_eq!(AlgorithmAttributes::decode(&attributes.encode()), Some(attributes));
        }
    }
}

/// Every seed and every input that once failed.
#[test]
fn the_fuzz_corpus_runs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/apdu");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        fuzzing::apdus(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "{folder} has files");
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

/// The bytes that [`fuzzing::apdus`] reads.
fn sequence(choice: u8, apdus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![choice];
    for apdu in apdus {
        bytes.extend(u16::try_from(apdu.len()).unwrap().to_be_bytes());
        bytes.extend(apdu);
    }
    bytes
}
