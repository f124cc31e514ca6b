//! Trust policies, and receipts that are checked under them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Log, TIME, cosign, signed, signer};
use proptest::prelude::*;
use sealcard_transparency::{
    KeyType, Note, Problem, Receipt, ReceiptError, SeedSigner, Signer, TreeHead, TrustError, TrustPolicy,
    prove_inclusion,
};

const ORIGIN: &str = "sign.example.org/record";

/// Six witnesses: those of X and those of Y.
fn witnesses() -> Vec<SeedSigner> {
    (0..6u8)
        .map(|place| {
            let key_type = if place % 2 == 0 { KeyType::Ed25519Cosignature } else { KeyType::MlDsa44 };
            signer(&format!("w{place}.example.org"), key_type, 10 + place)
        })
        .collect()
}

/// The example of the specification with the keys of this log and these witnesses.
fn example(log: &Log, witnesses: &[SeedSigner]) -> String {
    let key = |place: usize| witnesses[place].key().to_string();
    format!(
        "# who is trusted\nlog {} https://sign.example.org/record\nlog {}\n\nwitness X1 {}\nwitness X2 {} \
         https://x2.example\n\
         \twitness   X3\t{}  \ngroup X-witnesses 2 X1 X2 X3\n  # Y\nwitness Y1 {}\nwitness Y2 {}\nwitness Y3 {}\n\
         group Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
        log.signers[0].key(),
        log.signers[1].key(),
        key(0),
        key(1),
        key(2),
        key(3),
        key(4),
        key(5),
    )
}

#[test]
fn example_of_the_specification_asks_for_two_of_x_and_one_of_y() {
    let (log, witnesses) = (Log::new(ORIGIN, 9), witnesses());
    let policy: TrustPolicy = example(&log, &witnesses).parse().unwrap();
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (2, 6));
    assert_eq!(policy.logs()[0].url(), Some(&b"https://sign.example.org/record"[..]));
    assert_eq!(policy.witnesses()[2].url(), None);
    for chosen in 0..64u32 {
        let mut note = log.checkpoint();
        cosign(&mut note, witnesses.iter().enumerate().filter(|(place, _)| chosen >> place & 1 == 1).map(|(_, w)| w));
        let enough = (chosen & 0b111).count_ones() >= 2 && chosen >> 3 != 0;
        match policy.check(&note) {
            Ok(accepted) => {
                assert!(enough, "{chosen:b}");
                assert_eq!(*accepted.checkpoint.tree(), log.frontier.head());
                assert_eq!((accepted.log.len(), accepted.witnesses.len()), (2, chosen.count_ones() as usize));
                assert!(accepted.witnesses.iter().all(|witness| witness.time == Some(TIME)));
            }
            Err(error) => {
                assert!(!enough, "{chosen:b}");
                assert_eq!(error, TrustError::Quorum(chosen.count_ones() as usize));
            }
        }
    }
}

#[test]
fn one_key_of_the_log_is_enough_and_its_name_must_be_the_origin() {
    let log = Log::new(ORIGIN, 9);
    let policy: TrustPolicy = format!("log {}\nquorum none", log.signers[0].key()).parse().unwrap();
    assert_eq!(policy.check(&log.checkpoint()).unwrap().log.len(), 1);
    let only_other = signed(ORIGIN, log.frontier.head(), &log.signers[1..]);
    assert!(matches!(policy.check(&only_other), Err(TrustError::Log(_))));
    let other_origin = signed("other.example.org", log.frontier.head(), &log.signers[..1]);
    assert_eq!(policy.check(&other_origin), Err(TrustError::UnknownLog("other.example.org".to_owned())));
    let two_logs = format!(
        "log {}\nlog {}\nquorum none\n",
        log.signers[0].key(),
        signer("other.example.org", KeyType::Ed25519, 5).key()
    );
    assert!(matches!(two_logs.parse::<TrustPolicy>().unwrap().check(&other_origin), Err(TrustError::Log(_))));
    assert!(matches!(policy.check(&Note::new("text\n".to_owned()).unwrap()), Err(TrustError::Checkpoint(_))));
}

#[test]
fn wrong_cosignature_of_a_known_witness_spoils_the_checkpoint() {
    let (log, witnesses) = (Log::new(ORIGIN, 9), witnesses());
    let policy: TrustPolicy =
        format!("log {}\nwitness w {}\nquorum none\n", log.signers[0].key(), witnesses[0].key()).parse().unwrap();
    let mut note = log.checkpoint();
    let of_other = signed(ORIGIN, TreeHead::EMPTY, &witnesses[..1]);
    note.add(of_other.signatures()[0].clone()).unwrap();
    assert!(matches!(policy.check(&note), Err(TrustError::Witness(_))));
}

#[test]
fn wrong_lines_are_named() {
    let (log, w) = (Log::new(ORIGIN, 0), witnesses());
    let (l, w0, w1) = (log.signers[0].key().to_string(), w[0].key().to_string(), w[1].key().to_string());
    let name = |text: &str| text.to_owned();
    for (policy, line, problem) in [
        (String::new(), 1, Problem::NoQuorum),
        (format!("log {l}\n\n"), 2, Problem::NoQuorum),
        (format!("log {l}\nlog {l}\nquorum none\n"), 2, Problem::DuplicateKey),
        (format!("log {w0}\nquorum none\n"), 1, Problem::KeyType),
        (format!("witness a {l}\nquorum none\n"), 1, Problem::KeyType),
        (format!("witness a {w0}\nwitness b {w0}\nquorum a\n"), 2, Problem::DuplicateKey),
        (format!("witness a {w0}\nwitness a {w1}\nquorum a\n"), 2, Problem::NameTaken(name("a"))),
        (format!("witness none {w0}\nquorum none\n"), 1, Problem::NameTaken(name("none"))),
        (format!("witness a {w0}\ngroup a any a\nquorum a\n"), 2, Problem::NameTaken(name("a"))),
        (name("group g any g\nquorum g\n"), 1, Problem::Undefined(name("g"))),
        (name("group g any none\nquorum none\n"), 1, Problem::Undefined(name("none"))),
        (format!("quorum a\nwitness a {w0}\n"), 1, Problem::Undefined(name("a"))),
        (name("quorum none\nquorum none\n"), 2, Problem::SecondQuorum),
        (format!("witness a {w0}\ngroup g any a a\nquorum g\n"), 2, Problem::SecondMembership(name("a"))),
        (format!("witness a {w0}\ngroup g any a\ngroup h any a\nquorum g\n"), 3, Problem::SecondMembership(name("a"))),
        (format!("witness a {w0}\ngroup g 0 a\nquorum g\n"), 2, Problem::Threshold),
        (format!("witness a {w0}\ngroup g 2 a\nquorum g\n"), 2, Problem::Threshold),
        (format!("witness a {w0}\ngroup g 01 a\nquorum g\n"), 2, Problem::Threshold),
        (format!("witness a {w0}\ngroup g some a\nquorum g\n"), 2, Problem::Threshold),
        (format!("witness a {w0}\ngroup g any\nquorum g\n"), 2, Problem::Words),
        (format!("log {l} url more\nquorum none\n"), 1, Problem::Words),
        (name("log\nquorum none\n"), 1, Problem::Words),
        (name("quorum\n"), 1, Problem::Words),
        (name("quorum a b\n"), 1, Problem::Words),
        (name("quorum none\nlogs x\n"), 2, Problem::Keyword(name("logs"))),
        (name("quorum none\r\n"), 1, Problem::ControlCharacter),
        (name("# \u{7f}\nquorum none\n"), 1, Problem::ControlCharacter),
        (name(&"\n".repeat(1_048_577)), 1, Problem::TooLong),
    ] {
        let error = policy.parse::<TrustPolicy>().unwrap_err();
        assert_eq!((error.line, error.problem.clone()), (line, problem), "{policy}");
        assert!(error.to_string().starts_with(&format!("line {line} ")));
    }
    assert!(matches!("log x+y\nquorum none\n".parse::<TrustPolicy>().unwrap_err().problem, Problem::Key(_)));
}

#[test]
fn names_and_comments_are_bytes() {
    let witness = &witnesses()[0];
    let policy = [
        b"# \xff\nwitness K\xe2\x84\xaa\xff ",
        witness.key().to_string().as_bytes(),
        b" \xfe\nquorum K\xe2\x84\xaa\xff",
    ]
    .concat();
    let policy = TrustPolicy::parse(&policy).unwrap();
    assert_eq!(policy.witnesses()[0].url(), Some(&b"\xfe"[..]));
}

#[test]
fn forty_of_each_are_supported() {
    let mut text = String::new();
    for place in 0..40u8 {
        text += &format!("log {}\n", signer(&format!("log{place}"), KeyType::Ed25519, place).key());
        text += &format!(
            "witness w{place} {}\n",
            signer(&format!("w{place}"), KeyType::Ed25519Cosignature, 100 + place).key()
        );
        text += &format!(
            "group g{place} any w{place}{}\n",
            place.checked_sub(1).map(|before| format!(" g{before}")).unwrap_or_default()
        );
    }
    text += "quorum g39\n";
    let policy: TrustPolicy = text.parse().unwrap();
    let note = |witness: SeedSigner| signed("log3", TreeHead::EMPTY, &[signer("log3", KeyType::Ed25519, 3), witness]);
    // The first witness counts through forty groups.
    assert!(policy.check(&note(signer("w0", KeyType::Ed25519Cosignature, 100))).is_ok());
    assert_eq!(policy.check(&note(signer("w50", KeyType::Ed25519Cosignature, 200))), Err(TrustError::Quorum(0)));
}

fn receipt(log: &Log, index: u64, witnesses: &[SeedSigner]) -> Receipt {
    let proof = prove_inclusion(index, log.frontier.size(), &mut log.reader()).unwrap();
    let mut checkpoint = log.checkpoint();
    cosign(&mut checkpoint, witnesses);
    Receipt { extra: Some(b"salt".to_vec()), index, proof, checkpoint }
}

#[test]
fn receipt_holds_for_its_entry_under_its_policy() {
    let (log, witnesses) = (Log::new(ORIGIN, 9), witnesses());
    let policy: TrustPolicy = example(&log, &witnesses).parse().unwrap();
    let receipt = receipt(&log, 4, &witnesses);
    let text = receipt.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra c2FsdA==\nindex 4\n"));
    let receipt = Receipt::parse(text.as_bytes()).unwrap();
    assert_eq!(receipt.to_string(), text);
    assert_eq!(receipt.verify(&4u64.to_be_bytes(), &policy).unwrap().checkpoint.tree().size, 9);
    assert!(matches!(receipt.verify(&5u64.to_be_bytes(), &policy), Err(ReceiptError::NotIncluded(_))));
    let unwitnessed = self::receipt(&log, 4, &[]);
    assert!(matches!(unwitnessed.verify(&4u64.to_be_bytes(), &policy), Err(ReceiptError::Untrusted(_))));
    let without_extra = Receipt { extra: None, ..receipt };
    assert_eq!(Receipt::parse(without_extra.to_string().as_bytes()), Ok(without_extra));
}

#[test]
fn other_forms_of_receipts_are_refused() {
    let text = receipt(&Log::new(ORIGIN, 9), 4, &[]).to_string();
    let parse = |text: String| Receipt::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(text.replace("@v1", "@v2")), ReceiptError::Header);
    assert_eq!(parse(format!("\n{text}")), ReceiptError::Header);
    assert_eq!(parse(text.replace("c2FsdA==", "c2FsdA")), ReceiptError::Extra);
    assert_eq!(parse(text.replace("index 4", "index 04")), ReceiptError::Index);
    assert_eq!(parse(text.replace("index 4\n", "")), ReceiptError::Index);
    assert_eq!(parse(text.replace("extra c2FsdA==", "extra c2FsdA==\nextra c2FsdA==")), ReceiptError::Index);
    assert_eq!(parse(text.replace("index 4\n", "index 4\nhash\n")), ReceiptError::Proof);
    let early_end = parse(text.replace("index 4\n", "index 4\n\n"));
    assert!(matches!(early_end, ReceiptError::Untrusted(TrustError::Checkpoint(_))), "{early_end}");
    assert_eq!(Receipt::parse(&vec![b'a'; 1 << 20]), Err(ReceiptError::TooLong));
}

proptest! {
    #[test]
    fn no_flipped_bit_of_a_receipt_holds(size in 1..40u64, place: u64, bit: usize, choice: usize) {
        let (log, witness) = (Log::new(ORIGIN, size), signer("w.example.org", KeyType::Ed25519Cosignature, 3));
        let policy = format!("log {}\nwitness w {}\nquorum w\n", log.signers[0].key(), witness.key());
        let policy: TrustPolicy = policy.parse().unwrap();
        let mut checkpoint = signed(ORIGIN, log.frontier.head(), &log.signers[..1]);
        cosign(&mut checkpoint, [&witness]);
        let index = place % size;
        let proof = prove_inclusion(index, size, &mut log.reader()).unwrap();
        let mut bytes = Receipt { extra: None, index, proof, checkpoint }.to_string().into_bytes();
        let holds = |bytes: &[u8]| Receipt::parse(bytes).is_ok_and(|r| r.verify(&index.to_be_bytes(), &policy).is_ok());
        prop_assert!(holds(&bytes));
        let length = bytes.len();
        bytes[choice % length] ^= 1 << (bit % 8);
        prop_assert!(!holds(&bytes));
        prop_assert!(!holds(&bytes[..choice % length]));
    }

    #[test]
    fn parsers_take_any_bytes(
        bytes: Vec<u8>,
        text in "((log|witness|group|quorum|#|none|any|all|[0-9]|[a-c]| |\t){0,7}\n){0,5}",
    ) {
        let _ = TrustPolicy::parse(&bytes);
        let _ = TrustPolicy::parse(text.as_bytes());
        if let Ok(receipt) = Receipt::parse(&bytes) {
            prop_assert_eq!(receipt.to_string().into_bytes(), bytes);
        }
    }
}
