//! Logging in, and what becomes of a login that is lost.

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::UserType,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer::pkcs11::{
    Token,
    config::{Pin, TokenConfig},
};
use sealcard_signer_protocol::{KeyLocator, SignerError};
use uuid::Uuid;

use super::softhsm::{LABEL, PIN, SoftHsm, alone, make, perform, sign, signature};

fn pin(text: &str) -> Pin {
    Pin::new(text.into())
}

#[test]
fn a_wrong_pin_is_told_and_the_token_stays_locked() {
    alone("login::a_wrong_pin_is_told_and_the_token_stays_locked", |hsm| {
        let token = hsm.locked("");
        assert!(!token.is_unlocked());
        let error = token.unlock(&pin("4321"), false).unwrap_err();
        assert_eq!(error.error, SignerError::PinRefused { code: "CKR_PIN_INCORRECT".into() });
        assert!(!error.fatal && !token.is_unlocked());
        let warnings = token.probe().unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.starts_with("a wrong PIN was given")), "{warnings:?}");
        let error = token.unlock(&pin("1"), false).unwrap_err();
        assert!(matches!(error.error, SignerError::PinRefused { .. }), "{error:?}");
        token.unlock(&pin(PIN), true).unwrap();
        assert!(token.is_unlocked());
        // With the login done no PIN is tried, also a wrong one.
        token.unlock(&pin("4321"), true).unwrap();
        assert!(!token.probe().unwrap().flags.contains(&"CKF_USER_PIN_COUNT_LOW".to_owned()));
    });
}

#[test]
fn without_a_login_keys_are_neither_made_nor_used() {
    alone("login::without_a_login_keys_are_neither_made_nor_used", |hsm| {
        let token = hsm.locked("");
        let locked = |error: sealcard_signer::pkcs11::TokenError| assert_eq!(error.error, SignerError::Locked);
        let (algorithm, role) = (ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
        locked(token.generate(Uuid::now_v7(), algorithm, role).unwrap_err());
        let locator = KeyLocator { id: None, label: Some("a".into()) };
        locked(token.adopt(Uuid::now_v7(), role, &locator).unwrap_err());
        token.unlock(&pin(PIN), false).unwrap();
        let (key, _) = make(&token, algorithm, role);
        another(&token, |module, slot| module.open_ro_session(slot).unwrap().logout().unwrap());
        locked(perform(&token, &key, &sign(HashAlgorithm::Sha256, 1)).unwrap_err());
        assert!(!token.is_unlocked());
        locked(perform(&token, &key, &sign(HashAlgorithm::Sha256, 1)).unwrap_err());
        locked(token.destroy(&key).unwrap_err());
        token.unlock(&pin(PIN), false).unwrap();
        signature(&token, &key, &sign(HashAlgorithm::Sha256, 1));
    });
}

#[test]
fn somebody_elses_login_in_the_process_is_as_good() {
    alone("login::somebody_elses_login_in_the_process_is_as_good", |hsm| {
        let token = hsm.locked("");
        let mut session = None;
        another(&token, |module, slot| {
            let theirs = module.open_ro_session(slot).unwrap();
            theirs.login(UserType::User, Some(&PIN.into())).unwrap();
            session = Some(theirs);
        });
        token.unlock(&pin(PIN), false).unwrap();
        make(&token, ComponentAlgorithm::EcdsaP256, ComponentRole::Sign);
    });
}

#[test]
fn lost_sessions_are_reopened_and_a_login_that_went_with_them_is_asked_for() {
    alone("login::lost_sessions_are_reopened_and_a_login_that_went_with_them_is_asked_for", |hsm| {
        let token = hsm.open();
        let (key, _) = make(&token, ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
        let operation = sign(HashAlgorithm::Sha512, 1);
        signature(&token, &key, &operation);
        // All sessions go, also the one that kept the login.
        another(&token, |module, _| module.clone().finalize().unwrap());
        let error = perform(&token, &key, &operation).unwrap_err();
        assert!(error.fatal && error.to_string().contains("CKR_CRYPTOKI_NOT_INITIALIZED"), "{error}");
        let module = Pkcs11::new(SoftHsm::module()).unwrap();
        module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        assert_eq!(perform(&token, &key, &operation).unwrap_err().error, SignerError::Locked);
        token.unlock(&pin(PIN), false).unwrap();
        signature(&token, &key, &operation);
    });
}

#[test]
fn a_token_that_is_not_there_is_named_beside_those_that_are() {
    alone("login::a_token_that_is_not_there_is_named_beside_those_that_are", |hsm| {
        let text = hsm.toml("").replace(LABEL, "another");
        let error = absent(&TokenConfig::parse(text.as_bytes()).unwrap());
        assert!(error.contains("no token fits the label \"another\"") && error.contains(LABEL), "{error}");
    });
}

#[test]
fn a_token_is_found_by_its_uri() {
    alone("login::a_token_is_found_by_its_uri", |hsm| {
        hsm.util(&["--init-token", "--free", "--label", "second", "--so-pin", "12345678", "--pin", PIN]);
        let text = hsm.toml("").replace(
            &format!("label = {LABEL:?}"),
            "uri = \"pkcs11:token=sealcard%20tests;manufacturer=SoftHSM%20project;library-version=2.6\"",
        );
        let token = Token::open(&TokenConfig::parse(text.as_bytes()).unwrap(), |_| {}).unwrap();
        assert_eq!(token.name().0, LABEL);
    });
}

#[test]
fn two_tokens_that_fit_are_refused() {
    alone("login::two_tokens_that_fit_are_refused", |hsm| {
        hsm.util(&["--init-token", "--free", "--label", LABEL, "--so-pin", "12345678", "--pin", PIN]);
        let error = absent(&hsm.config(""));
        assert!(error.contains("2 tokens fit"), "{error}");
    });
}

#[test]
fn a_module_that_is_none_is_refused() {
    alone("login::a_module_that_is_none_is_refused", |hsm| {
        for (module, why) in
            [("/nowhere/libnone.so", "/nowhere/libnone.so"), ("/lib/x86_64-linux-gnu/libm.so.6", "C_GetFunctionList")]
        {
            let text = hsm.toml("").replace(SoftHsm::module(), module);
            let error = absent(&TokenConfig::parse(text.as_bytes()).unwrap());
            assert!(error.contains(why), "{error}");
        }
    });
}

fn absent(config: &TokenConfig) -> String {
    match Token::open(config, |_| {}) {
        Err(error) if error.fatal && matches!(error.error, SignerError::TokenAbsent(_)) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("there is one"),
    }
}

/// What another part of the process might do with the same module.
fn another(token: &Token, act: impl FnOnce(&Pkcs11, cryptoki::slot::Slot)) {
    let module = Pkcs11::new(SoftHsm::module()).unwrap();
    let fits = |slot: &cryptoki::slot::Slot| module.get_token_info(*slot).unwrap().serial_number() == token.name().1;
    let slot = module.get_slots_with_token().unwrap().into_iter().find(fits).unwrap();
    act(&module, slot);
}
