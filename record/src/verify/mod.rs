//! The proof that the record is whole and tells of every use of a key.
//!
//! The log shows changed, removed and inserted entries. The signers' journals, which the server can't write, show
//! uses that the record lacks. Every signature that left a signer is in a journal, so they also show an end that was
//! cut off.
//!
//! A [`Verifier`] takes the entries of record and journals in any order of the files, and keeps of each a few bytes.
//! Beyond [`Options::memory`] these are sorted by request through a temporary file, so that memory does not grow with
//! the record. `docs/decisions/record-verification.md` says why.

mod compare;
mod fact;
mod files;
mod finding;
mod heads;
mod places;
mod sort;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};

use sealcard_signer_protocol::{CHECKPOINT, JournalEntry, LogHead, journal::entry_hash};
use sealcard_transparency::{Frontier, Hash};
use uuid::Uuid;

pub use fact::Operation;
pub use files::{FileError, Progress, read_journal, read_record, read_record_with};
pub(crate) use files::{LineError, Lines};
pub use finding::{Finding, HeadPlace, JournalUse};

use self::{
    fact::{Kind, Origin, Parts, requester},
    finding::Findings,
    heads::{Heads, KnownHead, Source},
    places::Places,
    sort::Sorter,
};
use crate::{Body, Event, Head, Salt, Sha256, leaf_hash, parse};

/// Bytes that a [`Verifier`] keeps in memory if nothing else is said.
pub const MEMORY: usize = 16 << 20;

/// Machines that are told apart in [`Verifier::uses_elsewhere`]: more is damage.
const MAX_HOSTS: usize = 10_000;

/// How to verify.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the temporary file is made, which has no name.
    pub folder: PathBuf,
    /// Bytes of facts that are kept in memory.
    pub memory: usize,
    /// Whose uses the journals must have.
    pub journals: Journals,
}

/// Whose uses the journals that are compared must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Journals {
    /// Nobody's: no journals are compared, or not all of those that are needed.
    None,
    /// Those of one machine. `None` if only one machine uses the database.
    OfHost(Option<Uuid>),
    /// Those of all machines but these, whose own servers compare them.
    AllBut(BTreeSet<Uuid>),
    /// Everybody's: the journals of all machines are compared.
    All,
}

/// Whose uses the journals must have, as far as the record says which machine is which.
#[derive(Debug)]
struct Scope {
    journals: Journals,
    /// The machine that was the only one until the data was moved to a shared database.
    before: Option<Uuid>,
}

impl Scope {
    fn covers(&self, host: Option<Uuid>) -> bool {
        match &self.journals {
            Journals::None => false,
            Journals::OfHost(own) => host == *own,
            Journals::AllBut(others) => host.is_none_or(|host| !others.contains(&host)),
            Journals::All => true,
        }
    }

    /// Whether uses on a machine that the record does not name are covered, once all entries were taken.
    fn covers_before(&self) -> bool {
        self.covers(self.before)
    }
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The record's end.
    pub head: Head,
    /// Entries that this version can't read because they are of a newer one. Their places in the log were checked,
    /// and what they say was not compared with the journals.
    pub unknown: u64,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more: u64,
}

/// A verification in work.
pub struct Verifier {
    scope: Scope,
    /// How many uses each machine recorded, as far as no journal must have them.
    elsewhere: BTreeMap<Option<Uuid>, u64>,
    log: Frontier,
    /// The number of the entry that was taken last.
    sequence: u64,
    unknown: u64,
    names: Vec<String>,
    places: Places,
    findings: Findings,
    facts: Sorter,
    heads: Heads,
}

/// How far a journal was read.
#[derive(Debug)]
pub struct Journal {
    /// Its place among the verifier's, from 1.
    number: u16,
    sequence: u64,
    hash: [u8; 32],
}

impl Journal {
    /// The number of the newest entry that was read.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl Verifier {
    /// Begins.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options { folder, memory, journals } = options;
        Self {
            scope: Scope { journals, before: None },
            elsewhere: BTreeMap::new(),
            log: Frontier::new(),
            sequence: 0,
            unknown: 0,
            names: Vec::new(),
            places: Places::default(),
            findings: Findings::default(),
            facts: Sorter::new(folder.clone(), memory / 2),
            heads: Heads::new(folder, memory / 2),
        }
    }

    /// The number of the entry that was taken last, 0 if there was none.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Notes something that was found otherwise.
    pub fn add_finding(&mut self, finding: Finding) {
        self.findings.add(finding);
    }

    /// Says that not all journals could be read: none is expected to have a use that it lacks.
    pub fn expect_no_journal(&mut self) {
        self.scope.journals = Journals::None;
    }

    /// Takes the record's next entry, with the salt and the hash that are stored with it. Gives its content if it can
    /// be read.
    ///
    /// # Errors
    /// If the temporary file can't be written.
    pub fn entry(&mut self, text: &str, salt: &Salt, hash: Sha256) -> io::Result<Option<Body>> {
        let expected = self.sequence.saturating_add(1);
        // Goes on with what is stored, so that one change is one finding.
        if self.log.append(Hash(hash.0)).is_err() {
            return Err(io::Error::other("the record has more entries than a log can have"));
        }
        self.heads.leaf(hash.0)?;
        let body = match parse(text) {
            Ok(body) => body,
            Err(error) => {
                self.findings.add(Finding::Unreadable { sequence: expected, error: error.to_string() });
                self.sequence = expected;
                return Ok(None);
            }
        };
        let sequence = body.sequence;
        if sequence != expected {
            let after = self.sequence;
            self.findings.add(Finding::Missing { expected, found: sequence, after });
        }
        if leaf_hash(text, salt).ok() != Some(hash) {
            self.findings.add(Finding::Hash(sequence));
        }
        self.sequence = sequence;
        self.note(&body)?;
        Ok(Some(body))
    }

    /// Compares the log of all entries that were taken with what is known of it otherwise.
    pub fn expect_root(&mut self, size: u64, root: Sha256) {
        let found = Head::of(&self.log);
        if found != (Head { sequence: size, root }) {
            self.findings.add(Finding::Root { size, root, has: found.sequence, found: found.root });
        }
    }

    /// Says that the log had this root when it had so many entries. `name` is what findings call whatever knows that.
    /// The entries may be taken before or after.
    ///
    /// # Errors
    /// If the temporary file can't be written.
    pub fn expect_head(&mut self, name: impl Into<String>, size: u64, root: Sha256) -> io::Result<()> {
        self.heads.other(name.into(), size, root.0)
    }

    /// Keeps what the entry says of components.
    fn note(&mut self, body: &Body) -> io::Result<()> {
        use Operation::{Certify, Destroy, Generate};
        let (request, sequence) = (body.request_id.0, body.sequence);
        let fact = |component: Uuid, kind, operation| Parts::of_record((request, component), kind, operation, sequence);
        match &body.event {
            Event::UseIntent(intent) => {
                let operation = intent.asked.signer_operation.into();
                let input = intent.asked.input_sha256.map_or([0; 32], |input| input.0);
                let actor = body.actor.as_ref();
                let grant = actor.and_then(|actor| actor.grant).map(|grant| grant.0);
                let requester = requester(actor.map(|actor| actor.id.0), grant);
                self.facts
                    .push(Parts { input, requester, ..fact(intent.component.0, Kind::Intent, operation) }.encode())
            }
            Event::UseOutcome(outcome) => {
                let kind = match outcome.host {
                    _ if outcome.state != sealcard_api::record::RequestState::Signed => Kind::Ended,
                    // Which machine that was is known only when the data has moved to a database that others share.
                    None if !matches!(self.scope.journals, Journals::All | Journals::OfHost(None)) => {
                        self.count_elsewhere(None);
                        Kind::SignedBefore
                    }
                    host if self.scope.covers(host) => Kind::Signed,
                    host => {
                        self.count_elsewhere(host);
                        Kind::Ended
                    }
                };
                let operation = outcome.asked.signer_operation.into();
                let sequence = outcome.journal.unwrap_or_default();
                self.facts.push(Parts { sequence, ..fact(outcome.component.0, kind, operation) }.encode())
            }
            Event::KeyBegun(begun) => {
                let facts = begun.components.iter().map(|component| fact(component.0, Kind::Made, Generate));
                facts.into_iter().try_for_each(|fact| self.facts.push(fact.encode()))
            }
            Event::LogKeyBegun(begun) => self.facts.push(fact(begun.component.0, Kind::Made, Generate).encode()),
            Event::KeyCertify(certified) => {
                let input = certified.input_sha256.0;
                self.facts.push(Parts { input, ..fact(certified.component.0, Kind::Certified, Certify) }.encode())
            }
            Event::KeyDestroyBegun(begun) | Event::KeyDiscardBegun(begun) => {
                let facts = begun.components.iter().map(|component| fact(component.0, Kind::Destroyed, Destroy));
                facts.into_iter().try_for_each(|fact| self.facts.push(fact.encode()))
            }
            Event::DatabaseMoved(moved) => {
                self.scope.before = Some(moved.host);
                Ok(())
            }
            Event::Unknown => {
                self.unknown += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn count_elsewhere(&mut self, host: Option<Uuid>) {
        if self.elsewhere.len() < MAX_HOSTS || self.elsewhere.contains_key(&host) {
            *self.elsewhere.entry(host).or_default() += 1;
        }
    }

    /// The machines whose uses no journal must have, and how many each recorded.
    #[must_use]
    pub fn uses_elsewhere(&self) -> BTreeMap<Uuid, u64> {
        let mut uses = BTreeMap::new();
        for (host, count) in &self.elsewhere {
            let covered = host.is_none() && self.scope.covers_before();
            if let Some(host) = host.or(self.scope.before).filter(|_| !covered) {
                *uses.entry(host).or_default() += count;
            }
        }
        uses
    }

    /// Begins another journal. `name` is what findings call it.
    pub fn journal(&mut self, name: impl Into<String>) -> Journal {
        self.names.push(name.into());
        // More journals than that are indistinct in findings, and compared all the same.
        let number = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        Journal { number, sequence: 0, hash: [0; 32] }
    }

    /// Takes a journal's next entry. `later` if it may be younger than the record that is compared: then it is enough
    /// if it confirms the record.
    ///
    /// # Errors
    /// If the temporary file can't be written.
    pub fn journal_entry(&mut self, journal: &mut Journal, entry: &JournalEntry, later: bool) -> io::Result<()> {
        let expected = journal.sequence.saturating_add(1);
        let name = || self.names.get(usize::from(journal.number) - 1).cloned().unwrap_or_default();
        if entry.sequence != expected {
            self.findings.add(Finding::JournalMissing { journal: name(), expected, found: entry.sequence });
        } else if entry_hash(&journal.hash, entry) != entry.hash {
            self.findings.add(Finding::JournalHash { journal: name(), sequence: expected });
        }
        journal.sequence = entry.sequence.max(expected);
        journal.hash = entry.hash;
        self.places.note(journal.number, journal.sequence, entry.component);
        let (source, sequence) = (journal.number, journal.sequence);
        for (from, head) in [(Source::Stated, entry.stated.record), (Source::Checkpoint, entry.checkpoint)] {
            if let Some(LogHead { size, root }) = head {
                self.heads.known(KnownHead { size, root, from, source, sequence, later })?;
            }
        }
        // The record has no entry for each checkpoint: that would be one more to sign.
        if entry.operation == CHECKPOINT {
            return Ok(());
        }
        let Some(operation) = Operation::of(entry) else {
            let (sequence, operation) = (entry.sequence, entry.operation.clone());
            self.findings.add(Finding::UnknownOperation { journal: name(), sequence, operation });
            return Ok(());
        };
        let kind = match operation {
            _ if later => Kind::UsedLater,
            Operation::Certify => Kind::Certified,
            _ => Kind::Used,
        };
        let parts = Parts {
            id: (entry.stated.request, entry.component),
            kind,
            input: entry.input_sha256.as_slice().try_into().unwrap_or_default(),
            origin: Origin::Journal,
            operation,
            journal: journal.number,
            sequence: entry.sequence,
            requester: requester(entry.stated.principal, entry.stated.grant),
        };
        self.facts.push(parts.encode())
    }

    /// Compares what was taken.
    ///
    /// # Errors
    /// If the temporary file can't be read or written.
    pub fn finish(self) -> io::Result<Report> {
        let Self { log, sequence: _, unknown, names, mut places, mut findings, facts, heads, scope, elsewhere: _ } =
            self;
        heads.compare(&names, &mut findings)?;
        compare::compare(facts.sorted()?, &names, &scope, &mut places, &mut findings)?;
        places.cut_journals(&names).for_each(|finding| findings.add(finding));
        Ok(Report { head: Head::of(&log), unknown, findings: findings.first, more: findings.more })
    }
}
