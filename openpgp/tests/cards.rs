//! Certificates of cards, as a server sent them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use sealcard_api::{Fingerprint, cards::Card};
use sealcard_openpgp::card_certificate;
use sealcard_openpgp_testing::published;
use sequoia_openpgp::{
    Cert,
    cert::{CertBuilder, CipherSuite},
    packet::signature::SignatureBuilder,
    serialize::SerializeInto as _,
    types::SignatureType,
};
use support::card;

fn made(user_id: &str) -> Cert {
    let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid(user_id);
    builder.add_signing_subkey().generate().unwrap().0
}

fn armored(cert: &Cert) -> String {
    String::from_utf8(cert.armored().to_vec().unwrap()).unwrap()
}

/// A card that shows the signing subkey of `cert`, with this text as its certificate.
fn of_card(cert: &Cert, certificate: String) -> Card {
    card(cert, &cert.keys().subkeys().next().unwrap().key().fingerprint(), certificate)
}

#[test]
fn only_the_listed_certificate_is_taken_from_a_server() {
    let (mine, other) = (made("Mine"), made("Other"));
    assert_eq!(card_certificate(&of_card(&mine, armored(&mine))).unwrap().user_id(), "Mine");
    let secret = String::from_utf8(mine.as_tsk().armored().to_vec().unwrap()).unwrap();
    let both = format!("{}{}", armored(&mine), armored(&other));
    let joined = [mine.to_vec().unwrap(), other.to_vec().unwrap()].concat();
    let mut joined_armor =
        sequoia_openpgp::armor::Writer::new(Vec::new(), sequoia_openpgp::armor::Kind::PublicKey).unwrap();
    std::io::Write::write_all(&mut joined_armor, &joined).unwrap();
    let joined = String::from_utf8(joined_armor.finalize().unwrap()).unwrap();
    let cases = [
        (armored(&other), "another key"),
        (secret, "secret keys"),
        (both, "2 keys"),
        (joined, "2 keys"),
        ("hello".to_owned(), "no OpenPGP data"),
        (String::new(), "empty"),
    ];
    for (certificate, cause) in cases {
        let error = card_certificate(&of_card(&mine, certificate)).err().unwrap().to_string();
        assert!(error.contains(cause), "{cause}: {error}");
    }
    let mut with_another_key = of_card(&mine, armored(&mine));
    with_another_key.components[0].fingerprint = Fingerprint([7; 20]);
    assert!(card_certificate(&with_another_key).err().unwrap().to_string().contains("card's key"));
}

#[test]
fn signatures_by_others_are_not_taken_from_a_server() {
    let (mine, other) = (made("Mine"), made("Other"));
    let mut signer = other.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let id = mine.userids().next().unwrap().userid().clone();
    let by_other = id.bind(&mut signer, &mine, SignatureBuilder::new(SignatureType::GenericCertification)).unwrap();
    let (signed, _) = mine.clone().insert_packets(by_other).unwrap();
    let taken = card_certificate(&of_card(&mine, armored(&signed))).unwrap();
    assert_eq!(published(&taken), published(&card_certificate(&of_card(&mine, armored(&mine))).unwrap()));
}
