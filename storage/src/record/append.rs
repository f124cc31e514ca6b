//! Appending to the record, in the transaction of what an entry tells of.

use aws_lc_rs::rand;
use sealcard_api::{
    Timestamp,
    record::{RecordKind, RequestState},
};
use sealcard_record::{Draft, Placed, Salt};
use sealcard_transparency::{Frontier, Hash};
use uuid::Uuid;

use super::{log::TILE_HEIGHT, principal};
use crate::{StorageError, Store, WriteTx, sql::Param};

impl WriteTx {
    /// Appends an entry to the record, in the same transaction as what it tells of. It gets its number and
    /// its time when that is committed.
    pub fn append_record(&mut self, draft: Draft) {
        self.appended.push(draft);
    }
}

impl Store {
    /// Appends an entry by itself.
    ///
    /// # Errors
    /// If it was not committed.
    pub async fn append_record(&self, draft: Draft) -> Result<(), StorageError> {
        self.write(move |tx| {
            tx.append_record(draft);
            Ok(())
        })
        .await
    }
}

/// What a transaction appends.
#[derive(Default)]
pub(crate) struct Appended {
    /// Entries in their order.
    pub(crate) entries: Vec<Entry>,
    /// Subtrees of the log that are complete with them: one for 256 entries.
    pub(crate) subtrees: Vec<Subtree>,
}

/// An entry in its place, as its columns.
pub(crate) struct Entry {
    pub(crate) sequence: i64,
    pub(crate) time: i64,
    pub(crate) kind: &'static str,
    pub(crate) event: &'static str,
    pub(crate) request_id: Uuid,
    pub(crate) principal_id: Option<Uuid>,
    pub(crate) project_id: Option<Uuid>,
    pub(crate) key_id: Option<Uuid>,
    pub(crate) state: Option<&'static str>,
    pub(crate) signature_sha256: Option<Vec<u8>>,
    pub(crate) body: String,
    pub(crate) salt: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

/// The root of a subtree that the log is kept by: of 256 leaves, or of 256 smaller ones.
pub(crate) struct Subtree {
    /// 1 for 256 leaves, 2 for 65,536, …
    pub(crate) level: i64,
    /// Its place among those of its level, from 0.
    pub(crate) number: i64,
    pub(crate) hash: Vec<u8>,
}

impl Entry {
    fn new(Placed { body, text, salt, hash }: Placed, kind: RecordKind) -> Self {
        let event = &body.event;
        Self {
            sequence: body.sequence.cast_signed(),
            time: body.time.unix(),
            kind: kind.name(),
            event: event.name(),
            request_id: body.request_id.0,
            principal_id: principal(&body).map(|id| id.0),
            project_id: event.project().map(|project| project.id.0),
            key_id: event.key().map(|key| key.id.0),
            state: event.state().map(RequestState::name),
            signature_sha256: event.signature_sha256().map(|hash| hash.0.to_vec()),
            body: text,
            salt: salt.0.to_vec(),
            hash: hash.0.to_vec(),
        }
    }

    /// The values in the order of the table's columns.
    pub(crate) fn values(&self) -> [&dyn Param; 13] {
        [
            &self.sequence,
            &self.time,
            &self.kind,
            &self.event,
            &self.request_id,
            &self.principal_id,
            &self.project_id,
            &self.key_id,
            &self.state,
            &self.signature_sha256,
            &self.body,
            &self.salt,
            &self.hash,
        ]
    }
}

/// Gives the entries their places in the log, which grows by them, and their time, which is taken while the log is held,
/// or is void if the log is not found as it was: by one clock that is not set back, times follow one another as numbers
/// do.
pub(crate) fn place(log: &mut Frontier, drafts: Vec<Draft>) -> Result<Appended, StorageError> {
    let time = Timestamp::now();
    let mut appended = Appended::default();
    for draft in drafts {
        let damaged = |error: &dyn std::fmt::Display| StorageError::Damaged(format!("an entry of the record: {error}"));
        let kind = draft.event.kind().ok_or_else(|| damaged(&"its event is unknown"))?;
        let mut salt = Salt([0; 16]);
        rand::fill(&mut salt.0).map_err(|_| damaged(&"the system gives no random numbers"))?;
        let placed = draft.place(log.size() + 1, time, salt).map_err(|error| damaged(&error))?;
        for (node, hash) in log.append(Hash(placed.hash.0)).map_err(|error| damaged(&error))? {
            if node.level > 0 && node.level.is_multiple_of(TILE_HEIGHT) {
                appended.subtrees.push(Subtree {
                    level: i64::from(node.level / TILE_HEIGHT),
                    number: node.index.cast_signed(),
                    hash: hash.0.to_vec(),
                });
            }
        }
        appended.entries.push(Entry::new(placed, kind));
    }
    Ok(appended)
}
