//! Taking in keys that were made elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Signer, folder, init, run, verify_journal};
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, HashAlgorithm};
use sealcard_signer::operations::{GeneratedKey, generate};
use sealcard_signer_protocol::envelope::{Binding, Purpose, RecipientKey};
use sealcard_signer_protocol::{Operation, PublicKeyBytes, RequestBody, ResponseBody, SignerError, StoredKey};
use uuid::Uuid;

use ComponentAlgorithm::{EcdhCv25519, EcdsaP521, EddsaEd25519, Rsa2048};
use ComponentRole::{Decrypt, Sign};

fn recipient(signer: &mut Signer) -> RecipientKey {
    match signer.ask(RequestBody::Recipient) {
        Ok(ResponseBody::Recipient { public_key }) => RecipientKey(public_key),
        other => panic!("{other:?}"),
    }
}

/// A key with the request that imports it.
fn request(recipient: RecipientKey, algorithm: ComponentAlgorithm, role: ComponentRole) -> (GeneratedKey, RequestBody) {
    let made = generate(algorithm, role).unwrap();
    let component = Uuid::now_v7();
    let public_key = made.public_key.clone();
    let binding = Binding::component(component, algorithm, role, &public_key.to_public_key(algorithm));
    let envelope = recipient.close(Purpose::ImportKey, &binding, &made.private).unwrap();
    let body = RequestBody::Import {
        component,
        algorithm,
        role,
        public_key,
        envelope,
        master_key: None,
        stated: common::stated(),
    };
    (made, body)
}

fn imported(answer: Result<ResponseBody, SignerError>) -> StoredKey {
    match answer {
        Ok(ResponseBody::Imported { key }) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_imported_key_is_used_like_one_that_was_made_here_and_the_journal_tells_of_it() {
    let folder = folder();
    let mut signer = Signer::start(folder.path());
    let recipient = recipient(&mut signer);
    for (algorithm, role) in [(EddsaEd25519, Sign), (EcdsaP521, Sign), (EcdhCv25519, Decrypt), (Rsa2048, Sign)] {
        let (made, body) = request(recipient, algorithm, role);
        let key = imported(signer.ask(body));
        assert_eq!((key.algorithm, key.role, &key.public_key), (algorithm, role, &made.public_key));
        if role == Sign {
            let sign = Operation::Sign { hash: HashAlgorithm::Sha512, digest: vec![7; 64] };
            assert!(matches!(signer.operate(&key, sign), Ok(ResponseBody::Signature(_))));
        }
    }
    assert!(signer.stop().success());
    let journal = std::fs::read_to_string(common::journal_path(folder.path())).unwrap();
    assert_eq!(journal.lines().filter(|line| line.contains("\"import\"")).count(), 4, "{journal}");
    assert!(verify_journal(folder.path()).0);
}

#[test]
fn envelopes_for_another_signer_component_or_role_and_keys_that_do_not_match_are_refused() {
    let (ours, theirs) = (folder(), folder());
    let mut signer = Signer::start(ours.path());
    let mut other = Signer::start(theirs.path());
    let (recipient, foreign) = (recipient(&mut signer), recipient(&mut other));
    assert_ne!(recipient, foreign);

    let (_, body) = request(foreign, EddsaEd25519, Sign);
    assert_eq!(signer.ask(body), Err(SignerError::Envelope));
    let (_, good) = request(recipient, EddsaEd25519, Sign);
    let RequestBody::Import { component, algorithm, role, public_key, envelope, stated, .. } = good else { panic!() };
    let import = |component, role, public_key: &PublicKeyBytes, envelope: &[u8]| RequestBody::Import {
        component,
        algorithm,
        role,
        public_key: public_key.clone(),
        envelope: envelope.to_vec(),
        master_key: None,
        stated,
    };
    let another = generate(EddsaEd25519, Sign).unwrap();
    for wrong in [
        import(Uuid::now_v7(), role, &public_key, &envelope),
        import(component, ComponentRole::Certify, &public_key, &envelope),
        import(component, role, &another.public_key, &envelope),
        import(component, role, &public_key, &envelope[..envelope.len() - 1]),
        import(component, role, &public_key, b""),
    ] {
        assert_eq!(signer.ask(wrong), Err(SignerError::Envelope));
    }
    // An envelope that opens, but holds the private half of another key.
    let binding = Binding::component(component, algorithm, role, &public_key.to_public_key(algorithm));
    let swapped = recipient.close(Purpose::ImportKey, &binding, &another.private).unwrap();
    assert_eq!(signer.ask(import(component, role, &public_key, &swapped)), Err(SignerError::Mismatch));
    let junk = recipient.close(Purpose::ImportKey, &binding, b"no key").unwrap();
    assert_eq!(signer.ask(import(component, role, &public_key, &junk)), Err(SignerError::Mismatch));
    assert_eq!(signer.status().1.sequence, 0, "a refused import is no use");
    imported(signer.ask(import(component, role, &public_key, &envelope)));
}

#[test]
fn the_envelope_key_belongs_to_the_master_key_and_is_shown_by_init_and_by_the_running_signer() {
    let folder = tempfile::tempdir().unwrap();
    let made: serde_json::Value = serde_json::from_str(&init(folder.path(), &["--seal", "key-file"], "")).unwrap();
    let shown = made["envelope-key"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let mut signer = Signer::start(folder.path());
        assert_eq!(recipient(&mut signer).fingerprint().to_string(), shown);
        let output = run(&["envelope-key", "--folder", folder.path().to_str().unwrap()], "");
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), shown);
        assert!(signer.stop().success());
    }
}

#[test]
fn a_sealed_signer_takes_nothing_in() {
    let folder = tempfile::tempdir().unwrap();
    let passphrase = "correct horse battery staple\n";
    init(folder.path(), &["--seal", "passphrase", "--passphrase-file", "-"], passphrase);
    let mut signer = Signer::start(folder.path());
    assert_eq!(signer.ask(RequestBody::Recipient), Err(SignerError::Sealed));
    let (_, body) = request(RecipientKey([9; 32]), EddsaEd25519, Sign);
    assert_eq!(signer.ask(body), Err(SignerError::Sealed));
}
