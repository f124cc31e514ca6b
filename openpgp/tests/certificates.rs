//! Certificates with parts that must not be published.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use sealcard_api::import::{CertificatePart, LeftOutReason};
use sealcard_openpgp::{PublicCertificate, ReadError};
use sealcard_openpgp_testing::published;
use sequoia_openpgp::{
    Packet,
    cert::{CertBuilder, CipherSuite},
    packet::{UserID, signature::SignatureBuilder},
    serialize::{Serialize as _, SerializeInto as _},
    types::SignatureType,
};

const CANARY: &[u8] = b"CANARY-SECRET-CANARY-SECRET-CANARY-SECRET";

/// A certificate, binary.
fn certificate() -> Vec<u8> {
    let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid("Ada <ada@example.org>");
    let (certificate, _) = builder.add_signing_subkey().add_transport_encryption_subkey().generate().unwrap();
    certificate.to_vec().unwrap()
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xC0 | tag, u8::try_from(body.len()).unwrap()][..], body].concat()
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Secret packets that no library reads: of other versions, with an unknown algorithm, with a cut number.
fn canaries() -> Vec<Vec<u8>> {
    let time = 1_700_000_000_u32.to_be_bytes();
    let curve = [&[0x16][..], &[9, 0x2B, 6, 1, 4, 1, 0xDA, 0x47, 0x0F, 1], &[1, 7, 0x40], &[0x11; 32]].concat();
    vec![
        [&[5][..], &time, &[0x16], CANARY].concat(),
        [&[4][..], &time, &curve, &[0, 0xFF, 0xFF], CANARY].concat(),
        [&[4][..], &time, &[99], CANARY].concat(),
        [&[6][..], &time, &[99, 0, 0, 0, 4], b"abcd", CANARY].concat(),
        [&[3][..], &time, &[0, 0, 1], CANARY].concat(),
        CANARY.to_vec(),
        Vec::new(),
    ]
}

#[test]
fn any_secret_packet_is_refused() {
    for tag in [5, 7] {
        for body in canaries() {
            let input = [certificate(), packet(tag, &body)].concat();
            assert_eq!(PublicCertificate::read(&input).err(), Some(ReadError::Secret), "{tag} {body:?}");
        }
    }
}

#[test]
fn packets_that_are_not_understood_are_left_out() {
    for tag in [0, 1, 2, 3, 4, 8, 9, 11, 13, 14, 15, 17, 18, 20, 39, 60, 63] {
        for body in canaries() {
            let input = [certificate(), packet(tag, &body)].concat();
            let read = PublicCertificate::read(&input).unwrap();
            assert!(!holds(&published(&read), b"CANARY"), "{tag} {body:?}");
            assert_eq!(read.left_out().len(), 1, "{tag} {body:?}: {:?}", read.left_out());
            assert!(!read.left_out()[0].to_string().contains("CANARY"));
            // Nor are signatures that follow it taken for signatures of its neighbour.
            assert_eq!(published(&read), published(&PublicCertificate::read(&certificate_of(&input, &body)).unwrap()));
        }
    }
}

/// The input without the packet at its end.
fn certificate_of(input: &[u8], body: &[u8]) -> Vec<u8> {
    input[..input.len() - body.len() - 2].to_vec()
}

#[test]
fn public_subkeys_of_version_5_are_left_out() {
    let read = PublicCertificate::read(include_bytes!("data/public-v5-subkey.bin")).unwrap();
    assert!(!published(&read).is_empty());
    let [out] = read.left_out() else { unreachable!("{:?}", read.left_out()) };
    assert_eq!((out.part, out.reason), (CertificatePart::Subkey, LeftOutReason::Version));
    assert_eq!(out.fingerprint.as_deref().map(str::len), Some(64));
    assert!(out.to_string().ends_with("version 5 of the format is not supported"), "{out}");
}

#[test]
fn user_ids_without_a_signature_are_left_out() {
    let canary = String::from_utf8(CANARY.to_vec()).unwrap();
    let mut input = certificate();
    Packet::from(UserID::from(canary.as_str())).serialize(&mut input).unwrap();
    let read = PublicCertificate::read(&input).unwrap();
    assert!(!holds(&published(&read), CANARY));
    assert_eq!(read.left_out().len(), 1);
    assert_eq!(read.left_out()[0].to_string(), "user ID: it has no valid signature by the primary key");
}

#[test]
fn signatures_lose_what_nobody_signed() {
    let builder = CertBuilder::new().add_userid("Ada").set_cipher_suite(CipherSuite::Cv25519);
    let (ada, _) = builder.generate().unwrap();
    let (bob, _) = CertBuilder::new().add_userid("Bob").add_signing_subkey().generate().unwrap();
    let mut signer = bob.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let id = ada.userids().next().unwrap().userid().clone();
    let notation = |builder: SignatureBuilder| {
        builder.modify_unhashed_area(|mut area| {
            use sequoia_openpgp::packet::signature::subpacket::{Subpacket, SubpacketValue};
            area.add(Subpacket::new(SubpacketValue::PolicyURI(CANARY.to_vec()), false)?)?;
            Ok(area)
        })
    };
    let builder = notation(SignatureBuilder::new(SignatureType::GenericCertification)).unwrap();
    let by_bob = id.bind(&mut signer, &ada, builder).unwrap();
    let (ada, _) = ada.insert_packets(by_bob).unwrap();
    let input = ada.to_vec().unwrap();
    assert!(holds(&input, CANARY));
    let read = PublicCertificate::read(&input).unwrap();
    assert!(read.left_out().is_empty() && !holds(&published(&read), CANARY));
    let issuer = bob.fingerprint();
    assert!(holds(&published(&read), issuer.as_bytes()));
    assert!(!holds(&published(&read.without_certifications()), issuer.as_bytes()));
}

#[test]
fn local_signatures_are_left_out() {
    let builder = CertBuilder::new().add_userid("Ada").set_cipher_suite(CipherSuite::Cv25519);
    let (ada, _) = builder.set_exportable(false).generate().unwrap();
    let mut input = Vec::new();
    ada.into_packets().for_each(|packet| packet.serialize(&mut input).unwrap());
    assert_eq!(PublicCertificate::read(&input).err(), Some(ReadError::Unsigned));
}

#[test]
fn a_primary_key_that_can_not_be_verified_is_named() {
    let secret = include_bytes!("data/brainpool-primary.bin");
    let frames = sealcard_openpgp::frames(secret).unwrap();
    let primary = packet(6, sealcard_openpgp::public_part(frames[0].body).unwrap().0);
    let error = PublicCertificate::read(&primary).err().unwrap().to_string();
    assert!(error.contains("brainpoolP256r1 is not supported"), "{error}");
}
