//! Tokens that do not keep to the standard, each a row of the table in docs/tokens.md. A module in front of SoftHSM
//! plays them (`tests/pkcs11-shim`).

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer::pkcs11::{Token, config::Pin};
use sealcard_signer_protocol::{KeyEvidence, KeyLocator, Operation, PublicKeyBytes, SignerError, StoredKey};
use uuid::Uuid;

use super::{
    softhsm::{PIN, SoftHsm, alone, make, perform, plaintext, sign, signature},
    uses::encrypted,
};

/// `CKA_CLASS` of a private key, as a rule has it.
const PRIVATE: &str = "has=0x0:0300000000000000";

/// Defines a test that has a token of its own.
macro_rules! rows {
    ($($name:ident: $test:expr;)*) => {
        $(#[test]
        fn $name() {
            alone(concat!("odd::", stringify!($name)), $test);
        })*
    };
}

rows! {
    keys_that_share_an_id_are_told_apart_by_label: |hsm| {
        for label in ["one", "two"] {
            let kind = ["--key-type", "EC:prime256v1", "--usage-sign", "--id", "07", "--label", label];
            hsm.tool(&[&["--keypairgen"], &kind[..]].concat());
        }
        let token = hsm.open();
        let (one, _) = adopt(&token, &named(None, Some("one"))).unwrap();
        let (two, _) = adopt(&token, &named(Some(&[7]), Some("two"))).unwrap();
        assert_ne!(one.public_key, two.public_key);
        for key in [one, two] {
            signs(&token, &key);
        }
        let error = adopt(&token, &named(Some(&[7]), None)).unwrap_err();
        assert!(error.contains("\"one\"") && error.contains("\"two\""), "{error}");
    };
    ids_that_the_token_cuts_get_another_form: |hsm| {
        let token = hsm.odd(&["C_GenerateKeyPair always cut 0x102 2", "C_FindObjectsInit always cut 0x102 2"]);
        let made: Vec<_> = (0..3).map(|_| make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign)).collect();
        for (key, evidence) in &made {
            assert_eq!(evidence.id.len(), 4);
            signs(&token, key);
        }
        assert!(made[0].1.id != made[1].1.id && made[1].1.id != made[2].1.id);
        token.destroy(&made[0].0).unwrap();
        signs(&token, &made[1].0);
    };
    long_ids_and_labels_that_are_refused_get_another_form: |hsm| {
        let token = hsm.odd(&[
            "C_GenerateKeyPair always if longer=0x102:2 return 0x13",
            "C_GenerateKeyPair always if longer=0x3:40 return 0x13",
        ]);
        let (key, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Authenticate);
        assert!(evidence.id.len() == 4 && evidence.label.len() <= 40, "{evidence:?}");
        perform(&token, &key, &Operation::Authenticate { hash: HashAlgorithm::Sha256, digest: vec![7; 32] }).unwrap();
        token.destroy(&key).unwrap();
    };
    a_token_that_takes_no_label_is_refused_with_the_attributes_named: |hsm| {
        let token = hsm.odd(&["C_GenerateKeyPair always if names=0x3 return 0x12"]);
        let error = refused(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert!(error.contains("CKA_LABEL") && error.contains("CKR_ATTRIBUTE_TYPE_INVALID"), "{error}");
    };
    attributes_that_the_token_refuses_are_left_out: |hsm| {
        let token = hsm.odd(&["C_GenerateKeyPair always if has=0x2:00 return 0x13"]);
        let (key, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert_eq!((evidence.sensitive, evidence.extractable), (Some(true), Some(false)));
        signs(&token, &key);
    };
    several_attributes_that_the_token_refuses_are_left_out: |hsm| {
        let token = hsm.odd(&[
            "C_GenerateKeyPair always if has=0x2:00 return 0x13",
            "C_GenerateKeyPair always if names=0x170 return 0xD1",
            "C_GenerateKeyPair always if names=0x10c return 0x12",
        ]);
        let (key, _) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        signs(&token, &key);
    };
    an_attribute_that_a_key_needs_is_named_when_it_is_refused: |hsm| {
        let token = hsm.odd(&["C_GenerateKeyPair always if names=0x10c return 0x12"]);
        let (key, _) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        signs(&token, &key);
        let error = refused(&token, ComponentAlgorithm::EcdhP256, ComponentRole::Decrypt);
        assert!(error.contains("CKA_DERIVE"), "{error}");
    };
    the_trouble_of_another_slot_is_passed_over: |hsm| {
        let token = hsm.odd(&["C_GetTokenInfo always if slot=1 return 0x30"]);
        make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
    };
    a_mechanism_that_is_not_described_does_not_count: |hsm| {
        let token = hsm.odd(&["C_GetMechanismInfo always if mechanism=0x1041 return 0x30"]);
        let (key, _) = make(&token, ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
        signs(&token, &key);
        let error = refused(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert!(error.contains("CKM_ECDSA") && error.contains("CKR_DEVICE_ERROR"), "{error}");
        let warnings = token.probe().unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.contains("CKM_ECDSA")), "{warnings:?}");
    };
    texts_that_are_padded_with_nul_are_read: |hsm| {
        let token = hsm.odd(&["C_GetTokenInfo always pad-with-nul"]);
        let (_, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert!(!evidence.token_label.contains('\0') && !evidence.token_serial.contains('\0'), "{evidence:?}");
    };
    a_token_that_says_it_is_not_initialized_is_found: |hsm| {
        let token = hsm.odd(&["C_GetTokenInfo always clear-flags 0x400"]);
        make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
    };
    flags_that_speak_of_a_bad_pin_are_hints: |hsm| {
        // CKF_USER_PIN_LOCKED set, CKF_USER_PIN_INITIALIZED not.
        hsm.play(&["C_GetTokenInfo always set-flags 0x40000", "C_GetTokenInfo always clear-flags 0x8"]);
        let token = hsm.odd_locked("");
        let error = token.unlock(&Pin::new("9999".into()), false).unwrap_err().to_string();
        assert!(error.contains("CKR_PIN_INCORRECT") && error.contains("CKF_USER_PIN_LOCKED"), "{error}");
        token.unlock(&Pin::new(PIN.into()), false).unwrap();
        make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
    };
    a_pin_that_is_not_tried_is_not_called_refused: |hsm| {
        hsm.play(&["C_GetTokenInfo always set-flags 0x20000", "C_Login 1 return 0x30"]);
        let token = hsm.odd_locked("");
        let error = token.unlock(&Pin::new(PIN.into()), false).unwrap_err();
        assert!(matches!(error.error, SignerError::PinNotTried(_)), "{error:?}");
        assert!(error.to_string().contains("was not tried"), "{error}");
    };
    a_flag_for_the_last_attempt_can_be_ignored: |hsm| {
        hsm.play(&["C_GetTokenInfo always set-flags 0x20000"]);
        let token = hsm.odd_locked("ignore-pin-flags = true");
        token.unlock(&Pin::new(PIN.into()), false).unwrap();
    };
    a_token_that_forgets_to_ask_for_a_login_gets_one: |hsm| {
        hsm.play(&["C_GetTokenInfo always clear-flags 0x4"]);
        let token = hsm.odd_locked("");
        let error = token.generate(Uuid::now_v7(), ComponentAlgorithm::EcdsaP256, ComponentRole::Sign).unwrap_err();
        assert_eq!(error.error, SignerError::Locked);
        token.unlock(&Pin::new(PIN.into()), false).unwrap();
        make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
    };
    a_token_without_logins_that_refuses_one_is_used_without: |hsm| {
        hsm.play(&["C_GetTokenInfo always clear-flags 0x4", "C_Login always return 0x54"]);
        let token = hsm.odd_locked("");
        adopt(&token, &named(None, Some("none"))).unwrap_err();
        assert!(!token.is_unlocked());
        token.unlock(&Pin::new(PIN.into()), false).unwrap();
        assert!(token.is_unlocked());
        let error = adopt(&token, &named(None, Some("none"))).unwrap_err();
        assert!(error.contains("no private key"), "{error}");
    };
    points_are_read_in_each_form_that_tokens_give: |hsm| {
        let token = hsm.odd(&[]);
        let (ec, ec_name) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        let (ed, ed_name) = make(&token, ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
        for (key, evidence, header) in [(ec, ec_name, ""), (ed.clone(), ed_name.clone(), ""), (ed, ed_name, "032100")] {
            let raw = hex(point(&key));
            hsm.play(&[&format!("C_GetAttributeValue always if has=0x0:0200000000000000 answer 0x181 {header}{raw}")]);
            let (adopted, _) = adopt(&token, &named(None, Some(&evidence.label))).unwrap();
            assert_eq!(adopted.public_key, key.public_key);
        }
    };
    labels_that_end_with_nul_are_found: |hsm| {
        hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--usage-sign"]);
        // The module compares the NUL as well, so that it finds nothing.
        let token = hsm.odd(&["C_GetAttributeValue always append 0x3 00", "C_FindObjectsInit always if names=0x3 cut \
            0x3 3"]);
        let (key, evidence) = adopt(&token, &named(None, Some("theirs"))).unwrap();
        assert_eq!(evidence.label, "theirs");
        signs(&token, &key);
    };
    a_search_that_ignores_its_template_finds_the_right_key: |hsm| {
        let token = hsm.odd(&["C_FindObjectsInit always omit 0x102", "C_FindObjectsInit always omit 0x3"]);
        let keys = [(); 2].map(|()| make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign));
        for (key, evidence) in &keys {
            signs(&token, key);
            let (adopted, _) = adopt(&token, &named(None, Some(&evidence.label))).unwrap();
            assert_eq!(adopted.public_key, key.public_key);
        }
    };
    an_object_that_is_found_twice_is_one: |hsm| {
        let token = hsm.odd(&["C_FindObjects always repeat"]);
        let (key, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        signs(&token, &key);
        adopt(&token, &named(None, Some(&evidence.label))).unwrap();
        token.destroy(&key).unwrap();
    };
    a_private_key_that_tells_its_point_needs_no_public_key: |hsm| {
        let kind = ["--key-type", "EC:prime256v1", "--label", "alone", "--id", "09", "--usage-sign"];
        hsm.tool(&[&["--keypairgen"], &kind[..]].concat());
        let token = hsm.odd(&[]);
        let (key, _) = adopt(&token, &named(None, Some("alone"))).unwrap();
        hsm.tool(&["--delete-object", "--type", "pubkey", "--id", "09"]);
        assert!(adopt(&token, &named(None, Some("alone"))).unwrap_err().contains("public half"));
        hsm.play(&[&format!("C_GetAttributeValue always if {PRIVATE} answer 0x181 {}", hex(point(&key)))]);
        let (again, _) = adopt(&token, &named(None, Some("alone"))).unwrap();
        assert_eq!(again.public_key, key.public_key);
        signs(&token, &again);
    };
    a_key_whose_label_the_token_replaced_is_still_ours: |hsm| {
        let token = hsm.odd(&["C_GetAttributeValue always answer 0x3 46"]);
        let (key, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert_eq!(evidence.label, "F");
        signs(&token, &key);
        token.destroy(&key).unwrap();
    };
    an_attribute_that_is_unknown_does_not_hide_the_others: |hsm| {
        let token = hsm.odd(&["C_GetAttributeValue always hide 0x202", "C_GetAttributeValue always hide 0x165"]);
        let (key, evidence) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert_eq!((evidence.sensitive, evidence.always_sensitive), (Some(true), None));
        signs(&token, &key);
    };
    a_key_that_does_not_say_that_it_is_sensitive_is_not_taken: |hsm| {
        hsm.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "theirs", "--id", "08", "--usage-sign"]);
        let token = hsm.odd(&["C_GetAttributeValue always hide 0x103"]);
        assert!(adopt(&token, &named(None, Some("theirs"))).unwrap_err().contains("CKA_SENSITIVE"));
        let error = refused(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        assert!(error.contains("CKA_SENSITIVE") && error.contains("destroyed"), "{error}");
        assert_eq!(private_keys(hsm), 1);
    };
    what_came_to_nothing_is_discarded_by_its_component: |hsm| {
        let token = hsm.odd(&[]);
        let (kept, _) = make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        let component = Uuid::now_v7();
        token.generate(component, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign).unwrap();
        assert_eq!(private_keys(hsm), 2);
        token.discard(component, ComponentRole::Sign).unwrap();
        token.discard(component, ComponentRole::Sign).unwrap();
        assert_eq!(private_keys(hsm), 1);
        signs(&token, &kept);
    };
    raw_decryption_is_given_up_when_the_token_lacks_it: |hsm| {
        let token = hsm.odd(&["C_DecryptInit always if mechanism=0x3 return 0x70"]);
        let (key, _) = make(&token, ComponentAlgorithm::Rsa2048, ComponentRole::Decrypt);
        assert_eq!(plaintext(&token, &key, &encrypted(&key, b"secret")), b"secret");
    };
    a_ciphertext_does_not_choose_how_others_are_decrypted: |hsm| {
        let token = hsm.odd(&[]);
        let (key, _) = make(&token, ComponentAlgorithm::Rsa2048, ComponentRole::Decrypt);
        let right = encrypted(&key, b"secret");
        hsm.play(&["C_Decrypt 1 return 0x40", "C_DecryptInit always if mechanism=0x1 return 0x70"]);
        let failed = perform(&token, &key, &Operation::Decrypt { ciphertext: right.clone() }).unwrap_err();
        assert_eq!(failed.error, SignerError::DecryptionFailed);
        // The token's own unpadding would be refused.
        assert_eq!(plaintext(&token, &key, &right), b"secret");
    };
}

fn named(id: Option<&[u8]>, label: Option<&str>) -> KeyLocator {
    KeyLocator { id: id.map(<[u8]>::to_vec), label: label.map(str::to_owned) }
}

fn adopt(token: &Token, locator: &KeyLocator) -> Result<(StoredKey, KeyEvidence), String> {
    token.adopt(Uuid::now_v7(), ComponentRole::Sign, locator).map_err(|error| error.to_string())
}

fn refused(token: &Token, algorithm: ComponentAlgorithm, role: ComponentRole) -> String {
    token.generate(Uuid::now_v7(), algorithm, role).unwrap_err().to_string()
}

fn signs(token: &Token, key: &StoredKey) {
    signature(token, key, &sign(HashAlgorithm::Sha256, 7));
}

fn point(key: &StoredKey) -> &[u8] {
    match &key.public_key {
        PublicKeyBytes::Ec { point } => point,
        other @ PublicKeyBytes::Rsa { .. } => panic!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn private_keys(hsm: &SoftHsm) -> usize {
    hsm.tool(&["--list-objects", "--type", "privkey"]).matches("Private Key Object").count()
}
