//! Signed notes and checkpoints, against what Go's `sumdb/note` publishes as examples.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use data_encoding::BASE64;
use proptest::prelude::*;
use sealcard_transparency::{
    Checkpoint, Hash, KeyError, KeyName, KeyType, MAX_SIGNATURES, Note, NoteError, SeedSigner, SignError, Signer,
    TreeHead, VerifierKey, VerifyError, parse_signatures, sign,
};
use zeroize::Zeroizing;

/// The keys of the example of Go's package, and its signature.
const GO_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SKEY: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_SIGNATURE: &str = "\u{2014} PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

fn signer(name: &str, key_type: KeyType, seed: u8) -> SeedSigner {
    SeedSigner::new(name.parse().unwrap(), key_type, &Zeroizing::new([seed; 32])).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new("example.org/record", TreeHead { size: 7, root: Hash::leaf(b"root") }).unwrap()
}

const ALL: [KeyType; 3] = [KeyType::Ed25519, KeyType::Ed25519Cosignature, KeyType::MlDsa44];

#[test]
fn example_of_go_is_verified_and_signed_alike() {
    let key: VerifierKey = GO_VKEY.parse().unwrap();
    assert_eq!(key.to_string(), GO_VKEY);
    let text = format!("{GO_TEXT}\n{GO_SIGNATURE}\n");
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_string(), text);
    assert_eq!(note.text(), GO_TEXT);
    let verified = note.verify([&key]).unwrap();
    assert_eq!((verified.len(), verified[0].time), (1, None));

    let seed: [u8; 32] = BASE64.decode(GO_SKEY.as_bytes()).unwrap()[1..].try_into().unwrap();
    let name: KeyName = "PeterNeumann".parse().unwrap();
    let signer = SeedSigner::new(name, KeyType::Ed25519, &Zeroizing::new(seed)).unwrap();
    assert_eq!(signer.key(), &key);
    assert_eq!(sign(GO_TEXT, 0, &signer).unwrap().to_string(), GO_SIGNATURE);
}

#[test]
fn example_of_the_specification_is_read() {
    let text = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n\u{e8}d \u{e8} subito sera.\n\n\
                \u{2014} quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+\
                EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert!(note.text().contains("\n\n"));
    assert_eq!(note.signatures()[0].name().as_str(), "quasimodo.example/salvatore");
    assert_eq!(note.signatures()[0].bytes().len(), 64);
    assert_eq!(note.to_string(), text);
    assert_eq!(note.verify([&GO_VKEY.parse().unwrap()]), Err(VerifyError::NoKnownKey));
}

#[test]
fn keys_have_one_form() {
    for (vkey, error) in [
        ("", KeyError::Form),
        ("PeterNeumann", KeyError::Form),
        ("PeterNeumann+c74f20a3", KeyError::Form),
        ("PeterNeumann+c74f20a3+", KeyError::Form),
        ("PeterNeumann+c74f20a3+=", KeyError::Form),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Id),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Id),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name),
        // These two have the ids of their bytes: from the tests of Go's package. The first is no strict base64.
        ("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==", KeyError::Form),
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Type(0x65)),
    ] {
        assert_eq!(vkey.parse::<VerifierKey>(), Err(error), "{vkey}");
    }
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\tb", "a\nb"] {
        assert_eq!(name.parse::<KeyName>(), Err(KeyError::Name), "{name:?}");
    }
    let short: KeyName = "n".parse().unwrap();
    assert_eq!(VerifierKey::new(short.clone(), KeyType::Ed25519, &[0; 33]), Err(KeyError::Key));
    assert_eq!(VerifierKey::new(short, KeyType::MlDsa44, &[0; 32]), Err(KeyError::Key));
    let long: KeyName = "n".repeat(256).parse().unwrap();
    assert_eq!(VerifierKey::new(long, KeyType::MlDsa44, &[0; 1312]), Err(KeyError::LongName));
}

#[test]
fn keys_of_every_type_sign_checkpoints() {
    let text = checkpoint().to_string();
    let mut note = Note::new(text.clone()).unwrap();
    let signers = ALL.map(|key_type| signer("example.org/record", key_type, 7));
    for signer in &signers {
        let vkey = signer.key().to_string();
        assert_eq!(vkey.parse().as_ref(), Ok(signer.key()));
        note.add(sign(&text, 1_700_000_000, signer).unwrap()).unwrap();
    }
    let note = Note::parse(note.to_string().as_bytes()).unwrap();
    let verified = note.verify(signers.iter().map(Signer::key)).unwrap();
    let times: Vec<Option<u64>> = verified.iter().map(|verified| verified.time).collect();
    assert_eq!(times, [None, Some(1_700_000_000), Some(1_700_000_000)]);
    let lengths: Vec<usize> = note.signatures().iter().map(|signature| signature.bytes().len()).collect();
    assert_eq!(lengths, [64, 72, 2428]);
    assert!(!format!("{:?}", signers[0]).contains("private"));
}

#[test]
fn cosignatures_are_of_checkpoints_only() {
    for key_type in [KeyType::Ed25519Cosignature, KeyType::MlDsa44] {
        assert!(matches!(sign("text\n", 0, &signer("w", key_type, 7)), Err(SignError::Message)));
        let late = sign(&checkpoint().to_string(), 1 << 63, &signer("w", key_type, 7));
        assert!(matches!(late, Err(SignError::Message)));
    }
}

#[test]
fn cosignature_of_ml_dsa_44_names_its_cosigner_and_log() {
    let (text, witness) = (checkpoint().to_string(), signer("w1.example.org", KeyType::MlDsa44, 7));
    let signature = sign(&text, 1_700_000_000, &witness).unwrap();
    let under = |name: &str, text: &str| {
        let key = VerifierKey::new(name.parse().unwrap(), KeyType::MlDsa44, witness.key().key()).unwrap();
        let bytes = [&key.id().0[..], signature.bytes()].concat();
        let mut note = Note::new(text.to_owned()).unwrap();
        note.add(format!("\u{2014} {name} {}", BASE64.encode(&bytes)).parse().unwrap()).unwrap();
        note.verify([&key]).is_ok()
    };
    assert!(under("w1.example.org", &text));
    assert!(!under("w2.example.org", &text));
    assert!(!under("w1.example.org", &text.replace("example.org/record", "example.org/other")));
    // The specification leaves extension lines out: nothing may rely on them.
    assert!(under("w1.example.org", &format!("{text}extension\n")));
}

/// A signer whose signatures a fault spoils.
struct Faulty(SeedSigner);

impl Signer for Faulty {
    type Error = <SeedSigner as Signer>::Error;

    fn key(&self) -> &VerifierKey {
        self.0.key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Self::Error> {
        let mut signature = self.0.sign(message)?;
        signature[5] ^= 1;
        Ok(signature)
    }
}

#[test]
fn wrong_signature_is_not_given_out() {
    for key_type in ALL {
        let faulty = Faulty(signer("w", key_type, 7));
        assert!(matches!(sign(&checkpoint().to_string(), 1, &faulty), Err(SignError::Wrong)));
    }
}

#[test]
fn unknown_keys_are_ignored_and_known_ones_must_be_right() {
    let text = checkpoint().to_string();
    let known = signer("example.org/record", KeyType::Ed25519, 7);
    let right = sign(&text, 0, &known).unwrap();
    let of_other_text = sign("other\n", 0, &known).unwrap();
    let mut note = Note::new(text.clone()).unwrap();
    // Of the same name with another id, and of another name.
    note.add(sign(&text, 0, &signer("example.org/record", KeyType::Ed25519, 8)).unwrap()).unwrap();
    note.add(sign("other\n", 0, &signer("example.com/other", KeyType::Ed25519, 7)).unwrap()).unwrap();
    assert_eq!(note.verify([known.key()]), Err(VerifyError::NoKnownKey));
    note.add(right.clone()).unwrap();
    note.add(right).unwrap();
    assert_eq!(note.signatures().len(), 3);
    assert_eq!(note.verify([known.key()]).unwrap().len(), 1);
    note.add(of_other_text).unwrap();
    assert_eq!(note.verify([known.key()]), Err(VerifyError::Wrong("example.org/record".parse().unwrap())));
}

#[test]
fn many_signatures_are_accepted_up_to_a_limit() {
    let text = checkpoint().to_string();
    let mut note = Note::new(text.clone()).unwrap();
    for witness in 0..MAX_SIGNATURES {
        let signer = signer(&format!("witness{witness}.example.org"), KeyType::MlDsa44, witness as u8);
        if witness < 16 {
            note.add(sign(&text, 1, &signer).unwrap()).unwrap();
        } else {
            let line = note.signatures()[0].to_string().replace("witness0", &format!("witness{witness}"));
            note.add(line.parse().unwrap()).unwrap();
        }
    }
    let bytes = note.to_string().into_bytes();
    assert_eq!(Note::parse(&bytes), Ok(note.clone()));
    let one_more = note.signatures()[0].to_string().replace("witness0", "onemore");
    assert_eq!(note.add(one_more.parse().unwrap()), Err(NoteError::TooLong));
    let longer = [&bytes[..], one_more.as_bytes(), b"\n"].concat();
    assert_eq!(Note::parse(&longer), Err(NoteError::TooLong));
}

#[test]
fn other_forms_of_notes_are_refused() {
    let parse = |text: String| Note::parse(text.as_bytes());
    assert_eq!(parse(format!("{GO_TEXT}\n{GO_SIGNATURE}")), Err(NoteError::SignatureLine));
    assert_eq!(parse(format!("{GO_TEXT}{GO_SIGNATURE}\n")), Err(NoteError::NoSignatures));
    assert_eq!(parse(format!("{GO_TEXT}\n{GO_SIGNATURE}\n\n")), Err(NoteError::SignatureLine));
    assert_eq!(parse(format!("{GO_TEXT}\n{GO_SIGNATURE}\nmore\n")), Err(NoteError::SignatureLine));
    assert_eq!(parse(format!("{GO_TEXT}\n{}\n", GO_SIGNATURE.replace('\u{2014}', "-"))), Err(NoteError::SignatureLine));
    assert_eq!(parse(format!("{GO_TEXT}\n{GO_SIGNATURE} \n")), Err(NoteError::SignatureLine));
    assert_eq!(parse(format!("{GO_TEXT}\n{GO_SIGNATURE}\r\n")), Err(NoteError::Text));
    assert_eq!(parse(format!("tab\there\n\n{GO_SIGNATURE}\n")), Err(NoteError::Text));
    assert_eq!(
        parse("text\n\n\u{2014} name x08goA==\n".to_owned()).map(|note| note.signatures().len()),
        Err(NoteError::SignatureLine)
    );
    assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Text));
    assert_eq!(Note::parse(&vec![b'a'; 600_000]), Err(NoteError::TooLong));
    assert_eq!(Note::new("no end".to_owned()), Err(NoteError::NoEnd));
    assert_eq!(parse_signatures(""), Err(NoteError::SignatureLine));
}

proptest! {
    #[test]
    fn no_flipped_bit_of_a_signed_checkpoint_holds(choice in 0..3usize, bit: usize) {
        let text = checkpoint().to_string();
        let signer = signer("example.org/record", ALL[choice], 7);
        let mut note = Note::new(text.clone()).unwrap();
        note.add(sign(&text, 1_700_000_000, &signer).unwrap()).unwrap();
        let mut bytes = note.to_string().into_bytes();
        let place = bit / 8 % bytes.len();
        bytes[place] ^= 1 << (bit % 8);
        let verified = Note::parse(&bytes).ok().and_then(|note| note.verify([signer.key()]).ok().map(|_| ()));
        prop_assert_eq!(verified, None);
    }

    #[test]
    fn parsers_take_any_text(
        lines in "(([a-z\u{e8} ]{0,9}|[0-9]{1,20})\n){0,5}\n?",
        signatures in "(\u{2014} [a-z+]{0,4} [A-Za-z0-9+/]{0,12}=?=?\n){0,3}",
    ) {
        let text = lines + &signatures;
        if let Ok(note) = Note::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_string(), text.clone());
        }
        if let Ok(key) = text.parse::<VerifierKey>() {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn parsers_take_any_bytes(bytes: Vec<u8>) {
        if let Ok(note) = Note::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
        }
    }
}
