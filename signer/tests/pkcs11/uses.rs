//! Making and using keys of each algorithm.

use std::sync::{
    Barrier,
    atomic::{AtomicBool, Ordering},
};

use aws_lc_rs::{
    agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, UnparsedPublicKey, X25519},
    rsa::Pkcs1PublicEncryptingKey,
    signature::RsaPublicKeyComponents,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm, KeyAlgorithm};
use sealcard_signer::{operations::PublicKey, pkcs11::Token};
use sealcard_signer_protocol::{
    Certification, Input, Operation, PublicKeyBytes, ResponseBody, SignerError, StoredKey, check, check_certification,
};
use uuid::Uuid;

use super::softhsm::{self, SoftHsm, alone, make, perform, plaintext, sign, signature};

use ComponentRole::{Authenticate, Certify, Decrypt, Sign};

#[test]
fn keys_of_all_seven_algorithms_are_made_and_sign() {
    alone("uses::keys_of_all_seven_algorithms_are_made_and_sign", |hsm| {
        let token = hsm.open();
        for algorithm in KeyAlgorithm::ALL {
            for role in [Certify, Sign, Authenticate] {
                // RSA keys take seconds to make; one role is as good as the other.
                if algorithm.is_rsa() && role != Sign {
                    continue;
                }
                signs(&token, ComponentAlgorithm::of(algorithm, role), role);
            }
        }
    });
}

fn signs(token: &Token, algorithm: ComponentAlgorithm, role: ComponentRole) {
    let (key, evidence) = make(token, algorithm, role);
    assert_eq!((key.algorithm, key.role), (algorithm, role));
    assert_eq!(evidence.id, key.component.simple().to_string());
    assert_eq!(evidence.label, format!("sealcard/{role}/{}", key.component));
    assert_eq!((evidence.sensitive, evidence.always_sensitive), (Some(true), Some(true)));
    assert_eq!((evidence.extractable, evidence.never_extractable), (Some(false), Some(true)));
    assert_eq!(evidence.local, Some(true));
    assert!(evidence.mechanism.unwrap().ends_with("KEY_PAIR_GEN"));
    let public = PublicKey::parse(algorithm, &key.public_key).unwrap();
    for hash in HashAlgorithm::ALL {
        let shortest = algorithm.curve().filter(|curve| curve.is_nist()).map_or(28, |curve| curve.width().min(64));
        if hash.digest_len() < shortest || (hash == HashAlgorithm::Sha224 && algorithm.family().is_rsa()) {
            continue;
        }
        let digest = vec![hash.digest_len() as u8; hash.digest_len()];
        match role {
            Certify => check_certification(&key, &Certification { hash, digest: digest.clone() }).unwrap(),
            Authenticate if algorithm == ComponentAlgorithm::EddsaEd25519 => continue,
            Authenticate => check(&key, &Operation::Authenticate { hash, digest: digest.clone() }).unwrap(),
            _ => check(&key, &Operation::Sign { hash, digest: digest.clone() }).unwrap(),
        }
        let input = Input::Digest(hash, &digest);
        let Ok(ResponseBody::Signature(made)) = token.perform(&key, input) else { panic!("{algorithm} {role}") };
        public.verify(input, &made).unwrap();
        assert!(public.verify(sign(hash, 0xEE).input(), &made).is_err(), "{algorithm}");
    }
}

#[test]
fn raw_rsa_gives_the_signatures_of_pkcs1() {
    alone("uses::raw_rsa_gives_the_signatures_of_pkcs1", |hsm| {
        let token = hsm.open_with("rsa = \"raw\"");
        let (key, _) = make(&token, ComponentAlgorithm::Rsa2048, Sign);
        let public = PublicKey::parse(key.algorithm, &key.public_key).unwrap();
        for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
            public.verify(sign(hash, 3).input(), &signature(&token, &key, &sign(hash, 3))).unwrap();
        }
    });
}

#[test]
fn rsa_keys_decrypt_and_every_other_ciphertext_fails_alike() {
    alone("uses::rsa_keys_decrypt_and_every_other_ciphertext_fails_alike", |hsm| {
        let token = hsm.open();
        let (key, _) = make(&token, ComponentAlgorithm::Rsa2048, Decrypt);
        let PublicKeyBytes::Rsa { n, .. } = &key.public_key else { panic!() };
        for secret in [&b"a session key"[..], b"", &[0; 7]] {
            let mut ciphertext = encrypted(&key, secret);
            assert_eq!(plaintext(&token, &key, &ciphertext), secret);
            ciphertext[200] ^= 1;
            fails(&token, &key, &ciphertext);
        }
        for ciphertext in [vec![], vec![1], vec![0xFF; 256], n.clone(), vec![1; 257], vec![7; 255]] {
            fails(&token, &key, &ciphertext);
        }
        assert_eq!(plaintext(&token, &key, &encrypted(&key, b"still there")), b"still there");
    });
}

/// A secret, encrypted to an RSA key.
pub fn encrypted(key: &StoredKey, secret: &[u8]) -> Vec<u8> {
    let PublicKeyBytes::Rsa { n, e } = &key.public_key else { panic!("{key:?}") };
    let public = RsaPublicKeyComponents { n, e }.try_into().unwrap();
    let mut ciphertext = vec![0; n.len()];
    Pkcs1PublicEncryptingKey::new(public).unwrap().encrypt(secret, &mut ciphertext).unwrap();
    ciphertext
}

fn fails(token: &Token, key: &StoredKey, ciphertext: &[u8]) {
    let error = perform(token, key, &Operation::Decrypt { ciphertext: ciphertext.to_vec() }).unwrap_err();
    assert_eq!(error.error, SignerError::DecryptionFailed);
    assert!(!error.fatal);
}

#[test]
fn ecdh_keys_agree_and_points_off_the_curve_never_reach_the_token() {
    alone("uses::ecdh_keys_agree_and_points_off_the_curve_never_reach_the_token", |hsm| {
        let token = hsm.open();
        for (algorithm, library) in [
            (ComponentAlgorithm::EcdhP256, &ECDH_P256),
            (ComponentAlgorithm::EcdhP384, &ECDH_P384),
            (ComponentAlgorithm::EcdhP521, &ECDH_P521),
            (ComponentAlgorithm::EcdhCv25519, &X25519),
        ] {
            let (key, _) = make(&token, algorithm, Decrypt);
            let PublicKeyBytes::Ec { point } = &key.public_key else { panic!() };
            // So often that a secret with a zero at its beginning is likely among them.
            for _ in 0..300 {
                let ephemeral = agreement::PrivateKey::generate(library).unwrap();
                let theirs = ephemeral.compute_public_key().unwrap();
                let peer = UnparsedPublicKey::new(library, point);
                let secret = agreement::agree(&ephemeral, peer, (), |secret| Ok(secret.to_vec())).unwrap();
                assert_eq!(plaintext(&token, &key, theirs.as_ref()), secret, "{algorithm}");
            }
            let width = algorithm.curve().unwrap().width();
            fails(&token, &key, &[]);
            fails(&token, &key, &point[1..]);
            fails(&token, &key, &vec![4; 2 * width + 1]);
            if algorithm == ComponentAlgorithm::EcdhCv25519 {
                fails(&token, &key, &[0; 32]);
            }
        }
    });
}

#[test]
fn a_key_does_only_what_its_role_allows() {
    alone("uses::a_key_does_only_what_its_role_allows", |hsm| {
        let token = hsm.open();
        let (signs, _) = make(&token, ComponentAlgorithm::EcdsaP256, Sign);
        let error = perform(&token, &signs, &Operation::Decrypt { ciphertext: vec![4; 65] }).unwrap_err();
        assert!(matches!(error.error, SignerError::RoleMismatch { .. }));
        // A row whose role was changed finds no key: the label on the token tells.
        let row = StoredKey { role: Decrypt, algorithm: ComponentAlgorithm::EcdhP256, ..signs.clone() };
        let error = perform(&token, &row, &Operation::Decrypt { ciphertext: point(&signs) }).unwrap_err();
        assert!(error.to_string().contains("was made for the role sign"), "{error}");
        let row = StoredKey { role: Authenticate, ..signs };
        let operation = Operation::Authenticate { hash: HashAlgorithm::Sha256, digest: vec![1; 32] };
        let error = perform(&token, &row, &operation).unwrap_err();
        assert!(error.to_string().contains("was made for the role sign"), "{error}");
        let error = token.generate(Uuid::now_v7(), ComponentAlgorithm::EcdsaP256, Decrypt).unwrap_err();
        assert!(matches!(error.error, SignerError::Invalid(_)));
    });
}

fn point(key: &StoredKey) -> Vec<u8> {
    match &key.public_key {
        PublicKeyBytes::Ec { point } => point.clone(),
        PublicKeyBytes::Rsa { .. } => panic!(),
    }
}

#[test]
fn a_row_with_another_public_key_or_place_is_refused() {
    alone("uses::a_row_with_another_public_key_or_place_is_refused", |hsm| {
        let token = hsm.open();
        let (one, _) = make(&token, ComponentAlgorithm::EcdsaP256, Sign);
        let (two, _) = make(&token, ComponentAlgorithm::EcdsaP256, Sign);
        let operation = sign(HashAlgorithm::Sha256, 1);
        // Also after the right row was used, and remembered.
        for _ in 0..2 {
            for row in [
                StoredKey { public_key: two.public_key.clone(), ..one.clone() },
                StoredKey { handle: two.handle.clone(), ..one.clone() },
            ] {
                let error = perform(&token, &row, &operation).unwrap_err();
                assert!(error.to_string().contains("has another public half"), "{error}");
                assert!(!token.knows(&row));
            }
            signature(&token, &one, &operation);
        }
        let error = perform(&token, &StoredKey { handle: vec![1, 2, 3], ..one }, &operation).unwrap_err();
        assert_eq!(error.error, SignerError::NotOurs);
    });
}

#[test]
fn a_destroyed_key_is_gone_for_good() {
    alone("uses::a_destroyed_key_is_gone_for_good", |hsm| {
        let token = hsm.open();
        let (key, _) = make(&token, ComponentAlgorithm::EddsaEd25519, Sign);
        let (other, _) = make(&token, ComponentAlgorithm::EddsaEd25519, Sign);
        let operation = sign(HashAlgorithm::Sha512, 1);
        assert!(!token.knows(&key));
        signature(&token, &key, &operation);
        assert!(token.knows(&key));
        let error = token.destroy(&StoredKey { public_key: other.public_key.clone(), ..key.clone() }).unwrap_err();
        assert!(error.to_string().contains("has another public half"), "{error}");
        signature(&token, &key, &operation);
        token.destroy(&key).unwrap();
        let error = perform(&token, &key, &operation).unwrap_err();
        assert!(error.to_string().contains("is not on this token"), "{error}");
        assert!(matches!(token.destroy(&key).unwrap_err().error, SignerError::NotOnToken(_)));
        signature(&token, &other, &operation);
        let objects = hsm.tool(&["--list-objects"]);
        assert!(!objects.contains(&key.component.to_string()), "{objects}");
        assert!(objects.contains(&other.component.to_string()), "{objects}");
    });
}

#[test]
fn a_component_has_one_key() {
    alone("uses::a_component_has_one_key", |hsm| {
        let token = hsm.open();
        let (key, _) = make(&token, ComponentAlgorithm::EcdsaP256, Sign);
        let error = token.generate(key.component, ComponentAlgorithm::EcdsaP384, Sign).unwrap_err();
        assert!(error.to_string().contains("is on the token already"), "{error}");
    });
}

#[test]
fn sixteen_threads_share_the_sessions_that_there_are() {
    alone("uses::sixteen_threads_share_the_sessions_that_there_are", |hsm| {
        let token = hsm.open_with("sessions = 3");
        assert_eq!(token.sessions(), 3);
        let keys = [
            make(&token, ComponentAlgorithm::Rsa2048, Sign).0,
            make(&token, ComponentAlgorithm::EcdsaP256, Sign).0,
            make(&token, ComponentAlgorithm::EddsaEd25519, Sign).0,
        ];
        let publics = keys.each_ref().map(|key| PublicKey::parse(key.algorithm, &key.public_key).unwrap());
        let together = Barrier::new(16);
        std::thread::scope(|scope| {
            for thread in 0..16_u8 {
                let (token, keys, publics, together) = (&token, &keys, &publics, &together);
                scope.spawn(move || {
                    together.wait();
                    for round in 0..60_u8 {
                        let which = usize::from(thread + round) % keys.len();
                        let operation = sign(HashAlgorithm::Sha256, thread.wrapping_mul(61) ^ round);
                        let made = signature(token, &keys[which], &operation);
                        publics[which].verify(operation.input(), &made).unwrap();
                    }
                });
            }
        });
    });
}

#[test]
fn a_call_that_takes_longer_than_its_deadline_is_told() {
    alone("uses::a_call_that_takes_longer_than_its_deadline_is_told", |hsm: &SoftHsm| {
        let (tell, told) = std::sync::mpsc::channel();
        let config = hsm.config("deadlines = { generation-seconds = 1 }");
        let token = Token::open(&config, move |timed_out| {
            let _ = tell.send(timed_out);
        })
        .unwrap();
        token.unlock(&sealcard_signer::pkcs11::config::Pin::new(softhsm::PIN.into()), false).unwrap();
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // At some time one of them takes longer than a second. A process that ended meanwhile would take the
            // module's memory away under it.
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    token.generate(Uuid::now_v7(), ComponentAlgorithm::Rsa4096, Sign).unwrap();
                }
            });
            let first = told.recv_timeout(softhsm::DEADLINE);
            enough.store(true, Ordering::Relaxed);
            assert_eq!(first.unwrap().what, "making a key");
        });
    });
}
