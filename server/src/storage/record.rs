//! The record: append-only rows, each holding the hash of the one before.

use aws_lc_rs::digest::{Context, SHA256};
use sealcard_api::{
    Timestamp,
    ids::{KeyId, PrincipalId, ProjectId, RequestId},
    record::{RecordKind, RequestState},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    StorageError, Store, WriteTx,
    sql::{Conn, FromRow, Param, Row, params},
};

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordHead {
    /// The newest entry's number, 0 if there is none.
    pub sequence: u64,
    /// Its hash, 32 zero bytes if there is none.
    pub hash: [u8; 32],
}

impl RecordHead {
    /// The end of the chain after one more entry with this body.
    #[must_use]
    pub fn next(&self, body: &str) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&self.hash);
        context.update(body.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self { sequence: self.sequence.saturating_add(1), hash }
    }
}

/// An entry before it has its number.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it tells.
    pub kind: RecordKind,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// Who asked.
    pub principal: Option<PrincipalId>,
    /// The project concerned.
    pub project: Option<ProjectId>,
    /// The key concerned.
    pub key: Option<KeyId>,
    /// The state of the use, in intents and outcomes.
    pub state: Option<RequestState>,
    /// An object with the details of the kind. Never holds a secret.
    pub details: Value,
}

impl Draft {
    /// An entry of what the server does by itself, not for a request of somebody.
    pub fn of_server(details: Value) -> Self {
        Self {
            kind: RecordKind::Administration,
            request_id: RequestId::new(),
            principal: None,
            project: None,
            key: None,
            state: None,
            details,
        }
    }
}

impl From<sealcard_record::Draft> for Draft {
    fn from(draft: sealcard_record::Draft) -> Self {
        let sealcard_record::Draft { request_id, actor, peer, event } = draft;
        let mut details = serde_json::to_value(&event).unwrap_or_default();
        if let (Some(details), Some(peer)) = (details.as_object_mut(), peer) {
            details.insert("peer".to_owned(), peer.to_string().into());
        }
        Self {
            kind: event.kind().unwrap_or(RecordKind::Administration),
            request_id,
            principal: actor.map(|actor| actor.id),
            project: event.project().map(|project| project.id),
            key: event.key().map(|key| key.id),
            state: event.state(),
            details,
        }
    }
}

/// What is hashed, in this order of fields.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body<D> {
    pub(crate) sequence: u64,
    pub(crate) time: Timestamp,
    pub(crate) kind: RecordKind,
    pub(crate) request_id: RequestId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) principal: Option<PrincipalId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) project: Option<ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) key: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) state: Option<RequestState>,
    pub(crate) details: D,
}

/// An entry as it is stored. The columns beside the body are for searching; the body is what counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its number.
    pub sequence: u64,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub time: Timestamp,
    /// [`RecordKind::name`].
    pub kind: String,
    /// The request.
    pub request_id: RequestId,
    /// Who asked.
    pub principal: Option<PrincipalId>,
    /// The project.
    pub project: Option<ProjectId>,
    /// The key.
    pub key: Option<KeyId>,
    /// [`RequestState::name`].
    pub state: Option<String>,
    /// The exact bytes that were hashed.
    pub body: String,
    /// The hash.
    pub hash: Vec<u8>,
}

impl FromRow for RecordRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            sequence: row.get::<i64>(0)?.cast_unsigned(),
            time: Timestamp::from_unix(row.get(1)?),
            kind: row.get(2)?,
            request_id: RequestId(row.get(3)?),
            principal: row.get::<Option<Uuid>>(4)?.map(PrincipalId),
            project: row.get::<Option<Uuid>>(5)?.map(ProjectId),
            key: row.get::<Option<Uuid>>(6)?.map(KeyId),
            state: row.get(7)?,
            body: row.get(8)?,
            hash: row.get(9)?,
        })
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordFilter {
    /// Only entries after this number in the order that is wanted.
    pub after: Option<u64>,
    /// The newest first.
    pub descending: bool,
    /// At most so many.
    pub limit: u32,
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Only those of this key.
    pub key: Option<KeyId>,
}

impl WriteTx {
    /// Appends an entry to the record, in the same transaction as what it tells of. It gets its number and
    /// its time when that is committed.
    pub fn append_record(&mut self, draft: Draft) {
        self.appended.push(draft);
    }
}

/// An entry in its place in the chain, as its columns.
pub(super) struct Entry {
    pub(super) sequence: i64,
    pub(super) time: i64,
    pub(super) kind: &'static str,
    pub(super) request_id: Uuid,
    pub(super) principal_id: Option<Uuid>,
    pub(super) project_id: Option<Uuid>,
    pub(super) key_id: Option<Uuid>,
    pub(super) state: Option<&'static str>,
    pub(super) body: String,
    pub(super) hash: Vec<u8>,
}

impl Entry {
    /// The values in the order of the columns.
    pub(super) fn values(&self) -> [&dyn Param; 10] {
        let Self { sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash } = self;
        [sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash]
    }
}

/// Gives the entries their places after `head`, which becomes the last one, and their time, which is taken while the head is
/// held, or is void if the head is not found as it was: by one clock that is not set back, times follow one another as numbers
/// do.
pub(super) fn chain(head: &mut RecordHead, appended: Vec<Draft>) -> Result<Vec<Entry>, StorageError> {
    let time = Timestamp::now();
    let entry = |draft: Draft| {
        let body = serde_json::to_string(&Body {
            sequence: head.sequence.saturating_add(1),
            time,
            kind: draft.kind,
            request_id: draft.request_id,
            principal: draft.principal,
            project: draft.project,
            key: draft.key,
            state: draft.state,
            details: &draft.details,
        })
        .map_err(|error| StorageError::Damaged(error.to_string()))?;
        *head = head.next(&body);
        Ok(Entry {
            sequence: head.sequence.cast_signed(),
            time: time.unix(),
            kind: draft.kind.name(),
            request_id: draft.request_id.0,
            principal_id: draft.principal.map(|id| id.0),
            project_id: draft.project.map(|id| id.0),
            key_id: draft.key.map(|id| id.0),
            state: draft.state.map(RequestState::name),
            body,
            hash: head.hash.to_vec(),
        })
    };
    appended.into_iter().map(entry).collect()
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

    /// Entries in the order of their numbers, or in the opposite one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record(&self, filter: RecordFilter) -> Result<Vec<RecordRow>, StorageError> {
        macro_rules! select {
            ($($condition:literal)?) => {
                if filter.descending {
                    select!("<", "DESC" $(, $condition)?)
                } else {
                    select!(">", "ASC" $(, $condition)?)
                }
            };
            ($side:literal, $order:literal $(, $condition:literal)?) => {
                concat!(
                    "SELECT sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash
                     FROM record WHERE sequence ", $side, " $1", $(" AND ", $condition,)?
                    " ORDER BY sequence ", $order, " LIMIT $2",
                )
            };
        }
        let first = if filter.descending { i64::MAX } else { 0 };
        let (after, limit) = (filter.after.map_or(first, u64::cast_signed), i64::from(filter.limit));
        let (key, project) = (filter.key.map(|id| id.0), filter.project.map(|id| id.0));
        match (key, project) {
            (Some(key), project) => {
                let sql = select!("key_id = $3 AND (project_id = $4 OR $4 IS NULL)");
                self.reader().all(sql, params![after, limit, key, project]).await
            }
            (None, Some(project)) => {
                self.reader().all(select!("project_id = $3"), params![after, limit, project]).await
            }
            (None, None) => self.reader().all(select!(), params![after, limit]).await,
        }
    }
}

pub(super) fn read_head(conn: &mut Conn) -> Result<RecordHead, StorageError> {
    let newest: Option<(i64, Vec<u8>)> =
        conn.optional("SELECT sequence, hash FROM record ORDER BY sequence DESC LIMIT 1", params![])?;
    let Some((sequence, hash)) = newest else { return Ok(RecordHead::default()) };
    let hash = hash.try_into().map_err(|_| StorageError::Damaged("the record's newest hash".to_owned()))?;
    Ok(RecordHead { sequence: sequence.cast_unsigned(), hash })
}

/// The head that is kept beside the record must be that of its newest entry.
pub(super) fn check_head(conn: &mut Conn) -> Result<(), StorageError> {
    // One statement, so that it is one moment: others append meanwhile.
    let fits: Option<(bool,)> = conn.optional(
        "SELECT CASE WHEN h.sequence = 0 THEN NOT EXISTS (SELECT 1 FROM record)
                ELSE (SELECT max(r.sequence) FROM record r) = h.sequence
                    AND (SELECT r.hash FROM record r WHERE r.sequence = h.sequence) = h.hash END
             FROM record_head h",
        params![],
    )?;
    if fits == Some((true,)) {
        Ok(())
    } else {
        Err(StorageError::Damaged("the record's newest entry is not the one that was written last".to_owned()))
    }
}
