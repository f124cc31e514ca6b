//! Keeper and worker of an environment whose keys lie on a PKCS#11 token (SoftHSM2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Signer, generate, run};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer_protocol::envelope::{Binding, Purpose, RecipientKey};
use sealcard_signer_protocol::{
    KeeperAnswer, KeeperRefusal, KeeperRequestBody, Operation, RequestBody, ResponseBody, SecretKind, SignerError,
    StoreState,
};

const PIN: &str = "1234";

/// An environment with a SoftHSM2 token of its own.
struct Environment {
    outer: tempfile::TempDir,
}

impl Environment {
    /// `pin` as `token.toml` says where the PIN comes from.
    fn new(pin: &str) -> Self {
        let environment = Self { outer: tempfile::tempdir().unwrap() };
        let tokens = environment.path("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(environment.path("softhsm2.conf"), conf).unwrap();
        environment.make_token();
        environment.write_pin(PIN);
        let config = environment.path("config.toml");
        fs::write(&config, environment.config(pin)).unwrap();
        let folder = environment.folder();
        let args = ["init-token", "--folder", folder.to_str().unwrap(), "--config", config.to_str().unwrap()];
        let made = run(&args, "");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        environment
    }

    fn make_token(&self) {
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "sealcard", "--so-pin", "12345678", "--pin", PIN])
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.outer.path().join(name)
    }

    fn folder(&self) -> PathBuf {
        self.path("hsm")
    }

    fn write_pin(&self, pin: &str) {
        let path = self.path("pin");
        fs::write(&path, format!("{pin}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn config(&self, pin: &str) -> String {
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
        let module = places.into_iter().find(|place| Path::new(place).exists()).expect("softhsm2 is installed");
        let pin = pin.replace("PINFILE", self.path("pin").to_str().unwrap());
        let (conf, tokens) = (self.path("softhsm2.conf"), self.path("tokens"));
        format!(
            "module = {module:?}\ntoken = {{ label = \"sealcard\" }}\npin = {pin}\n\n[sandbox]\nread = [{conf:?}]\n\
             write = [{tokens:?}]\nenvironment = {{ SOFTHSM2_CONF = {conf:?} }}\n"
        )
    }
}

fn sign(byte: u8) -> Operation {
    Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![byte; 32] }
}

fn state(signer: &mut Signer) -> StoreState {
    match signer.ask(RequestBody::Status) {
        Ok(ResponseBody::Status { state, .. }) => state,
        other => panic!("{other:?}"),
    }
}

fn kill_worker(signer: &mut Signer) {
    kill(Pid::from_raw(i32::try_from(signer.worker_pid()).unwrap()), Signal::SIGKILL).unwrap();
    signer.next_worker();
}

#[test]
fn a_configured_pin_is_used_when_the_server_asks_and_only_then() {
    let environment = Environment::new("{ file = \"PINFILE\" }");
    let mut signer = Signer::start(&environment.folder());
    assert_eq!(state(&mut signer), StoreState::Locked);
    let make = generate(ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign);
    assert_eq!(signer.ask(make.clone()), Err(SignerError::Locked));
    assert_eq!(signer.ask(RequestBody::Unlock), Ok(ResponseBody::Unlocked));
    assert_eq!(state(&mut signer), StoreState::Open);
    let Ok(ResponseBody::Generated { key, evidence: Some(evidence) }) = signer.ask(make) else { panic!() };
    assert_eq!((evidence.sensitive, evidence.extractable), (Some(true), Some(false)));
    for byte in 0..20 {
        assert!(matches!(signer.operate(&key, sign(byte)), Ok(ResponseBody::Signature(_))));
    }
    // The next worker has the PIN, and asks nobody for it; that it is used again is the server's to note.
    kill_worker(&mut signer);
    assert_eq!(state(&mut signer), StoreState::Locked);
    assert_eq!(signer.operate(&key, sign(1)), Err(SignerError::Locked));
    assert_eq!(signer.ask(RequestBody::Unlock), Ok(ResponseBody::Unlocked));
    assert!(matches!(signer.operate(&key, sign(1)), Ok(ResponseBody::Signature(_))));
    assert!(matches!(signer.ask(RequestBody::Probe), Ok(ResponseBody::Probed(_))));
    let (component, origin) = (uuid::Uuid::now_v7(), "example.org/log".to_owned());
    let checkpoints =
        RequestBody::GenerateCheckpointKey { component, origin, master_key: None, stated: common::stated() };
    for body in [checkpoints, RequestBody::CheckpointState { component }] {
        assert!(matches!(signer.ask(body), Err(SignerError::Unsupported(_))));
    }
    let destroy = RequestBody::Destroy { key: key.clone(), stated: common::stated() };
    assert_eq!(signer.ask(destroy), Ok(ResponseBody::Destroyed));
    assert!(matches!(signer.operate(&key, sign(1)), Err(SignerError::NotOnToken(_))));
    assert!(signer.stop().success());
    let (fine, text) = common::verify_journal(&environment.folder());
    assert!(fine && text.starts_with("entries: 23\n"), "{text}");
}

#[test]
fn a_wrong_pin_is_tried_once_and_forgotten_until_a_person_acts() {
    let environment = Environment::new("{ file = \"PINFILE\" }");
    environment.write_pin("9999");
    let folder = environment.folder();
    let mut signer = Signer::start(&folder);
    assert!(matches!(signer.ask(RequestBody::Unlock), Err(SignerError::PinRefused { .. })));
    assert_eq!(state(&mut signer), StoreState::Sealed);
    assert_eq!(signer.ask(RequestBody::Unlock), Err(SignerError::Sealed));
    // Neither this worker nor the next has it any more.
    kill_worker(&mut signer);
    assert_eq!(state(&mut signer), StoreState::Sealed);
    environment.write_pin(PIN);
    let unsealed = run(&["unseal", "--folder", folder.to_str().unwrap()], "");
    assert!(unsealed.status.success(), "{}", String::from_utf8_lossy(&unsealed.stderr));
    assert_eq!(state(&mut signer), StoreState::Open);
    // It was right, but the token may have another one by now: a later worker waits until the server has noted the
    // attempt.
    kill_worker(&mut signer);
    assert_eq!(state(&mut signer), StoreState::Locked);
    assert_eq!(signer.ask(RequestBody::Unlock), Ok(ResponseBody::Unlocked));
    assert_eq!(state(&mut signer), StoreState::Open);
}

#[test]
fn a_person_gives_the_pin_through_the_server_in_an_envelope() {
    let environment = Environment::new("\"person\"");
    let mut signer = Signer::start(&environment.folder());
    assert_eq!(state(&mut signer), StoreState::Sealed);
    let answer = signer.ask_keeper(KeeperRequestBody::Status);
    assert!(matches!(answer, Ok(KeeperAnswer::Status { secret: SecretKind::Pin, .. })), "{answer:?}");
    let attempt = |signer: &mut Signer, pin: &str| {
        let answer = signer.ask_keeper(KeeperRequestBody::Recipient);
        let Ok(KeeperAnswer::Recipient { public_key, nonce }) = answer else { panic!("{answer:?}") };
        let keeper = RecipientKey(public_key);
        let envelope = keeper.close(Purpose::Unseal, &Binding::unseal(&keeper, &nonce), pin.as_bytes()).unwrap();
        signer.ask_keeper(KeeperRequestBody::UnsealWith { nonce, envelope })
    };
    let wrong = attempt(&mut signer, "9999");
    assert!(matches!(&wrong, Err(KeeperRefusal::StaysSealed(why)) if why.contains("CKR_PIN_INCORRECT")), "{wrong:?}");
    assert_eq!(attempt(&mut signer, PIN), Ok(KeeperAnswer::Unsealed));
    assert_eq!(state(&mut signer), StoreState::Open);
}

#[test]
fn a_token_that_comes_later_is_found_without_anyone_doing_anything() {
    let environment = Environment::new("{ file = \"PINFILE\" }");
    let (tokens, away) = (environment.path("tokens"), environment.path("away"));
    fs::rename(&tokens, &away).unwrap();
    fs::create_dir(&tokens).unwrap();
    let mut signer = Signer::start(&environment.folder());
    assert!(matches!(state(&mut signer), StoreState::Absent(_)));
    fs::remove_dir(&tokens).unwrap();
    fs::rename(&away, &tokens).unwrap();
    signer.next_worker();
    while state(&mut signer) != StoreState::Locked {
        signer.next_worker();
    }
    assert_eq!(signer.ask(RequestBody::Unlock), Ok(ResponseBody::Unlocked));
}

#[test]
fn a_module_sees_only_what_is_declared() {
    let environment = Environment::new("\"person\"");
    let output = run(&["sandbox", "--json", "--folder", environment.folder().to_str().unwrap()], "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));

    // Without its files the module finds no token.
    let config = environment.folder().join("token.toml");
    let tokens = format!("{:?}", environment.path("tokens"));
    fs::write(&config, fs::read_to_string(&config).unwrap().replace(&format!("write = [{tokens}]\n"), "")).unwrap();
    let mut signer = Signer::start(&environment.folder());
    assert!(matches!(state(&mut signer), StoreState::Absent(_)));
}
