//! A certificate that the server sent, before gpg or anything else here believes it.

use sealcard_api::cards::Card;
use sealcard_openpgp::PublicCertificate;
use sequoia_openpgp::Cert;

use super::OpenPgpError;

/// The certificate of a card: exactly one, with the fingerprint that the card list says and the card's keys. It is
/// written anew from what was understood and signed by its primary key. Secret keys and signatures by others are not
/// taken, so that a server can't change what gpg thinks of other keys.
///
/// # Errors
///
/// When it is not such a certificate.
pub fn received(card: &Card) -> Result<PublicCertificate, OpenPgpError> {
    let wrong = |reason: String| OpenPgpError::Certificate { name: card.name.clone(), reason };
    let read = PublicCertificate::read(card.certificate.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if read.fingerprint().as_bytes() != card.fingerprint.0 {
        return Err(wrong(format!("it is the certificate of another key, {}", read.fingerprint())));
    }
    let cert: Cert = read.cert().map_err(|error| wrong(error.to_string()))?;
    for component in &card.components {
        if !cert.keys().any(|key| key.key().fingerprint().as_bytes() == component.fingerprint.0) {
            return Err(wrong(format!("it does not hold the card's key {}", component.fingerprint)));
        }
    }
    Ok(read.without_certifications())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use sealcard_api::Fingerprint;
    use sealcard_openpgp::fuzzing::published;
    use sequoia_openpgp::{
        cert::{CertBuilder, CipherSuite},
        packet::signature::SignatureBuilder,
        serialize::SerializeInto as _,
        types::SignatureType,
    };

    use super::*;
    use crate::scd::testing::sample_list;

    fn made(user_id: &str) -> Cert {
        let builder = CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid(user_id);
        builder.add_signing_subkey().generate().unwrap().0
    }

    fn armored(cert: &Cert) -> String {
        String::from_utf8(cert.armored().to_vec().unwrap()).unwrap()
    }

    fn card(cert: &Cert, certificate: String) -> Card {
        let mut card = sample_list().cards.remove(0);
        let fingerprint = |bytes: &[u8]| Fingerprint(bytes.try_into().unwrap());
        card.fingerprint = fingerprint(cert.fingerprint().as_bytes());
        card.components.truncate(1);
        let subkey = cert.keys().subkeys().next().unwrap();
        card.components[0].fingerprint = fingerprint(subkey.key().fingerprint().as_bytes());
        card.certificate = certificate;
        card
    }

    #[test]
    fn only_the_listed_certificate_is_taken_from_a_server() {
        let (mine, other) = (made("Mine"), made("Other"));
        assert_eq!(received(&card(&mine, armored(&mine))).unwrap().user_id(), "Mine");
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
            let error = received(&card(&mine, certificate)).err().unwrap().to_string();
            assert!(error.contains(cause), "{cause}: {error}");
        }
        let mut with_another_key = card(&mine, armored(&mine));
        with_another_key.components[0].fingerprint = Fingerprint([7; 20]);
        assert!(received(&with_another_key).err().unwrap().to_string().contains("card's key"));
    }

    #[test]
    fn signatures_by_others_are_not_taken_from_a_server() {
        let (mine, other) = (made("Mine"), made("Other"));
        let mut signer = other.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
        let id = mine.userids().next().unwrap().userid().clone();
        let by_other = id.bind(&mut signer, &mine, SignatureBuilder::new(SignatureType::GenericCertification)).unwrap();
        let (signed, _) = mine.clone().insert_packets(by_other).unwrap();
        let taken = received(&card(&mine, armored(&signed))).unwrap();
        assert_eq!(published(&taken), published(&received(&card(&mine, armored(&mine))).unwrap()));
    }
}
