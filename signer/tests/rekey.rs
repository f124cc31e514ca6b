//! Another master key, and another secret that opens the seal, with the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{fs, path::Path, process::Output};

use common::{Signer, init, run};
use sealcard_api::algorithm::{ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign, HashAlgorithm};
use sealcard_signer_protocol::{
    Growth, KeeperAnswer, KeeperRequestBody, LogHead, MasterKeyId, Operation, RequestBody, ResponseBody, SignerError,
    StoredKey,
};

const OLD: &str = "correct horse battery";
const NEW: &str = "staple horse battery";

fn command(name: &str, folder: &Path, more: &[&str]) -> Output {
    let folder = folder.to_str().unwrap();
    run(&[&[name, "--folder", folder], more].concat(), "")
}

fn succeeds(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn master_keys(signer: &mut Signer) -> Vec<MasterKeyId> {
    match signer.ask(RequestBody::MasterKeys) {
        Ok(ResponseBody::MasterKeys(ids)) => ids,
        other => panic!("{other:?}"),
    }
}

fn reseal(signer: &mut Signer, key: &StoredKey, master_key: MasterKeyId) -> StoredKey {
    match signer.ask(RequestBody::Reseal { key: key.clone(), master_key }) {
        Ok(ResponseBody::Resealed { key }) => key,
        other => panic!("{other:?}"),
    }
}

fn signs(signer: &mut Signer, key: &StoredKey) -> Result<(), SignerError> {
    let operation = Operation::Sign { hash: HashAlgorithm::Sha256, digest: vec![1; 32] };
    signer.operate(key, operation).map(drop)
}

#[test]
fn keys_are_resealed_in_use_and_the_old_master_key_goes_last() {
    let folder = common::folder();
    let path = folder.path();
    let mut signer = Signer::start(path);
    let key = signer.generate(EddsaEd25519, Sign);
    let (component, origin) = (uuid::Uuid::now_v7(), "example.org/log".to_owned());
    let make = RequestBody::GenerateCheckpointKey { component, origin, master_key: None, stated: common::stated() };
    let Ok(ResponseBody::CheckpointKey(checkpoints)) = signer.ask(make) else { panic!() };
    let before = master_keys(&mut signer);
    assert_eq!(MasterKeyId::of_handle(&key.handle), Some(before[0]));
    assert!(refused(&command("rekey", path, &["--finish"])).contains("nothing to remove"));

    assert!(succeeds(&command("rekey", path, &[])).contains("the store has a new master key"));
    let both = master_keys(&mut signer);
    assert_eq!((both.len(), both[0]), (2, before[0]));
    let again = refused(&command("rekey", path, &[]));
    assert!(again.contains("there is a new master key already"), "{again}");
    // New keys are sealed as before, until the server says otherwise.
    let later = signer.generate(EddsaEd25519, Sign);
    assert_eq!(MasterKeyId::of_handle(&later.handle), Some(both[0]));

    let resealed = reseal(&mut signer, &key, both[1]);
    assert_eq!(MasterKeyId::of_handle(&resealed.handle), Some(both[1]));
    assert_eq!(StoredKey { handle: key.handle.clone(), ..resealed.clone() }, key);
    let reseal = RequestBody::ResealCheckpointKey { key: checkpoints.clone(), master_key: both[1] };
    let Ok(ResponseBody::CheckpointKey(checkpoints_resealed)) = signer.ask(reseal) else { panic!() };
    assert_eq!(MasterKeyId::of_handle(&checkpoints_resealed.handle), Some(both[1]));
    let head = LogHead { size: 1, root: [7; 32] };
    for key in [checkpoints, checkpoints_resealed] {
        let growth = Growth { head, old_size: 0, proof: vec![] };
        let sign = RequestBody::SignCheckpoint { key, growth, stated: common::stated() };
        assert!(matches!(signer.ask(sign), Ok(ResponseBody::Checkpoint { .. })));
    }
    for usable in [&key, &resealed, &later] {
        signs(&mut signer, usable).unwrap();
    }
    // The id is authenticated.
    let mut swapped = resealed.clone();
    swapped.handle[1..9].copy_from_slice(&both[0].0);
    assert_eq!(signs(&mut signer, &swapped), Err(SignerError::NotOurs));

    let in_use = refused(&command("rekey", path, &["--finish"]));
    assert!(in_use.contains(&format!("still stored under master key {}", both[0])), "{in_use}");
    let unused = KeeperRequestBody::UnusedMasterKeys(vec![both[0]]);
    assert_eq!(signer.ask_keeper(unused), Ok(KeeperAnswer::Noted));
    succeeds(&command("rekey", path, &["--finish"]));
    assert_eq!(master_keys(&mut signer), both[1..]);
    signs(&mut signer, &resealed).unwrap();
    assert_eq!(signs(&mut signer, &later), Err(SignerError::UnknownMasterKey(both[0])));
    signer.stop();

    let mut signer = Signer::start(path);
    assert_eq!(master_keys(&mut signer), both[1..]);
    signs(&mut signer, &resealed).unwrap();
    assert_eq!(signs(&mut signer, &key), Err(SignerError::UnknownMasterKey(both[0])));
}

#[test]
fn other_server_takes_the_new_key_over_and_loses_none() {
    let (first, second) = (common::folder(), tempfile::tempdir().unwrap());
    let mut signer = Signer::start(first.path());
    let key = signer.generate(EddsaEd25519, Sign);
    for name in ["seal.json", "master.key", "keeper.key"] {
        fs::copy(first.path().join(name), second.path().join(name)).unwrap();
    }
    fs::write(second.path().join("journal.jsonl"), "").unwrap();
    let mut other = Signer::start(second.path());
    succeeds(&command("rekey", first.path(), &[]));
    let both = master_keys(&mut signer);
    let resealed = reseal(&mut signer, &key, both[1]);
    assert_eq!(signs(&mut other, &resealed), Err(SignerError::UnknownMasterKey(both[1])));

    let seal = first.path().join("seal.json");
    succeeds(&command("rekey", second.path(), &["--from", seal.to_str().unwrap()]));
    assert_eq!(master_keys(&mut other), both);
    signs(&mut other, &resealed).unwrap();

    // A file that lacks a key which may be in use is not taken.
    let strange = common::folder();
    let text =
        refused(&command("rekey", second.path(), &["--from", strange.path().join("seal.json").to_str().unwrap()]));
    assert!(text.contains("another secret"), "{text}");
    assert_eq!(signer.ask_keeper(KeeperRequestBody::UnusedMasterKeys(vec![both[0]])), Ok(KeeperAnswer::Noted));
    succeeds(&command("rekey", first.path(), &["--finish"]));
    let text = refused(&command("rekey", second.path(), &["--from", seal.to_str().unwrap()]));
    assert!(text.contains(&format!("lacks master key {}", both[0])), "{text}");
    assert_eq!(master_keys(&mut other), both);
}

#[cfg(feature = "failpoints")]
#[test]
fn crash_before_the_seal_is_replaced_changes_nothing() {
    let folder = common::folder();
    let mut signer = Signer::start(folder.path());
    let seal = fs::read(folder.path().join("seal.json")).unwrap();
    let before = master_keys(&mut signer);
    let crashed = std::process::Command::new(common::BINARY)
        .args(["rekey", "--folder"])
        .arg(folder.path())
        .env("FAILPOINTS", "signer::before_seal=return")
        .output()
        .unwrap();
    assert!(!crashed.status.success());
    assert_eq!(fs::read(folder.path().join("seal.json")).unwrap(), seal);
    assert_eq!(master_keys(&mut signer), before);
    succeeds(&command("rekey", folder.path(), &[]));
    assert_eq!(master_keys(&mut signer).len(), 2);
}

#[test]
fn another_secret_opens_the_same_keys() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("signer");
    init(&folder, &["--seal", "passphrase", "--passphrase-file", "-"], OLD);
    let file = |name: &str, text: &str| {
        let path = outer.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (old, new) = (file("old", OLD), file("new", NEW));
    let mut signer = Signer::start(&folder);
    succeeds(&command("unseal", &folder, &["--passphrase-file", &old]));
    let key = signer.generate(EddsaEd25519, Sign);
    let wrong = ["--seal", "passphrase", "--passphrase-file", &new, "--old-passphrase-file", &new];
    assert!(refused(&command("reseal", &folder, &wrong)).contains("the passphrase is wrong"));
    let right = ["--seal", "passphrase", "--passphrase-file", &new, "--old-passphrase-file", &old];
    succeeds(&command("reseal", &folder, &right));
    signs(&mut signer, &key).unwrap();
    signer.stop();

    let mut signer = Signer::start(&folder);
    assert!(refused(&command("unseal", &folder, &["--passphrase-file", &old])).contains("the passphrase is wrong"));
    succeeds(&command("unseal", &folder, &["--passphrase-file", &new]));
    signs(&mut signer, &key).unwrap();
    // From a passphrase to a key file, and to another one.
    succeeds(&command("reseal", &folder, &["--seal", "key-file", "--old-passphrase-file", &new]));
    assert!(refused(&command("reseal", &folder, &["--seal", "key-file"])).contains("name a new file"));
    let other = outer.path().join("other.key");
    let text = succeeds(&command("reseal", &folder, &["--seal", "key-file", "--key-file", other.to_str().unwrap()]));
    assert!(text.contains("The earlier key file is still there"), "{text}");
    fs::remove_file(folder.join("master.key")).unwrap();
    signs(&mut signer, &key).unwrap();
    signer.stop();
    let mut signer = Signer::start(&folder);
    signs(&mut signer, &key).unwrap();
    signer.stop();
    // Also while nothing runs.
    let text = succeeds(&command("reseal", &folder, &["--seal", "passphrase", "--passphrase-file", &old]));
    assert!(text.contains("No signer runs"), "{text}");
}
