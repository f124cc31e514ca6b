//! The form of entries: what was written once is read for ever.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sealcard_api::{Timestamp, merge::CertificateChange, record::RequestState};
use sealcard_record::{Body, Draft, Event, Head, MAX_ENTRY, SCHEMA, Sha256, event, parse};
use serde_json::Value;

use crate::samples;

/// One entry of each event, in the order of [`samples::drafts`]. Never change a line: old records have such entries.
const ENTRIES: &str = include_str!("../entries.jsonl");

fn placed() -> Vec<String> {
    let mut head = Head::EMPTY;
    let mut texts = Vec::new();
    for draft in samples::drafts() {
        let placed = draft.place(&head, Timestamp::from_unix(1_795_914_000)).unwrap();
        head = placed.head;
        texts.push(placed.text);
    }
    texts
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
    let head = ENTRIES.lines().fold(Head::EMPTY, |head, line| head.next(line));
    assert_eq!(head.sequence, ENTRIES.lines().count() as u64);
    // (h=$(printf '%064d' 0); while read -r l; do
    //   h=$( (printf %s "$h" | xxd -r -p; printf %s "$l") | sha256sum | cut -d' ' -f1); done; echo $h) < entries.jsonl
    assert_eq!(head.hash.to_string(), "2da6679585e3d493628d0ee9dcf3691094c9326d21cde041d3d6a3274c6b4a6c");
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
    Draft::of_server(Event::Unknown).place(&Head::EMPTY, Timestamp::now()).unwrap_err();
}

#[test]
fn entries_that_are_too_long_are_refused() {
    let named = |length| {
        let mut signing_key = samples::signing_key();
        signing_key.key.name = "x".repeat(length);
        Draft::of_server(Event::KeyEnabled(event::KeyAct { signing_key })).place(&Head::EMPTY, Timestamp::from_unix(0))
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
    let merged = event::CertificateMerged { signing_key, changes: (0..500).map(user_id).collect() };
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
        let placed = Draft::of_server(event).place(&Head::EMPTY, Timestamp::from_unix(0)).unwrap();
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
        let placed = draft.clone().place(&Head::EMPTY, Timestamp::from_unix(5)).unwrap();
        prop_assert!(!placed.text.contains('\n'));
        let read: Body = parse(&placed.text).unwrap();
        prop_assert_eq!(&read, &placed.body);
        prop_assert_eq!(read.event, draft.event);
    }
}
