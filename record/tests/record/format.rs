//! The form of entries: what was written once is read for ever.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sealcard_api::{Timestamp, merge::CertificateChange, record::RequestState};
use sealcard_record::{Body, Draft, Event, MAX_ENTRY, Placed, SCHEMA, Salt, Sha256, event, leaf_hash, parse};
use sealcard_transparency::{Frontier, Hash};
use serde_json::Value;

use crate::samples;

/// One entry of each event, in the order of [`samples::drafts`]. Never change a line: old records have such entries.
const ENTRIES: &str = include_str!("../entries.jsonl");

const SALT: Salt = Salt([7; 16]);

fn place(draft: Draft) -> Result<Placed, sealcard_record::BodyError> {
    draft.place(1, Timestamp::from_unix(0), SALT)
}

fn placed() -> Vec<String> {
    let placed =
        |(number, draft): (u64, Draft)| draft.place(number, Timestamp::from_unix(1_795_914_000), SALT).unwrap();
    (1..).zip(samples::drafts()).map(placed).map(|placed| placed.text).collect()
}

#[test]
fn written_bytes_never_change() {
    for (written, known) in placed().iter().zip(ENTRIES.lines()) {
        assert_eq!(written, known);
    }
    assert_eq!(placed().len(), ENTRIES.lines().count());
}

#[test]
fn every_event_has_a_sample() {
    let sampled: BTreeSet<&str> = samples::drafts().iter().map(|draft| draft.event.name()).collect();
    assert_eq!(sampled, Event::NAMES.iter().copied().collect());
}

#[test]
fn every_entry_survives_its_bytes() {
    for (line, draft) in ENTRIES.lines().zip(samples::drafts()) {
        let body = parse(line).unwrap();
        let Draft { request_id, actor, peer, event } = draft;
        assert_eq!((body.request_id, body.actor, body.peer, body.event), (request_id, actor, peer, event), "{line}");
        assert_eq!(body.schema, SCHEMA);
    }
}

#[test]
fn fields_have_one_name_and_no_floats() {
    for line in ENTRIES.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        // A name that occurs twice would be one field less here than there are in the text.
        assert_eq!(line.matches("\":").count(), fields(&value), "{line}");
        assert!(!line.contains('\n') && !line.contains("null"), "{line}");
    }
}

/// How many fields there are, also inside others.
fn fields(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len() + map.values().map(fields).sum::<usize>(),
        Value::Array(values) => values.iter().map(fields).sum(),
        Value::Number(number) => {
            assert!(number.is_u64() || number.is_i64(), "{number}");
            0
        }
        _ => 0,
    }
}

#[test]
fn same_thing_has_the_same_form_everywhere() {
    for line in ENTRIES.lines() {
        let Value::Object(body) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        for name in ["principal", "project", "key", "group", "grant", "environment", "token"] {
            let Some(thing) = body.get(name) else { continue };
            let names: Vec<&String> = thing.as_object().unwrap().keys().collect();
            assert_eq!(names, ["id", "name"], "{name} in {line}");
        }
    }
}

#[test]
fn hash_of_known_entries_never_changes() {
    let mut log = Frontier::new();
    for line in ENTRIES.lines() {
        log.append(Hash(leaf_hash(line, &SALT).unwrap().0)).unwrap();
    }
    // By a program of its own: leaves as sealcard_transparency::Leaf describes them, root by RFC 9162, section 2.1.1.
    assert_eq!(log.root().to_string(), "0c0a3892bc08a5e882e5f59ea01037d2ac721c29ef93e3837f282579da68e481");
}

#[test]
fn hash_changes_with_each_part_of_an_entry() {
    let line = ENTRIES.lines().next().unwrap();
    let hash = leaf_hash(line, &SALT).unwrap();
    assert_ne!(leaf_hash(line, &Salt([8; 16])).unwrap(), hash);
    for (from, to) in [("alice", "mallory"), ("2026-11-29", "2026-11-28"), ("use-intent", "use-outcome")] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line);
        assert_ne!(leaf_hash(&changed, &SALT).unwrap(), hash);
    }
}

#[test]
fn unknown_events_are_read_as_unknown() {
    let line = r#"{"schema":1,"sequence":7,"time":"2026-11-29T00:00:00Z","request_id":"01935b6c-7000-7000-8000-000000000001","actor":{"id":"01935b6c-7000-7000-8000-000000000002","name":"alice"},"event":"moon-landed","crew":3}"#;
    let body = parse(line).unwrap();
    assert_eq!((body.sequence, &body.event), (7, &Event::Unknown));
    assert_eq!(body.actor.unwrap().name, "alice");
    assert_eq!((body.event.kind(), body.event.project()), (None, None));
}

#[test]
fn unknown_fields_are_ignored() {
    let line = ENTRIES.lines().next().unwrap();
    let more = line.replacen('{', r#"{"policy_version":{"n":1},"#, 1);
    assert_eq!(parse(&more).unwrap(), parse(line).unwrap());
}

#[test]
fn entries_of_a_newer_schema_are_read_as_unknown() {
    let line = ENTRIES.lines().next().unwrap();
    let newer = line.replacen("\"schema\":1", "\"schema\":2", 1);
    assert_eq!(parse(&newer).unwrap().event.name(), "use-intent");
    let unreadable = newer.replacen("\"signer_operation\":\"sign\"", "\"signer_operation\":\"sign-checkpoint\"", 1);
    assert_ne!(unreadable, newer);
    assert_eq!(parse(&unreadable).unwrap().event, Event::Unknown);
    parse(&unreadable.replacen("\"schema\":2", "\"schema\":1", 1)).unwrap_err();
}

#[test]
fn unknown_events_are_never_written() {
    place(Draft::of_server(Event::Unknown)).unwrap_err();
}

#[test]
fn entries_that_are_too_long_are_refused() {
    let named = |length| {
        let mut signing_key = samples::signing_key();
        signing_key.key.name = "x".repeat(length);
        place(Draft::of_server(Event::KeyEnabled(event::KeyAct { signing_key })))
    };
    let short = named(0).unwrap().text.len();
    assert_eq!(named(MAX_ENTRY - short).unwrap().text.len(), MAX_ENTRY);
    named(MAX_ENTRY - short + 1).unwrap_err();
    parse(&" ".repeat(MAX_ENTRY + 1)).unwrap_err();
}

#[test]
fn texts_of_others_are_cut_to_fit() {
    let signing_key = samples::signing_key();
    let user_id = |n: usize| CertificateChange::UserIdAdded { user_id: format!("{n}{}", "ü".repeat(5000)) };
    let merged = event::CertificateMerged {
        signing_key,
        changes: (0..500).map(user_id).collect(),
        certificate: samples::certificate(),
    };
    let mut failed = samples::intent().outcome(RequestState::Failed);
    failed.error = Some("\u{1}".repeat(MAX_ENTRY));
    let mut claimed = samples::claimed_intent();
    let widest = event::ClaimedProcess { command: Some("ü".repeat(5000)), ..event::ClaimedProcess::default() };
    claimed.asked.claims.as_mut().unwrap().processes = vec![widest; 8];
    let denied = event::UseDenied::of_unknown_key(samples::signing_key().key.id, claimed.asked.clone());
    for event in [
        Event::CertificateMerged(merged),
        Event::UseOutcome(failed),
        Event::UseIntent(claimed),
        Event::UseDenied(denied),
    ] {
        let placed = place(Draft::of_server(event)).unwrap();
        assert!(placed.text.len() <= MAX_ENTRY && placed.text.contains('…'), "{}", placed.text.len());
        assert_eq!(parse(&placed.text).unwrap(), placed.body);
    }
}

#[test]
fn outcome_repeats_what_its_intent_says() {
    let intent = samples::claimed_intent();
    let outcome = intent.outcome(RequestState::Signed);
    assert_eq!(outcome.asked.digest, intent.asked.digest);
    assert_eq!((outcome.signing_key, outcome.component), (intent.signing_key, intent.component));
    assert_eq!((outcome.asked.idempotency_key, outcome.asked.input_sha256, outcome.asked.claims), (None, None, None));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn damaged_entries_never_panic(which: prop::sample::Index, at: prop::sample::Index, byte in 0x20_u8..0x7f) {
        let lines: Vec<&str> = ENTRIES.lines().collect();
        let mut bytes = which.get(&lines).as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(body) = parse(&text)
        {
            // Whatever is read can be asked.
            let _ = (body.event.kind(), body.event.project(), body.event.key(), body.event.principal());
        }
    }

    #[test]
    fn any_texts_survive(name in ".{0,40}", error in ".{0,200}", hash: [u8; 32]) {
        let mut signing_key = samples::signing_key();
        signing_key.key.name = name;
        let mut outcome = samples::intent().outcome(RequestState::Failed);
        outcome.signing_key = signing_key;
        outcome.error = Some(error);
        outcome.signature_sha256 = Some(Sha256(hash));
        let draft = Draft::new(samples::request(), Event::UseOutcome(outcome));
        let placed = place(draft.clone()).unwrap();
        prop_assert_eq!(leaf_hash(&placed.text, &SALT).unwrap(), placed.hash);
        prop_assert!(!placed.text.contains('\n'));
        let read: Body = parse(&placed.text).unwrap();
        prop_assert_eq!(&read, &placed.body);
        prop_assert_eq!(read.event, draft.event);
    }
}
