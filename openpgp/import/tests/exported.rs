//! What may and may not get out of an exported key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::LazyLock;

use proptest::prelude::*;
use sealcard_api::{
    Fingerprint,
    algorithm::{ComponentAlgorithm, Curve, PublicKey},
    import::{CertificatePart, LeftOutReason},
};
use sealcard_openpgp::{PublicCertificate, ReadError, frames};
use sealcard_openpgp_import::{ExportedKey, ImportError, SecretState};
use sealcard_openpgp_testing::{Secrets, published};
use secrecy::SecretSlice;
use sequoia_openpgp::{
    Cert,
    cert::{CertBuilder, CipherSuite},
    parse::Parse as _,
    serialize::SerializeInto as _,
};

macro_rules! case {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/data/", $name))
    };
}

fn exported(passphrase: Option<&str>) -> Vec<u8> {
    let builder = CertBuilder::new()
        .set_cipher_suite(CipherSuite::Cv25519)
        .add_userid("Ada <ada@example.org>")
        .add_signing_subkey()
        .add_transport_encryption_subkey()
        .set_password(passphrase.map(Into::into));
    builder.generate().unwrap().0.as_tsk().to_vec().unwrap()
}

fn passphrase(bytes: &[u8]) -> SecretSlice<u8> {
    SecretSlice::from(bytes.to_vec())
}

fn out(key: &ExportedKey) -> Vec<(CertificatePart, LeftOutReason)> {
    key.left_out().iter().map(|out| (out.part, out.reason)).collect()
}

#[test]
fn the_public_part_holds_no_secret_and_all_else() {
    let bytes = exported(None);
    let key = ExportedKey::read(&bytes).unwrap();
    let certificate = Cert::from_bytes(&key.certificate().armored().unwrap()).unwrap();
    assert!(!certificate.is_tsk());
    assert_eq!(certificate, Cert::from_bytes(&bytes).unwrap().strip_secret_key_material());
    assert_eq!(key.user_id(), "Ada <ada@example.org>");
    assert_eq!(out(&key), []);
    assert!(key.secrets().iter().all(|(_, state)| *state == SecretState::Clear) && key.secrets().len() == 3);
}

#[test]
fn protected_secrets_need_the_right_passphrase() {
    let key = ExportedKey::read(&exported(Some("correct horse"))).unwrap();
    let wanted = key.secrets()[1];
    assert_eq!(wanted.1, SecretState::Protected);
    let public = PublicKey::Ec { curve: Curve::Ed25519, point: vec![0; 32].into() };
    let secret = |word: Option<&str>| {
        let word = word.map(|word| passphrase(word.as_bytes()));
        key.secret(wanted.0, ComponentAlgorithm::EddsaEd25519, &public, word.as_ref())
    };
    assert_eq!(secret(Some("correct horse")).unwrap().len(), 32);
    assert!(matches!(secret(Some("wrong")), Err(ImportError::WrongPassphrase(_))));
    assert!(matches!(secret(None), Err(ImportError::PassphraseNeeded(_))));
}

#[test]
fn passphrases_need_not_be_utf_8() {
    let key = ExportedKey::read(case!("latin1-passphrase.bin")).unwrap();
    let (fingerprint, state) = key.secrets()[0];
    assert_eq!(state, SecretState::Protected);
    let public = PublicKey::Ec { curve: Curve::Ed25519, point: vec![0; 32].into() };
    let secret =
        |word: &[u8]| key.secret(fingerprint, ComponentAlgorithm::EddsaEd25519, &public, Some(&passphrase(word)));
    assert_eq!(secret(b"p\xE4ss").unwrap().len(), 32);
    assert!(matches!(secret("päss".as_bytes()), Err(ImportError::WrongPassphrase(_))));
}

#[test]
fn public_keys_several_keys_and_nonsense_are_refused() {
    let public = ExportedKey::read(&exported(None)).unwrap().certificate().armored().unwrap();
    assert!(matches!(ExportedKey::read(public.as_bytes()), Err(ImportError::Public)));
    let two = [exported(None), exported(None)].concat();
    assert!(matches!(ExportedKey::read(&two), Err(ImportError::Several(2))));
    for nonsense in [&b""[..], b"hello", &[0xC5, 0xFF]] {
        assert!(matches!(ExportedKey::read(nonsense), Err(ImportError::NotAKey(_))));
    }
    assert!(matches!(ExportedKey::read(&vec![0; 5 * 1024 * 1024]), Err(ImportError::TooLarge)));
}

#[test]
fn each_block_of_a_file_is_looked_at() {
    let key = ExportedKey::read(case!("public-then-secret.asc")).unwrap();
    assert_eq!((key.secrets().len(), key.others()), (1, 0));
    // Keys of others before and behind it.
    let other = ExportedKey::read(&exported(None)).unwrap().certificate().armored().unwrap();
    let secret = std::str::from_utf8(case!("public-then-secret.asc")).unwrap();
    let key = ExportedKey::read(format!("{other}\n{secret}\n{other}").as_bytes()).unwrap();
    assert_eq!((key.secrets().len(), key.others()), (1, 2));
    let twice = ExportedKey::read(format!("{secret}{secret}").as_bytes());
    assert!(matches!(twice, Err(ImportError::Several(2))));
}

#[test]
fn unknown_secret_packets_are_left_out_and_named() {
    let cases: [(&[u8], LeftOutReason, usize); 4] = [
        (case!("subkey-version-5.bin"), LeftOutReason::Version, 0),
        (case!("subkey-cut-number.bin"), LeftOutReason::Damaged, 40),
        (case!("subkey-bad-checksum.bin"), LeftOutReason::Damaged, 40),
        (case!("gpg24-cv448-subkey.bin"), LeftOutReason::Version, 64),
    ];
    for (export, reason, digits) in cases {
        let key = ExportedKey::read(export).unwrap();
        let secrets = Secrets::of(export);
        assert!(!secrets.is_empty() && !secrets.are_in_packets(&published(key.certificate())));
        assert_eq!(out(&key), [(CertificatePart::Subkey, reason)]);
        assert_eq!(key.left_out()[0].fingerprint.as_deref().map_or(0, str::len), digits);
        assert!(!key.left_out()[0].to_string().contains("CANARY"));
        assert_eq!(key.secrets().len(), 1, "the primary key's alone");
        // The server takes none of them as they are.
        assert_eq!(PublicCertificate::read(export).err(), Some(ReadError::Secret));
    }
}

#[test]
fn a_subkey_without_its_cross_signature_is_left_out_by_name() {
    for export in [&case!("certify-no-cross-signature.bin")[..], case!("sign-certify-no-cross-signature.bin")] {
        assert_eq!(
            out(&ExportedKey::read(export).unwrap()),
            [(CertificatePart::Subkey, LeftOutReason::NotCrossSigned)]
        );
    }
}

#[test]
fn errors_hold_nothing_of_the_key() {
    // The library's error about such a packet quotes the key.
    let export = exported(None);
    for at in 0..frames(&export).unwrap().len() {
        let bytes = changed(&export, at, &Change::Append(vec![0]));
        match ExportedKey::read(&bytes) {
            Ok(key) => assert!(key.left_out().iter().all(|out| out.to_string().len() < 120)),
            Err(error) => assert!(error.to_string().len() < 200 && format!("{error:?}").len() < 300, "{error:?}"),
        }
    }
}

/// One thing that happens to a packet.
#[derive(Debug, Clone)]
enum Change {
    /// A bit of its body or header.
    Flip(prop::sample::Index, u8),
    /// A byte of its body.
    Set(prop::sample::Index, u8),
    /// Version or algorithm.
    Field(bool, u8),
    Tag(u8),
    /// Says that it is longer or shorter than it is.
    Length(i8),
    Truncate(prop::sample::Index),
    Append(Vec<u8>),
    /// Its last byte, which is in the checksum.
    Checksum(u8),
    Move(prop::sample::Index),
    Repeat,
    Old(bool),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), 0_u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<bool>(), prop_oneof![0_u8..30, any::<u8>()]).prop_map(|(version, value)| Change::Field(version, value)),
        (0_u8..64).prop_map(Change::Tag),
        any::<i8>().prop_map(Change::Length),
        any::<prop::sample::Index>().prop_map(Change::Truncate),
        prop::collection::vec(any::<u8>(), 1..4).prop_map(Change::Append),
        (1_u8..).prop_map(Change::Checksum),
        any::<prop::sample::Index>().prop_map(Change::Move),
        Just(Change::Repeat),
        any::<bool>().prop_map(Change::Old),
    ]
}

/// An export with one packet changed.
fn changed(export: &[u8], at: usize, change: &Change) -> Vec<u8> {
    let mut packets: Vec<Vec<u8>> =
        frames(export).unwrap().iter().map(|frame| packet(frame.tag, frame.body, frame.body.len())).collect();
    let frame = frames(export).unwrap()[at];
    let mut body = frame.body.to_vec();
    let last = body.len() - 1;
    match change {
        Change::Flip(index, bit) => {
            let index = index.index(packets[at].len());
            packets[at][index] ^= 1 << bit;
            return packets.concat();
        }
        Change::Set(index, byte) => {
            let index = index.index(body.len());
            body[index] = *byte;
        }
        Change::Field(version, value) => body[if *version { 0 } else { 5 }] = *value,
        Change::Tag(tag) => packets[at] = packet(*tag, &body, body.len()),
        Change::Length(more) => {
            packets[at] = packet(frame.tag, &body, body.len().saturating_add_signed(isize::from(*more)));
        }
        Change::Truncate(index) => body.truncate(index.index(body.len())),
        Change::Append(bytes) => body.extend_from_slice(bytes),
        Change::Checksum(bits) => body[last] ^= bits,
        Change::Move(index) => {
            let moved = packets.remove(at);
            packets.insert(index.index(packets.len() + 1), moved);
        }
        Change::Repeat => packets.insert(at, packets[at].clone()),
        Change::Old(long) => {
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            let head = 0x80 | (frame.tag & 15) << 2;
            packets[at] = match long {
                true => [&[head | 1][..], &length, &body].concat(),
                false => [&[head | 2, 0, 0][..], &length, &body].concat(),
            };
        }
    }
    if body != frame.body {
        packets[at] = packet(frame.tag, &body, body.len());
    }
    packets.concat()
}

fn packet(tag: u8, body: &[u8], length: usize) -> Vec<u8> {
    [&[0xC0 | tag, 0xFF][..], &u32::try_from(length).unwrap().to_be_bytes(), body].concat()
}

/// Keys in the clear: what is secret in them is known.
static EXPORTS: LazyLock<Vec<(Vec<u8>, Secrets)>> = LazyLock::new(|| {
    let cases: [&[u8]; 3] =
        [case!("gpg24-cv448-subkey.bin"), case!("sign-authenticate-subkey.bin"), case!("dsa2048-primary.bin")];
    let all = [exported(None)].into_iter().chain(cases.map(<[u8]>::to_vec));
    all.map(|export| (export.clone(), Secrets::of(&export))).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_change_of_a_secret_packet_gets_a_secret_out(
        which in 0..4_usize,
        at: prop::sample::Index,
        first in change(),
        second in prop::option::of(change()),
    ) {
        let (export, secrets) = &EXPORTS[which];
        let secret: Vec<usize> = (0..).zip(frames(export).unwrap())
            .filter(|(_, frame)| matches!(frame.tag, 5 | 7)).map(|(at, _)| at).collect();
        let at = secret[at.index(secret.len())];
        let mut bytes = changed(export, at, &first);
        let has_body = || frames(&bytes).is_ok_and(|all| all.len() > at && all[at].body.len() > 6);
        if let Some(second) = second.filter(|_| has_body()) {
            bytes = changed(&bytes, at, &second);
        }
        match ExportedKey::read(&bytes) {
            Ok(key) => {
                prop_assert!(!secrets.are_in_packets(&published(key.certificate())));
                for out in key.left_out() {
                    prop_assert!(!secrets.are_in(out.to_string().as_bytes()));
                }
                prop_assert!(!secrets.are_in(key.user_id().as_bytes()));
            }
            Err(error) => {
                let text = format!("{error} {error:?}");
                prop_assert!(!secrets.are_in(text.as_bytes()));
            }
        }
        // If a client sent it as it is, the server would not keep a secret either.
        if let Ok(certificate) = PublicCertificate::read(&bytes) {
            prop_assert!(!secrets.are_in_packets(&published(&certificate)));
        }
    }

    #[test]
    fn damaged_exports_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        // To protect the secrets takes longer than all else.
        static EXPORTED: LazyLock<Vec<u8>> = LazyLock::new(|| exported(Some("x")));
        let mut bytes = EXPORTED.clone();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = ExportedKey::read(&bytes).map(|key| (key.certificate().armored(), key.user_id(), key.secrets()));
    }
}

#[test]
fn secrets_open_for_their_own_fingerprint_only() {
    let key = ExportedKey::read(&exported(None)).unwrap();
    let public = PublicKey::Ec { curve: Curve::Ed25519, point: vec![0; 32].into() };
    let other = key.secret(Fingerprint([7; 20]), ComponentAlgorithm::EddsaEd25519, &public, None);
    assert!(matches!(other, Err(ImportError::Unusable { .. })));
}
