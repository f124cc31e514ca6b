//! Keys that were on the token before.

use std::process::Command;

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::{
    Certification, KeyLocator, Operation, PublicKeyBytes, SignerError, check_certification,
};
use uuid::Uuid;

use super::softhsm::{LABEL, PIN, alone, make, plaintext, run, sign, signature};

fn by_label(label: &str) -> KeyLocator {
    KeyLocator { id: None, label: Some(label.into()) }
}

fn by_id(id: &[u8]) -> KeyLocator {
    KeyLocator { id: Some(id.into()), label: None }
}

#[test]
fn keys_of_other_tools_are_adopted_by_label_or_id() {
    alone("adopt::keys_of_other_tools_are_adopted_by_label_or_id", |hsm| {
        hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "0a0b", "--usage-sign"]);
        hsm.tool(&["--keypairgen", "--key-type", "EC:secp384r1", "--label", "agrees", "--id", "0c", "--usage-derive"]);
        hsm.tool(&["--keypairgen", "--key-type", "EC:edwards25519", "--label", "ed", "--id", "0d", "--usage-sign"]);
        let token = hsm.open();
        let (key, evidence) = token.adopt(Uuid::now_v7(), ComponentRole::Sign, &by_label("theirs")).unwrap();
        assert_eq!(key.algorithm, ComponentAlgorithm::EcdsaP256);
        assert_eq!((evidence.id, evidence.label), ("0a0b".to_owned(), "theirs".to_owned()));
        signature(&token, &key, &sign(HashAlgorithm::Sha256, 1));
        let (again, _) = token.adopt(Uuid::now_v7(), ComponentRole::Sign, &by_id(&[0x0A, 0x0B])).unwrap();
        assert_eq!(again.public_key, key.public_key);
        let (ed, _) = token.adopt(Uuid::now_v7(), ComponentRole::Certify, &by_id(&[0x0D])).unwrap();
        assert_eq!(ed.algorithm, ComponentAlgorithm::EddsaEd25519);
        let certification = Certification { hash: HashAlgorithm::Sha512, digest: vec![9; 64] };
        check_certification(&ed, &certification).unwrap();
        token.perform(&ed, certification.input()).unwrap();
        let (agrees, _) = token.adopt(Uuid::now_v7(), ComponentRole::Decrypt, &by_label("agrees")).unwrap();
        assert_eq!(agrees.algorithm, ComponentAlgorithm::EcdhP384);
        let PublicKeyBytes::Ec { point } = &agrees.public_key else { panic!() };
        assert_eq!(plaintext(&token, &agrees, point).len(), 48);
        // Its owner said what it is for.
        let error = token.adopt(Uuid::now_v7(), ComponentRole::Decrypt, &by_label("theirs")).unwrap_err();
        assert!(error.to_string().contains("CKA_DERIVE is false"), "{error}");
        let error = token.adopt(Uuid::now_v7(), ComponentRole::Decrypt, &by_label("ed")).unwrap_err();
        assert!(matches!(error.error, SignerError::Invalid(_)), "{error:?}");
    });
}

#[test]
fn an_adopted_key_is_not_destroyed() {
    alone("adopt::an_adopted_key_is_not_destroyed", |hsm| {
        hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "0a", "--usage-sign"]);
        let token = hsm.open();
        let (key, _) = token.adopt(Uuid::now_v7(), ComponentRole::Sign, &by_id(&[0x0A])).unwrap();
        let error = token.destroy(&key).unwrap_err();
        assert!(error.to_string().contains("the token's own tools"), "{error}");
        signature(&token, &key, &sign(HashAlgorithm::Sha256, 1));
    });
}

#[test]
fn an_imported_rsa_key_signs_as_openssl_does() {
    alone("adopt::an_imported_rsa_key_signs_as_openssl_does", |hsm| {
        let file = |name: &str| hsm.folder().join(name).to_str().unwrap().to_owned();
        run(Command::new("openssl").args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
            &file("key.pem"),
        ]));
        hsm.util(&[
            "--import",
            &file("key.pem"),
            "--token",
            LABEL,
            "--label",
            "imported",
            "--id",
            "beef",
            "--pin",
            PIN,
        ]);
        let token = hsm.open();
        let (key, evidence) = token.adopt(Uuid::now_v7(), ComponentRole::Sign, &by_label("imported")).unwrap();
        assert_eq!(key.algorithm, ComponentAlgorithm::Rsa2048);
        assert_eq!(evidence.local, Some(false));
        assert_eq!(evidence.mechanism, None);
        let digest = vec![7; 32];
        std::fs::write(file("digest"), &digest).unwrap();
        let args = [
            "pkeyutl",
            "-sign",
            "-inkey",
            &file("key.pem"),
            "-pkeyopt",
            "digest:sha256",
            "-in",
            &file("digest"),
            "-out",
            &file("sig"),
        ];
        run(Command::new("openssl").args(args));
        let ours = signature(&token, &key, &Operation::Sign { hash: HashAlgorithm::Sha256, digest });
        assert_eq!(ours, std::fs::read(file("sig")).unwrap());
    });
}

#[test]
fn what_does_not_name_one_usable_key_is_refused() {
    alone("adopt::what_does_not_name_one_usable_key_is_refused", |hsm| {
        for id in ["01", "02"] {
            hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twins", "--id", id, "--usage-sign"]);
        }
        hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "alone", "--id", "03", "--usage-sign"]);
        hsm.tool(&["--delete-object", "--type", "pubkey", "--id", "03"]);
        let token = hsm.open();
        let refused =
            |locator: &KeyLocator| token.adopt(Uuid::now_v7(), ComponentRole::Sign, locator).unwrap_err().to_string();
        assert!(refused(&by_label("twins")).contains("more than one"));
        assert!(refused(&by_label("nobody")).contains("no private key"));
        assert!(refused(&KeyLocator { id: None, label: None }).contains("say which key"));
        assert!(refused(&by_label("alone")).contains("public half"));
        let both = KeyLocator { id: Some(vec![2]), label: Some("twins".into()) };
        token.adopt(Uuid::now_v7(), ComponentRole::Sign, &both).unwrap();
    });
}

#[test]
fn a_key_that_sealcard_made_keeps_its_role() {
    alone("adopt::a_key_that_sealcard_made_keeps_its_role", |hsm| {
        let token = hsm.open();
        let (key, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        let error = token.adopt(Uuid::now_v7(), ComponentRole::Authenticate, &by_label(&evidence.label)).unwrap_err();
        assert!(error.to_string().contains("was made for the role sign"), "{error}");
        let (again, _) = token.adopt(Uuid::now_v7(), ComponentRole::Sign, &by_label(&evidence.label)).unwrap();
        assert_eq!(again.public_key, key.public_key);
    });
}
