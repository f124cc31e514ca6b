//! Uses of real keys, through the emulated card.

use aws_lc_rs::{
    agreement, digest,
    rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey},
    signature::{self, RsaPublicKeyComponents, UnparsedPublicKey},
};
use data_encoding::HEXUPPER;
use sealcard_api::{
    algorithm::{Curve, HashAlgorithm, KeyAlgorithm, PublicKey},
    problem::ProblemCode,
};

use super::{
    super::testing::{Client, KINDS, MemoryHolder, REQUEST, agreement, ecdsa_digest, run},
    daemon_of,
};
use crate::{
    config::SshKeys,
    last::{self, OperationKind, Outcome},
};

const TEXT: &[u8] = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";

fn digest_info(hash: HashAlgorithm) -> String {
    let algorithm = if hash == HashAlgorithm::Sha256 { &digest::SHA256 } else { &digest::SHA512 };
    let digest = digest::digest(algorithm, TEXT);
    HEXUPPER.encode(&[&hash.digest_info_prefix()[..], digest.as_ref()].concat())
}

/// Checks a signature over [`TEXT`] as OpenPGP defines it.
fn verify(key: &PublicKey, hash: HashAlgorithm, made: &[u8]) {
    let sha256 = hash == HashAlgorithm::Sha256;
    match key {
        PublicKey::Rsa { n, e } => {
            let algorithm =
                if sha256 { &signature::RSA_PKCS1_2048_8192_SHA256 } else { &signature::RSA_PKCS1_2048_8192_SHA512 };
            RsaPublicKeyComponents { n: &n.0, e: &e.0 }.verify(algorithm, TEXT, made).unwrap();
        }
        PublicKey::Ec { curve: Curve::Ed25519 | Curve::Cv25519, point } => {
            let algorithm = if sha256 { &digest::SHA256 } else { &digest::SHA512 };
            let message = digest::digest(algorithm, TEXT);
            UnparsedPublicKey::new(&signature::ED25519, &point.0).verify(message.as_ref(), made).unwrap();
        }
        PublicKey::Ec { curve, point } => {
            let algorithm = match curve {
                Curve::NistP384 => &signature::ECDSA_P384_SHA384_FIXED,
                Curve::NistP521 => &signature::ECDSA_P521_SHA512_FIXED,
                _ => &signature::ECDSA_P256_SHA256_FIXED,
            };
            let digest = digest::digest(if sha256 { &digest::SHA256 } else { &digest::SHA512 }, TEXT);
            let key = UnparsedPublicKey::new(algorithm, &point.0);
            key.verify_digest(&ecdsa_digest(*curve, digest.as_ref()), made).unwrap();
        }
    }
}

#[test]
fn the_signature_counter_counts() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        let (daemon, _) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        let before = holder.list.borrow().cards[0].signatures;
        assert_eq!(c.text("GETATTR SIG-COUNTER").await, [format!("S SIG-COUNTER {before}"), "OK".to_owned()]);
        assert_eq!(c.text(&format!("SETDATA {}", digest_info(HashAlgorithm::Sha256))).await, ["OK"]);
        c.data("PKSIGN --hash=sha256 OPENPGP.1").await;
        assert_eq!(c.text("GETATTR SIG-COUNTER").await, [format!("S SIG-COUNTER {}", before + 1), "OK".to_owned()]);
    });
}

#[test]
fn only_the_chosen_keys_are_offered_to_ssh() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        let certificate = holder.list.borrow().cards[0].fingerprint;
        for (choice, offered) in
            [(SshKeys::All, true), (SshKeys::Only(Vec::new()), false), (SshKeys::Only(vec![certificate]), true)]
        {
            choice.save(&paths).unwrap();
            assert_eq!(c.text("KEYINFO --list=auth").await.len() == 2, offered);
            assert_eq!(c.text("GETATTR $AUTHKEYID").await.len() == 2, offered);
            assert_eq!(c.text("KEYINFO --list").await.len(), 4);
        }
    });
}

#[test]
fn signatures_of_every_algorithm_verify_and_each_has_its_own_idempotency_key() {
    run(async {
        for algorithm in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let holder = MemoryHolder::new(algorithm);
            let (daemon, paths) = daemon_of(&holder, &folder);
            let mut c = Client::connect(&daemon).await;
            for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha512] {
                assert_eq!(c.text(&format!("SETDATA {}", digest_info(hash))).await, ["OK"]);
                let made = c.data(&format!("PKSIGN --hash={hash} {}", holder.grip(1))).await;
                verify(&holder.public_key(1), hash, &made);
                let made = c.data(&format!("PKSIGN --hash={hash} OPENPGP.1")).await;
                verify(&holder.public_key(1), hash, &made);
            }
            let mut uses = holder.uses.borrow().clone();
            uses.sort();
            uses.dedup();
            assert_eq!(uses.len(), 4);
            daemon.finish().await;
            let last = last::load(&paths.last_file()).unwrap().unwrap();
            assert_eq!(
                (last.outcome, last.operation, last.request_id),
                (Outcome::Ok, OperationKind::Sign, Some(REQUEST))
            );
        }
    });
}

#[test]
fn setdata_in_parts_gives_the_same_signature() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Rsa4096);
        let (daemon, _) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        let whole = digest_info(HashAlgorithm::Sha256);
        let (head, tail) = whole.split_at(40);
        c.text(&format!("SETDATA {head}")).await;
        c.text(&format!("SETDATA --append {tail}")).await;
        let made = c.data(&format!("PKSIGN --hash=sha256 {}", holder.grip(1))).await;
        verify(&holder.public_key(1), HashAlgorithm::Sha256, &made);
        for wrong in ["SETDATA", "SETDATA 0", "SETDATA XY"] {
            assert_eq!(c.error(wrong).await, 100_663_576);
        }
        for _ in 0..9 {
            c.text(&format!("SETDATA --append {}", "AB".repeat(450))).await;
        }
        assert_eq!(c.error(&format!("SETDATA --append {}", "AB".repeat(450))).await, 100_663_576);
    });
}

#[test]
fn weak_and_wrong_digests_are_refused_without_asking_anyone() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Rsa4096);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        let sha1 = format!("3021300906052B0E03021A05000414{}", "01".repeat(20));
        let cases = [
            (sha1.as_str(), format!("PKSIGN --hash=sha1 {}", holder.grip(1)), 100_663_301),
            (&sha1, format!("PKSIGN {}", holder.grip(1)), 100_663_301),
            (&sha1, format!("PKAUTH {}", holder.grip(3)), 100_663_301),
            (&digest_info(HashAlgorithm::Sha256), format!("PKSIGN --hash=sha512 {}", holder.grip(1)), 100_663_351),
            ("0102", format!("PKSIGN {}", holder.grip(1)), 100_663_351),
            (&digest_info(HashAlgorithm::Sha256), format!("PKSIGN --hash=sha256 {}", holder.grip(2)), 100_663_421),
            (&digest_info(HashAlgorithm::Sha256), format!("PKDECRYPT {}", holder.grip(1)), 100_663_421),
        ];
        for (data, command, number) in cases {
            c.text(&format!("SETDATA {data}")).await;
            assert_eq!(c.error(&command).await, number, "{command}");
        }
        assert!(holder.uses.borrow().is_empty());
        daemon.finish().await;
        assert_eq!(last::load(&paths.last_file()).unwrap().unwrap().outcome, Outcome::Failed);
    });
}

#[test]
fn ssh_logins_and_ssh_signatures_are_signed_and_nothing_else_is() {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let login = [
        string(&[7; 32]),
        vec![50],
        string(b"git"),
        string(b"ssh-connection"),
        string(b"publickey"),
        vec![1],
        string(b"ssh-ed25519"),
        string(b"key"),
    ]
    .concat();
    let sshsig = [b"SSHSIG".to_vec(), string(b"git"), string(b""), string(b"sha512"), string(&[1; 64])].concat();
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::Ed25519);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        let PublicKey::Ec { point, .. } = holder.public_key(3) else { panic!() };
        let kinds = [OperationKind::Authenticate, OperationKind::SshSign];
        for (message, kind) in [&login, &sshsig].into_iter().zip(kinds) {
            let data = HEXUPPER.encode(message);
            c.text(&format!("SETDATA 3021300906052B0E03021A05000414{data}")).await;
            let made = c.data(&format!("PKAUTH {}", holder.grip(3))).await;
            UnparsedPublicKey::new(&signature::ED25519, &point.0).verify(message, &made).unwrap();
            daemon.finish().await;
            assert_eq!(last::load(&paths.last_file()).unwrap().unwrap().operation, kind);
        }
        // A digest, the whole of a git commit, a message that is cut short.
        let short = HEXUPPER.encode(&login[..login.len() - 1]);
        for data in ["01".repeat(32), HEXUPPER.encode(TEXT), short] {
            c.text(&format!("SETDATA 3021300906052B0E03021A05000414{data}")).await;
            assert_eq!(c.error(&format!("PKAUTH {}", holder.grip(3))).await, 100_663_351);
        }
        assert_eq!(holder.uses.borrow().len(), 2);
    });
}

#[test]
fn ssh_digests_are_signed_by_rsa_and_ecdsa() {
    run(async {
        for algorithm in KINDS.into_iter().filter(|kind| *kind != KeyAlgorithm::Ed25519) {
            let folder = tempfile::tempdir().unwrap();
            let holder = MemoryHolder::new(algorithm);
            let (daemon, _) = daemon_of(&holder, &folder);
            let mut c = Client::connect(&daemon).await;
            c.text(&format!("SETDATA {}", digest_info(HashAlgorithm::Sha256))).await;
            let made = c.data(&format!("PKAUTH {}", holder.grip(3))).await;
            verify(&holder.public_key(3), HashAlgorithm::Sha256, &made);
        }
    });
}

#[test]
fn session_keys_are_decrypted_in_the_form_that_gpg_wants() {
    run(async {
        for algorithm in KINDS {
            let folder = tempfile::tempdir().unwrap();
            let holder = MemoryHolder::new(algorithm);
            let (daemon, _) = daemon_of(&holder, &folder);
            let mut c = Client::connect(&daemon).await;
            let (forms, expected) = ciphertexts(&holder.public_key(2));
            for form in forms {
                let (head, tail) = form.split_at(form.len() / 4 * 2);
                c.text(&format!("SETDATA {head}")).await;
                c.text(&format!("SETDATA --append {tail}")).await;
                let answer = c.ask(&format!("PKDECRYPT {}", holder.grip(2))).await;
                assert_eq!(answer[0], b"S PADDING 0");
                assert_eq!(answer.last().unwrap(), b"OK");
                assert_eq!(c.data("PKDECRYPT OPENPGP.2").await, expected);
            }
        }
    });
}

/// Something encrypted to this key, in every form in which gpg sends it, and what gpg wants back.
fn ciphertexts(key: &PublicKey) -> (Vec<String>, Vec<u8>) {
    match key {
        PublicKey::Rsa { n, e } => {
            let session_key = [&[9][..], &[0x5A; 32], &[1, 2]].concat();
            let components = aws_lc_rs::rsa::PublicKeyComponents { n: &n.0, e: &e.0 };
            let public: PublicEncryptingKey = components.try_into().unwrap();
            let public = Pkcs1PublicEncryptingKey::new(public).unwrap();
            let mut ciphertext = vec![0; public.ciphertext_size()];
            public.encrypt(&session_key, &mut ciphertext).unwrap();
            let hex = HEXUPPER.encode(&ciphertext);
            (vec![format!("00{hex}"), hex.trim_start_matches("00").to_owned()], session_key)
        }
        PublicKey::Ec { curve, point } => {
            let algorithm = agreement(*curve);
            let ephemeral = agreement::PrivateKey::generate(algorithm).unwrap();
            let sent = HEXUPPER.encode(ephemeral.compute_public_key().unwrap().as_ref());
            let peer = agreement::UnparsedPublicKey::new(algorithm, &point.0);
            let shared = agreement::agree(&ephemeral, peer, (), |shared| Ok(shared.to_vec())).unwrap();
            let (forms, prefix) =
                if !curve.is_nist() { (vec![format!("40{sent}"), sent], 0x40) } else { (vec![sent], 0x41) };
            (forms, [&[prefix], &shared[..]].concat())
        }
    }
}

#[test]
fn the_servers_problems_reach_gpg_as_numbers_and_the_reason_lies_in_last() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let holder = MemoryHolder::new(KeyAlgorithm::NistP256);
        let (daemon, paths) = daemon_of(&holder, &folder);
        let mut c = Client::connect(&daemon).await;
        c.text(&format!("SETDATA {}", digest_info(HashAlgorithm::Sha256))).await;
        let cases = [
            (ProblemCode::Forbidden, 100_663_547),
            (ProblemCode::GrantRevoked, 100_663_610),
            (ProblemCode::Sealed, 100_663_472),
            (ProblemCode::Timeout, 100_663_358),
        ];
        for (problem, number) in cases {
            holder.problem.set(Some(problem));
            assert_eq!(c.error(&format!("PKSIGN --hash=sha256 {}", holder.grip(1))).await, number);
            assert_eq!(c.text("SERIALNO").await.len(), 2);
            daemon.finish().await;
            let last = last::load(&paths.last_file()).unwrap().unwrap();
            assert_eq!(last.code.as_deref(), Some(problem.name()));
            assert_eq!((last.outcome, last.request_id), (Outcome::Failed, Some(REQUEST)));
            assert_eq!(last.key.as_deref(), Some("key-nistp256"));
        }
        // The card is not left in the middle of an operation.
        holder.problem.set(None);
        assert_eq!(c.data(&format!("PKSIGN --hash=sha256 {}", holder.grip(1))).await.len(), 64);
    });
}
