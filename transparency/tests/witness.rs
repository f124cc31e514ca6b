//! The protocol between a log and a witness.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Log, cosign, signed, signer};
use proptest::prelude::*;
use sealcard_transparency::{
    AddCheckpoint, Answer, Checkpoint, Hash, KeyType, KnownLog, Note, NoteError, ProofError, Refusal, RequestError,
    Signer, TreeHead, VerifierKey, check_growth, judge, monitoring_path, prove_consistency, verify_consistency,
};

const ORIGIN: &str = "sign.example.org/record";

/// The examples of the specification.
const SPECIFICATION_PROOF: &str = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=
";
const SPECIFICATION_CHECKPOINT: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u{2014} example.com/behind-the-sofa \
    Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u{2014} example.com/behind-the-sofa \
    opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
";
const SPECIFICATION_ANSWER: &str = "\u{2014} witness.example/w1 \
    CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==
\u{2014} witness.example/w2 \
    AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==
";

fn keys(log: &Log) -> Vec<VerifierKey> {
    log.signers.iter().map(|signer| signer.key().clone()).collect()
}

/// What a witness that has cosigned `cosigned` says to a request.
fn ask(keys: &[VerifierKey], cosigned: TreeHead, request: &AddCheckpoint) -> Result<Checkpoint, Refusal> {
    // As the witness gets it.
    let request = AddCheckpoint::parse(request.to_string().as_bytes())?;
    judge(&request, |origin| (origin == ORIGIN).then_some(KnownLog { keys, cosigned }))
}

fn request(log: &Log, old: u64) -> AddCheckpoint {
    let proof = prove_consistency(old, log.frontier.size(), &mut log.reader()).unwrap();
    AddCheckpoint { old, proof, note: log.checkpoint() }
}

fn log(size: u64) -> Log {
    Log::new(ORIGIN, size)
}

#[test]
fn growing_log_is_cosigned() {
    let (first, second) = (log(5), log(12));
    let keys = keys(&first);
    let seen = ask(&keys, TreeHead::EMPTY, &request(&first, 0)).unwrap();
    assert_eq!(*seen.tree(), first.frontier.head());
    let seen = ask(&keys, *seen.tree(), &request(&second, 5)).unwrap();
    assert_eq!(*seen.tree(), second.frontier.head());
    // The same checkpoint again: the log may have lost the answer.
    assert!(ask(&keys, *seen.tree(), &request(&second, 12)).is_ok());
}

#[test]
fn each_refusal_has_its_status() {
    let (small, large, keys) = (log(5), log(12), keys(&log(0)));
    let cosigned = small.frontier.head();
    let status = |request: &AddCheckpoint| ask(&keys, cosigned, request).unwrap_err().status();

    let other = Log::new("other.example.org", 5);
    assert_eq!(ask(&keys, cosigned, &request(&other, 5)), Err(Refusal::UnknownOrigin));
    assert_eq!(status(&request(&other, 5)), 404);

    let stranger = signer(ORIGIN, KeyType::Ed25519, 9);
    let unsigned = AddCheckpoint { note: signed(ORIGIN, large.frontier.head(), [&stranger]), ..request(&large, 5) };
    assert_eq!(status(&unsigned), 403);

    assert_eq!(status(&AddCheckpoint { old: 13, ..request(&large, 5) }), 400);
    assert_eq!(status(&AddCheckpoint { proof: Vec::new(), ..request(&large, 5) }), 422);
    assert_eq!(status(&AddCheckpoint { proof: vec![Hash::EMPTY_TREE], ..request(&small, 5) }), 422);
    let proof_from_nothing = AddCheckpoint { proof: vec![Hash::EMPTY_TREE], ..request(&small, 0) };
    assert_eq!(ask(&keys, TreeHead::EMPTY, &proof_from_nothing), Err(ProofError::Length(1).into()));
    let mut no_checkpoint = Note::new("text\n".to_owned()).unwrap();
    cosign(&mut no_checkpoint, &large.signers[..1]);
    assert_eq!(status(&AddCheckpoint { note: no_checkpoint, ..request(&large, 5) }), 400);
}

#[test]
fn log_recovers_from_a_conflict() {
    let (log, keys) = (log(12), keys(&log(0)));
    let cosigned = self::log(7).frontier.head();
    for old in [0, 5, 12] {
        let refusal = ask(&keys, cosigned, &request(&log, old)).unwrap_err();
        assert_eq!((refusal.status(), refusal.body().as_str()), (409, "7\n"));
        let Answer::Conflict(known) = Answer::parse(refusal.status(), refusal.body().as_bytes()).unwrap() else {
            unreachable!("409 is a conflict")
        };
        assert!(ask(&keys, cosigned, &request(&log, known)).is_ok());
    }
}

#[test]
fn rewritten_past_is_refused() {
    let keys = keys(&log(0));
    let cosigned = log(7).frontier.head();
    let rewritten = TreeHead { size: 7, root: Hash::leaf(b"another past") };
    let fork = AddCheckpoint { old: 7, proof: Vec::new(), note: signed(ORIGIN, rewritten, &log(0).signers) };
    let refusal = ask(&keys, cosigned, &fork).unwrap_err();
    assert_eq!(refusal, Refusal::Fork { size: 7 });
    assert_eq!((refusal.status(), refusal.known_size()), (409, Some(7)));
    let honest = request(&log(12), 7);
    let refusal = ask(&keys, rewritten, &honest).unwrap_err();
    assert_eq!(refusal, Refusal::Inconsistent(ProofError::OlderRoot));
    assert_eq!(check_growth(&cosigned, 7, &rewritten, &[]), Err(Refusal::Fork { size: 7 }));
    assert_eq!(check_growth(&cosigned, 7, &log(6).frontier.head(), &[]), Err(Refusal::Backwards { old: 7, size: 6 }));
    assert_eq!(check_growth(&cosigned, 7, &log(12).frontier.head(), &honest.proof), Ok(()));
    // The log went back: its newest checkpoint is smaller than one that was cosigned.
    assert_eq!(ask(&keys, log(12).frontier.head(), &request(&log(7), 7)), Err(Refusal::Conflict { size: 12 }));
}

#[test]
fn answer_with_cosignatures_completes_the_checkpoint() {
    let log = log(3);
    let witness = signer("witness.example.org/w1", KeyType::Ed25519Cosignature, 3);
    let cosigned = signed(ORIGIN, log.frontier.head(), [&witness]);
    let body = format!("{}\n", cosigned.signatures()[0]);
    let Answer::Cosigned(signatures) = Answer::parse(200, body.as_bytes()).unwrap() else {
        unreachable!("200 has cosignatures")
    };
    let mut note = log.checkpoint();
    signatures.into_iter().for_each(|signature| note.add(signature).unwrap());
    assert_eq!(note.verify([witness.key()]).unwrap()[0].time, Some(common::TIME));
    assert_eq!(Answer::parse(422, b"no"), Ok(Answer::Refused(422)));
    for (status, body) in
        [(200, &b""[..]), (200, b"\n"), (200, b"text\n"), (409, b""), (409, b"7"), (409, b"07\n"), (409, b"\xff\n")]
    {
        assert!(Answer::parse(status, body).is_err(), "{status} {body:?}");
    }
}

#[test]
fn example_of_the_specification_is_read() {
    let body = format!("old 20852014\n{SPECIFICATION_PROOF}\n{SPECIFICATION_CHECKPOINT}");
    let request = AddCheckpoint::parse(body.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len(), request.note.signatures().len()), (20_852_014, 4, 2));
    assert_eq!(request.to_string(), body);
    let Answer::Cosigned(signatures) = Answer::parse(200, SPECIFICATION_ANSWER.as_bytes()).unwrap() else {
        unreachable!("200 has cosignatures")
    };
    assert_eq!(signatures.len(), 2);
}

#[test]
fn malformed_requests_are_refused() {
    let text = request(&log(3), 2).to_string();
    let parse = |text: String| AddCheckpoint::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(String::new()), RequestError::OldSize);
    assert_eq!(parse(text.replace("old 2", "old 02")), RequestError::OldSize);
    assert_eq!(parse(text.replace("old 2", "old  2")), RequestError::OldSize);
    assert_eq!(parse(text.replace("old 2", "Old 2")), RequestError::OldSize);
    assert_eq!(parse(text.replace("old 2\n", "old 2\nhash\n")), RequestError::Proof);
    assert_eq!(
        parse(text.replace("old 2\n", &format!("old 2\n{}", format!("{}\n", Hash::EMPTY_TREE.to_base64()).repeat(63)))),
        RequestError::Proof
    );
    assert_eq!(parse(text.replace("\n\n\u{2014}", "\n\u{2014}")), RequestError::Note(NoteError::NoSignatures));
    assert_eq!(AddCheckpoint::parse(&vec![b'a'; 600_000]), Err(NoteError::TooLong.into()));
}

#[test]
fn path_of_a_log_is_the_hash_of_its_origin() {
    assert_eq!(monitoring_path(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/checkpoint");
}

proptest! {
    #[test]
    fn witness_agrees_to_growth_and_to_nothing_else(old in 0..60u64, more in 0..60u64, bit: usize, choice: usize) {
        let (first, second) = (log(old), log(old + more));
        let (keys, cosigned) = (keys(&first), first.frontier.head());
        let request = request(&second, old);
        prop_assert!(ask(&keys, cosigned, &request).is_ok());
        prop_assert!(verify_consistency(&cosigned, &second.frontier.head(), &request.proof).is_ok());
        // A bit of the request is another one: all but the signature of one key is signed or checked.
        let mut bytes = request.to_string().into_bytes();
        let signed = bytes.len() - request.note.signatures().iter().map(|s| s.to_string().len() + 1).sum::<usize>();
        bytes[choice % signed] ^= 1 << (bit % 8);
        let agreed = AddCheckpoint::parse(&bytes).ok().map(|request| {
            judge(&request, |origin| (origin == ORIGIN).then_some(KnownLog { keys: &keys, cosigned })).is_ok()
        });
        prop_assert!(agreed != Some(true));
    }

    #[test]
    fn parsers_take_any_bytes(
        bytes: Vec<u8>,
        status in 190..430u16,
        text in "old [0-9]{1,3}\n([A-Za-z0-9+/]{43}=\n){0,3}\n?.{0,20}\n",
    ) {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Ok(request) = AddCheckpoint::parse(bytes) {
                prop_assert_eq!(request.to_string().into_bytes(), bytes);
            }
            let _ = Answer::parse(status, bytes);
        }
    }
}
