//! What a verification finds, of a record and journals that fit together and of ones that do not.

use std::io::Cursor;

use proptest::prelude::*;
use sealcard_api::{
    Timestamp,
    ids::{ComponentId, RequestId},
    record::RequestState,
};
use sealcard_record::{
    Draft, Event, Head, Salt, Sha256,
    event::{
        Asked, DatabaseMoved, KeyBegun, KeyCertified, KeyComponentsAct, KeyWork, Operation, SignerOperation, UseIntent,
        UseOutcome,
    },
    leaf_hash,
    verify::{Finding, HeadPlace, Journals, MEMORY, Options, Report, Verifier, read_journal, read_record},
};
use sealcard_signer_protocol::{
    JournalEntry, LogHead, Stated,
    journal::{entry_hash, format_line},
};
use sealcard_transparency::{Frontier, Hash};
use uuid::Uuid;

use crate::samples;

/// A record and a journal in the making.
#[derive(Clone, Default)]
struct Story {
    /// Entries with the salts and hashes that are stored with them.
    record: Vec<(String, Salt, Sha256)>,
    journal: Vec<JournalEntry>,
}

const fn request(number: u64) -> Uuid {
    Uuid::from_u128(0x0193_5b6c_7000_7000_8000_0000_0000_0000 + number as u128)
}

const COMPONENT: Uuid = Uuid::from_u128(7);

fn intent(input: u8) -> UseIntent {
    let asked = Asked { input_sha256: Some(Sha256([input; 32])), ..Asked::new(Operation::Sign, SignerOperation::Sign) };
    UseIntent { signing_key: samples::signing_key(), component: ComponentId(COMPONENT), asked, host: None }
}

/// What a server states of a request of alice.
fn stated(number: u64) -> Stated {
    let alice = samples::alice();
    let (principal, grant) = (Some(alice.id.0), alice.grant.map(|grant| grant.0));
    Stated { principal, grant, ..Stated::by_server(request(number)) }
}

impl Story {
    fn record(&mut self, number: u64, event: Event) {
        let draft = Draft::new(RequestId(request(number)), event).by(samples::alice());
        let (number, salt) = (self.record.len() as u64 + 1, Salt([number as u8; 16]));
        let placed = draft.place(number, Timestamp::from_unix(1_800_000_000), salt).unwrap();
        self.record.push((placed.text, placed.salt, placed.hash));
    }

    fn use_key(&mut self, number: u64, operation: &str, input: u8) {
        let previous = self.journal.last().map_or([0; 32], |entry| entry.hash);
        let mut entry = JournalEntry {
            sequence: self.journal.len() as u64 + 1,
            unix: 1_800_000_000,
            operation: operation.to_owned(),
            component: COMPONENT,
            stated: stated(number),
            checkpoint: None,
            input_sha256: if operation == "generate" { Vec::new() } else { vec![input; 32] },
            hash: [0; 32],
        };
        entry.hash = entry_hash(&previous, &entry);
        self.journal.push(entry);
    }

    fn outcome(&mut self, number: u64, state: RequestState) {
        self.record(number, Event::UseOutcome(intent(1).outcome(state)));
    }

    /// A signature as it should be.
    fn sign(&mut self, number: u64) {
        self.record(number, Event::UseIntent(intent(1)));
        self.use_key(number, "sign", 1);
        let journal = self.journal.last().map(|entry| entry.sequence);
        self.record(number, Event::UseOutcome(UseOutcome { journal, ..intent(1).outcome(RequestState::Signed) }));
    }

    /// A key that is made, certifies, signs three times and is destroyed.
    fn sound() -> Self {
        let mut story = Self::default();
        let (signing_key, component) = (samples::signing_key(), ComponentId(COMPONENT));
        let begun = KeyBegun { components: vec![component], ..KeyBegun::new(signing_key.clone(), KeyWork::Create) };
        story.record(1, Event::KeyBegun(begun));
        story.use_key(1, "generate", 0);
        for input in [3, 4, 4] {
            let certified =
                KeyCertified { signing_key: signing_key.clone(), component, input_sha256: Sha256([input; 32]) };
            story.record(1, Event::KeyCertify(certified));
            story.use_key(1, "certify", input);
        }
        for number in 2..5 {
            story.sign(number);
        }
        let destroyed = KeyComponentsAct { signing_key, components: vec![component], fingerprint: None };
        story.record(5, Event::KeyDestroyBegun(destroyed));
        story.use_key(5, "destroy", 9);
        story
    }

    fn verify_with(&self, memory: usize, journals: Journals) -> Report {
        let mut verifier = Verifier::new(Options { folder: std::env::temp_dir(), memory, journals });
        let mut journal = verifier.journal("default");
        for entry in &self.journal {
            verifier.journal_entry(&mut journal, entry, false).unwrap();
        }
        for (text, salt, hash) in &self.record {
            verifier.entry(text, salt, *hash).unwrap();
        }
        let head = self.head();
        verifier.expect_root(head.sequence, head.root);
        verifier.finish().unwrap()
    }

    /// The log of the hashes as they are stored.
    fn head(&self) -> Head {
        let mut log = Frontier::new();
        self.record.iter().for_each(|(.., hash)| drop(log.append(Hash(hash.0)).unwrap()));
        Head::of(&log)
    }

    /// The end of the record when it had so many entries.
    fn head_at(&self, size: usize) -> LogHead {
        let mut log = Frontier::new();
        self.record.iter().take(size).for_each(|(.., hash)| drop(log.append(Hash(hash.0)).unwrap()));
        LogHead { size: size as u64, root: log.root().0 }
    }

    /// Changes a journal's entry, and writes the chain anew.
    fn rewrite_journal(&mut self, change: impl Fn(&mut JournalEntry)) {
        let mut previous = [0; 32];
        for entry in &mut self.journal {
            change(entry);
            entry.hash = entry_hash(&previous, entry);
            previous = entry.hash;
        }
    }

    /// The sound story, with the end of the record stated in each entry of the journal as a server does.
    fn with_heads() -> Self {
        let mut story = Self::sound();
        let heads: Vec<LogHead> = (0..=story.record.len()).map(|size| story.head_at(size)).collect();
        let length = story.journal.len();
        story.rewrite_journal(|entry| {
            let at = entry.sequence as usize * (heads.len() - 1) / length;
            entry.stated.record = Some(heads[at]);
        });
        story
    }

    fn findings(&self) -> Vec<Finding> {
        self.verify_with(MEMORY, Journals::All).findings
    }

    /// The only finding.
    fn finding(&self) -> Finding {
        let findings = self.findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.into_iter().next().unwrap()
    }
}

#[test]
fn sound_story_has_no_findings() {
    let story = Story::sound();
    let report = story.verify_with(MEMORY, Journals::All);
    let expected = Report { head: story.head(), unknown: 0, findings: Vec::new(), more: 0 };
    assert_eq!(report, expected);
}

#[test]
fn changed_entry_is_found_once() {
    let mut story = Story::sound();
    story.record[5].0 = story.record[5].0.replacen("alice", "mallory", 1);
    assert_eq!(story.finding(), Finding::Hash(6));
}

#[test]
fn entry_that_was_changed_with_its_hash_is_found_by_the_root() {
    let story = Story::sound();
    let known = story.head();
    let mut forged = story.clone();
    let (text, salt, hash) = &mut forged.record[5];
    *text = text.replacen("alice", "mallory", 1);
    *hash = leaf_hash(text, salt).unwrap();
    let mut shorter = story;
    shorter.record.pop();
    for story in [forged, shorter] {
        let mut verifier =
            Verifier::new(Options { folder: std::env::temp_dir(), memory: MEMORY, journals: Journals::None });
        for (text, salt, hash) in &story.record {
            verifier.entry(text, salt, *hash).unwrap();
        }
        verifier.expect_root(known.sequence, known.root);
        let found = story.head();
        let root = Finding::Root { size: known.sequence, root: known.root, has: found.sequence, found: found.root };
        assert!(verifier.finish().unwrap().findings.contains(&root));
    }
}

#[test]
fn removed_entry_is_found() {
    let mut story = Story::sound();
    let outcome = story.record.iter().position(|(text, ..)| text.contains("use-outcome")).unwrap();
    story.record.remove(outcome);
    let findings = story.findings();
    let number = outcome as u64 + 1;
    assert!(
        findings.contains(&Finding::Missing { expected: number, found: number + 1, after: number - 1 }),
        "{findings:?}"
    );
    assert!(findings.iter().any(|finding| matches!(finding, Finding::NoOutcome { .. })), "{findings:?}");
}

#[test]
fn entry_that_can_not_be_read_is_found() {
    let mut story = Story::sound();
    story.record.push(("no entry".to_owned(), Salt([0; 16]), Sha256([0; 32])));
    story.sign(9);
    assert!(matches!(story.finding(), Finding::Unreadable { .. }));
}

#[test]
fn use_behind_the_records_back_is_found() {
    for operation in ["sign", "certify", "generate", "destroy"] {
        let mut story = Story::sound();
        story.use_key(77, operation, 1);
        let Finding::NotInRecord(found) = story.finding() else { panic!("{operation}: {:?}", story.findings()) };
        assert_eq!(
            (found.operation.name(), found.request.0, found.journal.as_str()),
            (operation, request(77), "default")
        );
    }
}

#[test]
fn second_certification_of_one_input_needs_a_second_entry() {
    let mut story = Story::sound();
    story.use_key(1, "certify", 4);
    assert!(matches!(story.finding(), Finding::NotInRecord(_)));
}

#[test]
fn end_that_was_cut_off_is_found_in_the_journal() {
    let mut story = Story::sound();
    story.sign(8);
    story.record.truncate(story.record.len() - 2);
    let Finding::NotInRecord(found) = story.finding() else { panic!("{:?}", story.findings()) };
    assert_eq!(found.request.0, request(8));
}

#[test]
fn use_of_something_else_is_found() {
    let mut story = Story::default();
    story.record(1, Event::UseIntent(intent(1)));
    story.use_key(1, "sign", 2);
    story.outcome(1, RequestState::Signed);
    assert!(matches!(story.finding(), Finding::OtherInput(_)));
    story.journal.clear();
    story.use_key(1, "decrypt", 1);
    assert!(matches!(story.finding(), Finding::OtherOperation { .. }));
}

#[test]
fn use_of_another_requester_is_found() {
    let mut story = Story::default();
    story.sign(1);
    let mallory = Some(request(66));
    for other in [Stated { principal: mallory, ..stated(1) }, Stated { grant: mallory, ..stated(1) }] {
        let mut story = story.clone();
        story.journal[0].stated = other;
        story.journal[0].hash = entry_hash(&[0; 32], &story.journal[0]);
        assert!(matches!(story.finding(), Finding::OtherRequester(_)));
    }
}

#[test]
fn second_use_for_a_request_is_found() {
    let mut story = Story::default();
    story.sign(1);
    story.use_key(1, "sign", 1);
    assert!(matches!(story.finding(), Finding::UsedAgain(_)));
}

#[test]
fn signature_that_no_journal_has_is_found_if_all_journals_are_there() {
    let mut story = Story::default();
    story.sign(1);
    story.journal.clear();
    assert!(matches!(story.finding(), Finding::NotInJournal { .. }));
    assert_eq!(story.verify_with(MEMORY, Journals::None).findings, Vec::new());
    // Another machine's signer has it.
    assert_eq!(story.verify_with(MEMORY, Journals::OfHost(Some(request(3)))).findings, Vec::new());
}

#[test]
fn younger_entry_of_a_journal_confirms_and_accuses_nobody() {
    let mut story = Story::default();
    story.sign(1);
    story.use_key(2, "sign", 1);
    let mut verifier = Verifier::new(Options { folder: std::env::temp_dir(), memory: MEMORY, journals: Journals::All });
    let mut journal = verifier.journal("default");
    for entry in &story.journal {
        verifier.journal_entry(&mut journal, entry, true).unwrap();
    }
    for (text, salt, hash) in &story.record {
        verifier.entry(text, salt, *hash).unwrap();
    }
    assert_eq!(verifier.finish().unwrap().findings, Vec::new());
}

#[test]
fn journal_that_ends_before_a_named_entry_is_found() {
    let mut story = Story::sound();
    for number in 10..13 {
        story.sign(number);
    }
    let whole = story.journal.len() as u64;
    // At the end of a line: its chain is intact.
    story.journal.truncate(story.journal.len() - 2);
    let findings = story.findings();
    let missing =
        |number| Finding::NotInJournal { request: RequestId(request(number)), component: ComponentId(COMPONENT) };
    let cut = Finding::JournalCut { journal: "default".to_owned(), has: whole - 2, named: whole };
    assert_eq!(findings, [missing(11), missing(12), cut]);
}

#[test]
fn entry_that_is_elsewhere_than_the_record_says_is_found() {
    let mut story = Story::sound();
    story.record(10, Event::UseIntent(intent(1)));
    story.use_key(10, "sign", 1);
    let sequence = story.journal.len() as u64;
    let moved = UseOutcome { journal: Some(sequence - 1), ..intent(1).outcome(RequestState::Signed) };
    story.record(10, Event::UseOutcome(moved));
    let Finding::OtherPosition { found, named } = story.finding() else { panic!("{:?}", story.findings()) };
    assert_eq!((found.sequence, named), (sequence, sequence - 1));
}

#[test]
fn checkpoints_in_a_journal_need_no_entry_in_the_record() {
    let mut story = Story::sound();
    let previous = story.journal.last().unwrap();
    let mut entry = JournalEntry {
        sequence: previous.sequence + 1,
        operation: "checkpoint".to_owned(),
        component: request(80),
        stated: Stated::by_server(request(81)),
        checkpoint: Some(story.head_at(3)),
        input_sha256: vec![1; 32],
        ..previous.clone()
    };
    entry.hash = entry_hash(&previous.hash, &entry);
    story.journal.push(entry);
    story.sign(10);
    assert_eq!(story.findings(), Vec::new());
}

#[test]
fn intent_without_outcome_is_found() {
    let mut story = Story::default();
    story.record(1, Event::UseIntent(intent(1)));
    let expected = Finding::NoOutcome { request: RequestId(request(1)), component: ComponentId(COMPONENT) };
    assert_eq!(story.finding(), expected);
}

#[test]
fn changed_journal_is_found() {
    let mut story = Story::sound();
    story.journal[2].unix += 1;
    assert!(matches!(story.finding(), Finding::JournalHash { sequence: 3, .. }));
    let mut story = Story::sound();
    story.journal.remove(0);
    assert!(matches!(story.finding(), Finding::JournalMissing { expected: 1, found: 2, .. }));
    let mut story = Story::sound();
    story.use_key(1, "export", 1);
    assert!(matches!(story.finding(), Finding::UnknownOperation { .. }));
}

#[test]
fn unknown_events_are_counted_and_keep_the_log() {
    let mut story = Story::sound();
    let text = format!(
        r#"{{"schema":1,"sequence":{},"time":"2026-11-29T00:00:00Z","request_id":"{}","event":"moon-landed","crew":3}}"#,
        story.record.len() + 1,
        request(4)
    );
    let salt = Salt([0; 16]);
    let hash = leaf_hash(&text, &salt).unwrap();
    story.record.push((text, salt, hash));
    story.sign(9);
    let report = story.verify_with(MEMORY, Journals::All);
    assert_eq!((report.unknown, report.findings, report.head), (1, Vec::new(), story.head()));
}

#[test]
fn findings_are_bounded_and_counted() {
    let mut story = Story::default();
    for number in 0..3000 {
        story.use_key(number, "sign", 1);
    }
    let report = story.verify_with(MEMORY, Journals::All);
    assert_eq!((report.findings.len(), report.more), (1000, 2000));
}

#[test]
fn files_are_verified_as_they_are_exported() {
    let story = Story::sound();
    let lines = |record: &[(String, Salt, Sha256)]| {
        let line = |(text, salt, hash): &(String, Salt, Sha256)| {
            format!("{{\"hash\":\"{hash}\",\"salt\":\"{salt}\",\"entry\":{text}}}\n")
        };
        record.iter().map(line).collect::<String>()
    };
    let journal: String = story.journal.iter().map(format_line).collect();
    let verify = |record: &str, journal: &str| {
        let mut verifier =
            Verifier::new(Options { folder: std::env::temp_dir(), memory: MEMORY, journals: Journals::All });
        let mut bytes = 0;
        read_journal(&mut verifier, "default", Cursor::new(journal), &mut |more| bytes += more).unwrap();
        read_record(&mut verifier, Cursor::new(record), &mut |more| bytes += more)?;
        let report = verifier.finish().unwrap();
        assert!(report.findings.len() == 1 || bytes == (record.len() + journal.len()) as u64);
        Ok::<_, sealcard_record::verify::FileError>(report)
    };
    let record = lines(&story.record);
    assert_eq!(verify(&record, &journal).unwrap().findings, Vec::new());
    // The last line needs no end.
    assert_eq!(verify(record.trim_end(), journal.trim_end()).unwrap().head, story.head());
    let found = verify(&record, &format!("{journal}nonsense\n")).unwrap().findings;
    assert!(matches!(found.as_slice(), [Finding::JournalUnreadable { line: 9, .. }]), "{found:?}");
    assert!(verify("{}\n", &journal).unwrap_err().to_string().contains("line 1"));
    assert!(verify(&"x".repeat(100_000), &journal).unwrap_err().to_string().contains("longer"));
}

proptest! {
    #[test]
    fn order_of_uses_and_memory_change_nothing(
        order in Just((1_u64..60).collect::<Vec<_>>()).prop_shuffle(),
        memory in 1_usize..4000,
        lost in 1_u64..60,
    ) {
        let mut story = Story::default();
        for number in 1..60 {
            story.record(number, Event::UseIntent(intent(1)));
            story.outcome(number, RequestState::Signed);
        }
        for number in order.into_iter().filter(|number| *number != lost) {
            story.use_key(number, "sign", 1);
        }
        let report = story.verify_with(memory, Journals::All);
        let missing = Finding::NotInJournal { request: RequestId(request(lost)), component: ComponentId(COMPONENT) };
        prop_assert_eq!(report.findings, vec![missing]);
    }
}

#[test]
fn stated_ends_that_the_entries_give_are_no_finding() {
    assert_eq!(Story::with_heads().findings(), Vec::new());
}

#[test]
fn record_that_was_written_anew_is_found_by_the_stated_ends() {
    let mut story = Story::with_heads();
    let (text, salt, hash) = &mut story.record[4];
    *text = text.replacen("alice", "mallory", 1);
    *hash = leaf_hash(text, salt).unwrap();
    let later = story.journal.iter().filter(|entry| entry.stated.record.unwrap().size > 4).collect::<Vec<_>>();
    let place = HeadPlace::Stated { journal: "default".to_owned(), sequence: later[0].sequence };
    let known = later[0].stated.record.unwrap();
    let found = Sha256(story.head_at(known.size as usize).root);
    let (size, root, more) = (known.size, Sha256(known.root), later.len() as u64 - 1);
    let findings = story.findings();
    assert!(findings.contains(&Finding::OtherPast { place, size, root, found, more }), "{findings:#?}");
    assert!(findings.iter().any(|finding| finding.to_string().contains("it was written anew")), "{findings:#?}");
}

#[test]
fn record_whose_end_was_cut_is_found_by_a_stated_end() {
    let mut story = Story::with_heads();
    let length = story.record.len() as u64;
    story.record.pop();
    let place = HeadPlace::Stated { journal: "default".to_owned(), sequence: story.journal.len() as u64 };
    let cut = Finding::RecordCut { place, size: length, has: length - 1, more: 0 };
    assert!(story.findings().contains(&cut), "{:#?}", story.findings());
}

#[test]
fn checkpoint_of_another_past_is_found() {
    let mut story = Story::sound();
    let last = story.journal.len() as u64;
    let root = [7; 32];
    story.rewrite_journal(|entry| {
        if entry.sequence == last {
            (entry.operation, entry.checkpoint) = ("checkpoint".to_owned(), Some(LogHead { size: 3, root }));
        }
    });
    let findings = story.findings();
    let place = HeadPlace::Checkpoint { journal: "default".to_owned(), sequence: last };
    let found = Sha256(story.head_at(3).root);
    let expected = Finding::OtherPast { place, size: 3, root: Sha256(root), found, more: 0 };
    assert!(findings.contains(&expected), "{findings:#?}");
}

#[test]
fn end_that_a_younger_journal_states_is_no_finding() {
    let mut story = Story::with_heads();
    let future = LogHead { size: 1000, root: [1; 32] };
    story.rewrite_journal(|entry| entry.stated.record = Some(future));
    let mut verifier =
        Verifier::new(Options { folder: std::env::temp_dir(), memory: MEMORY, journals: Journals::None });
    let mut journal = verifier.journal("default");
    for entry in &story.journal {
        verifier.journal_entry(&mut journal, entry, true).unwrap();
    }
    for (text, salt, hash) in &story.record {
        verifier.entry(text, salt, *hash).unwrap();
    }
    assert_eq!(verifier.finish().unwrap().findings, Vec::new());
}

/// A signature of each of these machines, and the move of the first one's data to a shared database.
fn of_several_machines() -> Story {
    let mut story = Story::default();
    for (number, host) in [(10, None), (11, Some(request(1))), (12, Some(request(2)))] {
        story.record(number, Event::UseIntent(UseIntent { host, ..intent(1) }));
        let outcome = UseOutcome { host, ..intent(1).outcome(RequestState::Signed) };
        story.record(number, Event::UseOutcome(outcome));
        if host.is_none() {
            story.record(number, Event::DatabaseMoved(DatabaseMoved { host: request(1) }));
        }
    }
    story
}

#[test]
fn uses_of_machines_that_are_gone_are_compared_or_counted() {
    let story = of_several_machines();
    let missing = |journals| {
        let mut verifier = Verifier::new(Options { folder: std::env::temp_dir(), memory: MEMORY, journals });
        for (text, salt, hash) in &story.record {
            verifier.entry(text, salt, *hash).unwrap();
        }
        let elsewhere: Vec<(Uuid, u64)> = verifier.uses_elsewhere().into_iter().collect();
        let findings = verifier.finish().unwrap().findings;
        let requests = findings.iter().filter_map(|finding| match finding {
            Finding::NotInJournal { request, .. } => Some(request.0),
            _ => None,
        });
        (requests.collect::<Vec<_>>(), elsewhere)
    };
    let (first, second) = (request(1), request(2));
    let (before, own, other) = (request(10), request(11), request(12));
    assert_eq!(missing(Journals::OfHost(Some(first))), (vec![before, own], vec![(second, 1)]));
    assert_eq!(missing(Journals::OfHost(Some(second))), (vec![other], vec![(first, 2)]));
    assert_eq!(missing(Journals::AllBut([second].into())), (vec![before, own], vec![(second, 1)]));
    assert_eq!(missing(Journals::AllBut([first].into())), (vec![other], vec![(first, 2)]));
    assert_eq!(missing(Journals::All), (vec![before, own, other], vec![]));
}

proptest! {
    /// Journals are cut where a line ends; the record names the last entry.
    #[test]
    fn journal_that_was_cut_at_any_line_is_found(left in 0_usize..8) {
        let mut story = Story::with_heads();
        let length = story.journal.len();
        prop_assume!(left < length - 1);
        story.journal.truncate(left);
        let findings = story.findings();
        prop_assert!(findings.iter().any(|finding| matches!(finding, Finding::NotInJournal { .. })), "{:?}", findings);
    }

    /// Any change of one entry, its hash written anew, and any shorter record is found by what journals state, however
    /// little fits into memory.
    #[test]
    fn stated_ends_prove_all_entries_before_them(
        change in any::<prop::sample::Index>(),
        cut: bool,
        memory in 1_usize..20_000,
    ) {
        let mut story = Story::with_heads();
        if cut {
            story.record.truncate(change.index(story.record.len()));
        } else {
            let at = change.index(story.record.len());
            let (text, salt, hash) = &mut story.record[at];
            *text = text.replacen("\"schema\":1", "\"schema\":1,\"more\":1", 1);
            *hash = leaf_hash(text, salt).unwrap();
        }
        let findings = story.verify_with(memory, Journals::None).findings;
        let found = findings
            .iter()
            .any(|finding| matches!(finding, Finding::OtherPast { .. } | Finding::RecordCut { .. }));
        prop_assert!(found, "{:?}", findings);
    }
}
