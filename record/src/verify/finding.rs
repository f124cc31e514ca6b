//! What a verification finds wrong.

use std::fmt;

use sealcard_api::ids::{ComponentId, RequestId};
use uuid::Uuid;

use super::Operation;
use crate::{Sha256, fold::Difference};

/// Findings beyond this number are counted only.
pub(super) const MAX_FINDINGS: usize = 1000;

/// Something that is wrong with record or journals, as a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The record has a gap, or an entry that was put in.
    #[error("entry {expected} is missing: {found} follows {after}")]
    Missing {
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
        /// The number before it.
        after: u64,
    },
    /// An entry, its salt or its hash was changed.
    #[error("entry {0}: its hash does not fit its content")]
    Hash(u64),
    /// What is stored of the log does not fit together.
    #[error("{0}")]
    Log(String),
    /// The entries are not those of the log: an entry was changed with its hash, or the end was cut off.
    #[error("the record has {has} entries with the root {found}, but the log has {size} with {root}")]
    Root {
        /// How many entries the log has.
        size: u64,
        /// Its root.
        root: Sha256,
        /// How many entries were taken.
        has: u64,
        /// Their root.
        found: Sha256,
    },
    /// The bytes are no entry.
    #[error("entry {sequence}: its body can't be read: {error}")]
    Unreadable {
        /// The number that belongs here.
        sequence: u64,
        /// Why.
        error: String,
    },
    /// The database's columns beside an entry say something else than the entry.
    #[error("entry {0}: the columns beside its body were changed")]
    Columns(u64),
    /// A row of the database is not what the record says.
    #[error("{0}")]
    Table(#[from] Difference),
    /// A journal has a gap, or an entry that was put in.
    #[error("journal {journal}: entry {found} is where {expected} belongs")]
    JournalMissing {
        /// Which journal.
        journal: String,
        /// The number that belongs here.
        expected: u64,
        /// The number that is here.
        found: u64,
    },
    /// A journal's entry, or the one before it, was changed.
    #[error("journal {journal}: entry {sequence} does not fit the one before it")]
    JournalHash {
        /// Which journal.
        journal: String,
        /// The entry.
        sequence: u64,
    },
    /// A journal's line can't be read.
    #[error("journal {journal}: line {line} can't be read: {error}")]
    JournalUnreadable {
        /// Which journal.
        journal: String,
        /// The line, counted from 1.
        line: u64,
        /// Why.
        error: String,
    },
    /// A journal became shorter, or was not given as a whole.
    #[error("journal {journal}: it has {has} entries of {expected}")]
    JournalShort {
        /// Which journal.
        journal: String,
        /// How many entries there are.
        has: u64,
        /// How many there must be.
        expected: u64,
    },
    /// A journal ends before an entry that the record names: its end was cut off, or an older copy was put in its
    /// place.
    #[error("journal {journal}: it ends with entry {has}, but the record names its entry {named}: the end is missing")]
    JournalCut {
        /// Which journal.
        journal: String,
        /// The number of its last entry.
        has: u64,
        /// The highest number that the record names.
        named: u64,
    },
    /// A journal could not be read, so that uses which the record lacks may be in it.
    #[error("journal {journal}: it was not compared: {error}")]
    NotCompared {
        /// Which journal.
        journal: String,
        /// Why.
        error: String,
    },
    /// A journal has an operation that this version does not know.
    #[error("journal {journal}: entry {sequence} has the unknown operation {operation:?}")]
    UnknownOperation {
        /// Which journal.
        journal: String,
        /// The entry.
        sequence: u64,
        /// Its operation.
        operation: String,
    },
    /// A key was used, made or destroyed and the record does not say so.
    #[error("{0} is not in the record")]
    NotInRecord(JournalUse),
    /// A key was used otherwise than the record says.
    #[error("{found}, but the record's intent is {intended}")]
    OtherOperation {
        /// The journal's entry.
        found: JournalUse,
        /// The record's.
        intended: Operation,
    },
    /// A key was used on something else than the record says.
    #[error("{0}, but the record's intent is over something else")]
    OtherInput(JournalUse),
    /// The server stated another requester to the signer than it recorded.
    #[error("{0}, but the record's intent is of another requester")]
    OtherRequester(JournalUse),
    /// A key was used once more than the record says.
    #[error("{0}: it was used before for this request")]
    UsedAgain(JournalUse),
    /// The record says that a key was used, and no journal does.
    #[error("request {request}: the record says that component {component} was used, the journals do not")]
    NotInJournal {
        /// The request.
        request: RequestId,
        /// The component.
        component: ComponentId,
    },
    /// The record names another entry of the journal than the one that has the use.
    #[error("{found}, but the record says that it is entry {named}")]
    OtherPosition {
        /// The journal's entry.
        found: JournalUse,
        /// The number that the record names.
        named: u64,
    },
    /// Somebody knows another past of the record than the entries give: they were written anew.
    #[error(
        "{place}: with {size} entries the record had the root {root}, but its entries give {found}: it was \
         written anew{}",
        More(*.more)
    )]
    OtherPast {
        /// Who knows it.
        place: HeadPlace,
        /// How many entries there were.
        size: u64,
        /// The root that is known.
        root: Sha256,
        /// The root that the entries give.
        found: Sha256,
        /// How many later ones of the same source do not fit either.
        more: u64,
    },
    /// Somebody knows more entries than there are: the end was cut off.
    #[error("{place}: the record had {size} entries, but it has {has}: its end was cut off{}", More(*.more))]
    RecordCut {
        /// Who knows it.
        place: HeadPlace,
        /// How many entries there were.
        size: u64,
        /// How many there are.
        has: u64,
        /// How many later ones of the same source do not fit either.
        more: u64,
    },
    /// A machine whose journals were not compared used keys.
    #[error(
        "{uses} uses of keys on the machine {host} were not compared: no server runs there any more, and its signers' \
         journals are not here"
    )]
    HostNotCompared {
        /// The machine.
        host: Uuid,
        /// How many signatures and decryptions it recorded.
        uses: u64,
    },
    /// A use has no outcome.
    #[error("request {request}: an intent without an outcome, it is unknown whether component {component} was used")]
    NoOutcome {
        /// The request.
        request: RequestId,
        /// The component.
        component: ComponentId,
    },
}

/// Where an end of the record is known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadPlace {
    /// The server stated it with a use, and the signer wrote it into its journal.
    Stated {
        /// Which journal.
        journal: String,
        /// The entry.
        sequence: u64,
    },
    /// A signer signed it.
    Checkpoint {
        /// Which journal.
        journal: String,
        /// The entry.
        sequence: u64,
    },
    /// Something else, by its name.
    Other(String),
}

impl fmt::Display for HeadPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stated { journal, sequence } => write!(f, "journal {journal}: entry {sequence}"),
            Self::Checkpoint { journal, sequence } => write!(f, "journal {journal}: entry {sequence}, a checkpoint"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// How many more there are.
struct More(u64);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " ({more} later ones do not fit either)"),
        }
    }
}

/// An entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal {journal}: entry {sequence}, {operation} with component {component} for request {request}")]
pub struct JournalUse {
    /// Which journal.
    pub journal: String,
    /// The entry.
    pub sequence: u64,
    /// What was done.
    pub operation: Operation,
    /// With which component.
    pub component: ComponentId,
    /// For which request.
    pub request: RequestId,
}

/// The first findings, and how many more there were.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) first: Vec<Finding>,
    pub(super) more: u64,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        if self.first.len() < MAX_FINDINGS {
            self.first.push(finding);
        } else {
            self.more += 1;
        }
    }
}
