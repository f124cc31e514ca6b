//! The record: append-only rows, each holding the hash of the one before.

use aws_lc_rs::digest::{Context, SHA256};
use sealcard_api::{
    Timestamp,
    ids::{KeyId, PrincipalId, ProjectId, RequestId},
    record::{RecordKind, RequestState},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, Row, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use super::{StorageError, Store, WriteTx};

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

impl FromRow<'_, SqliteRow> for RecordRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            sequence: row.try_get::<i64, _>(0)?.cast_unsigned(),
            time: Timestamp::from_unix(row.try_get(1)?),
            kind: row.try_get(2)?,
            request_id: RequestId(row.try_get(3)?),
            principal: row.try_get::<Option<Uuid>, _>(4)?.map(PrincipalId),
            project: row.try_get::<Option<Uuid>, _>(5)?.map(ProjectId),
            key: row.try_get::<Option<Uuid>, _>(6)?.map(KeyId),
            state: row.try_get(7)?,
            body: row.try_get(8)?,
            hash: row.try_get(9)?,
        })
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordFilter {
    /// Only entries after this number.
    pub after: u64,
    /// At most so many.
    pub limit: u32,
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Only those of this key.
    pub key: Option<KeyId>,
}

impl WriteTx {
    /// Appends an entry to the record, in the same transaction as what it tells of. Returns its number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn append_record(&mut self, draft: &Draft) -> Result<u64, StorageError> {
        let sequence = self.head.sequence.saturating_add(1);
        let time = Timestamp::now();
        let body = serde_json::to_string(&Body {
            sequence,
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
        let head = self.head.next(&body);
        sqlx::query(
            "INSERT INTO record (sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )
        .bind(sequence.cast_signed())
        .bind(time.unix())
        .bind(draft.kind.name())
        .bind(draft.request_id.0)
        .bind(draft.principal.map(|id| id.0))
        .bind(draft.project.map(|id| id.0))
        .bind(draft.key.map(|id| id.0))
        .bind(draft.state.map(RequestState::name))
        .bind(body)
        .bind(head.hash.to_vec())
        .execute(self.conn())
        .await?;
        self.head = head;
        Ok(sequence)
    }
}

impl Store {
    /// Entries in the order of their numbers.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record(&self, filter: RecordFilter) -> Result<Vec<RecordRow>, StorageError> {
        const COLUMNS_ALL: &str = "SELECT sequence, time, kind, request_id, principal_id, project_id, key_id, state,
            body, hash FROM record WHERE sequence > ?1 ORDER BY sequence LIMIT ?2";
        const COLUMNS_PROJECT: &str =
            "SELECT sequence, time, kind, request_id, principal_id, project_id, key_id, state,
            body, hash FROM record WHERE sequence > ?1 AND project_id = ?3 ORDER BY sequence LIMIT ?2";
        const COLUMNS_KEY: &str = "SELECT sequence, time, kind, request_id, principal_id, project_id, key_id, state,
            body, hash FROM record WHERE sequence > ?1 AND key_id = ?3 AND (?4 IS NULL OR project_id = ?4)
            ORDER BY sequence LIMIT ?2";
        let query = match (filter.key, filter.project) {
            (Some(key), project) => sqlx::query_as(COLUMNS_KEY)
                .bind(filter.after.cast_signed())
                .bind(filter.limit)
                .bind(key.0)
                .bind(project.map(|id| id.0)),
            (None, Some(project)) => {
                sqlx::query_as(COLUMNS_PROJECT).bind(filter.after.cast_signed()).bind(filter.limit).bind(project.0)
            }
            (None, None) => sqlx::query_as(COLUMNS_ALL).bind(filter.after.cast_signed()).bind(filter.limit),
        };
        Ok(query.fetch_all(self.reader()).await?)
    }
}

pub(super) async fn read_head(conn: &mut SqliteConnection) -> Result<RecordHead, StorageError> {
    let newest: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT sequence, hash FROM record ORDER BY sequence DESC LIMIT 1").fetch_optional(conn).await?;
    let Some((sequence, hash)) = newest else { return Ok(RecordHead::default()) };
    let hash = hash.try_into().map_err(|_| StorageError::Damaged("the record's newest hash".to_owned()))?;
    Ok(RecordHead { sequence: sequence.cast_unsigned(), hash })
}
