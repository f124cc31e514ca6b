//! The record: append-only rows, the leaves of a log. The columns beside an entry serve searching; the entry's own bytes
//! are what counts.

mod append;
mod checkpoint;
mod log;
mod witness;

use sealcard_api::{
    Timestamp,
    ids::{KeyId, PrincipalId, ProjectId, RequestId},
    record::{RecordKind, RequestState},
};
use sealcard_record::{Body, Salt, Sha256};
use uuid::Uuid;

pub(super) use self::{
    append::{Appended, Entry, Subtree, place},
    log::{LastHead, check_log, read_log, stored_log},
};
pub use self::{
    checkpoint::{CheckpointRow, LogKeyRow},
    witness::{WitnessFailure, WitnessRow},
};
use super::{
    StorageError, Store,
    sql::{Conn, FromRow, Row, params},
};

/// An entry as it is stored. The columns beside the body are for searching; the body is what counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its number.
    pub sequence: u64,
    /// When it was written.
    pub time: Timestamp,
    /// [`RecordKind::name`].
    pub kind: String,
    /// [`sealcard_record::Event::name`].
    pub event: String,
    /// The request.
    pub request_id: RequestId,
    /// The actor, or the principal that the event is about if nobody was authenticated.
    pub principal: Option<PrincipalId>,
    /// The project.
    pub project: Option<ProjectId>,
    /// The key.
    pub key: Option<KeyId>,
    /// [`RequestState::name`].
    pub state: Option<String>,
    /// SHA-256 of the signature that an outcome is about.
    pub signature_sha256: Option<Vec<u8>>,
    /// The exact bytes that the leaf commits to.
    pub body: String,
    /// The salt of the commitment.
    pub salt: Salt,
    /// The hash of the leaf.
    pub hash: Sha256,
}

impl RecordRow {
    /// Whether the columns say what the body says. Those of an entry of a newer release can't be judged.
    #[must_use]
    pub fn agrees_with(&self, body: &Body) -> bool {
        let Body { sequence, time, request_id, event, .. } = body;
        let Some(kind) = event.kind() else { return true };
        self.sequence == *sequence
            && self.time == *time
            && self.kind == kind.name()
            && self.event == event.name()
            && self.request_id == *request_id
            && self.principal == principal(body)
            && self.project == event.project().map(|project| project.id)
            && self.key == event.key().map(|key| key.id)
            && self.state.as_deref() == event.state().map(RequestState::name)
            && self.signature_sha256.as_deref() == event.signature_sha256().as_ref().map(|hash| hash.0.as_slice())
    }
}

/// The actor, or the principal that the event is about if nobody was authenticated.
fn principal(body: &Body) -> Option<PrincipalId> {
    let subject = || body.event.principal().map(|principal| principal.id);
    body.actor.as_ref().map(|actor| actor.id).or_else(subject)
}

impl FromRow for RecordRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let (salt, hash) = (row.get::<Vec<u8>>(11)?.try_into(), row.get::<Vec<u8>>(12)?.try_into());
        Ok(Self {
            sequence: row.get::<i64>(0)?.cast_unsigned(),
            time: Timestamp::from_unix(row.get(1)?),
            kind: row.get(2)?,
            event: row.get(3)?,
            request_id: RequestId(row.get(4)?),
            principal: row.get::<Option<Uuid>>(5)?.map(PrincipalId),
            project: row.get::<Option<Uuid>>(6)?.map(ProjectId),
            key: row.get::<Option<Uuid>>(7)?.map(KeyId),
            state: row.get(8)?,
            signature_sha256: row.get(9)?,
            body: row.get(10)?,
            salt: salt.map(Salt).map_err(|_| StorageError::Damaged("a salt in the record".to_owned()))?,
            hash: hash.map(Sha256).map_err(|_| StorageError::Damaged("a hash in the record".to_owned()))?,
        })
    }
}

/// The columns that [`RecordRow`] is read from.
macro_rules! columns {
    () => {
        "SELECT sequence, time, kind, event, request_id, principal_id, project_id, key_id, state, signature_sha256,
            body, salt, hash FROM record "
    };
}

/// So many entries after this number, oldest first.
pub(super) fn entries_after(conn: &mut Conn, after: u64, limit: u32) -> Result<Vec<RecordRow>, StorageError> {
    let sql = concat!(columns!(), "WHERE sequence > $1 ORDER BY sequence LIMIT $2");
    conn.all(sql, params![after.cast_signed(), i64::from(limit)])
}

/// Which entries are wanted. What is absent restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct RecordFilter {
    /// Only entries after this number in the order that is wanted.
    pub after: Option<u64>,
    /// The newest first.
    pub descending: bool,
    /// At most so many.
    pub limit: u32,
    /// Only what this principal caused, or tried to log in for.
    pub principal: Option<PrincipalId>,
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Only those of this key.
    pub key: Option<KeyId>,
    /// Only those of this time or later.
    pub since: Option<Timestamp>,
    /// Only those of this time or earlier.
    pub until: Option<Timestamp>,
    /// Only those of these kinds. Empty: of all.
    pub kinds: Vec<RecordKind>,
    /// Only those of this event.
    pub event: Option<String>,
    /// Only what was refused: uses, logins and changes of passwords.
    pub denied: bool,
    /// No intent that has an outcome: one entry for each use.
    pub folded: bool,
}

/// Entries whose clock was set back by more than this are missed by [`RecordFilter::since`] and
/// [`RecordFilter::until`].
const CLOCK_SLACK: i64 = 24 * 60 * 60;

impl Store {
    /// Entries in the order of their numbers, or in the opposite one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record(&self, filter: RecordFilter) -> Result<Vec<RecordRow>, StorageError> {
        /// The condition that an index serves comes without the alternative that its value is absent.
        macro_rules! select {
            ($order:literal, $principal:literal, $project:literal, $key:literal) => {
                concat!(
                    columns!(),
                    "WHERE sequence > $1 AND sequence < $2 AND time >= $4 AND time <= $5
                        AND kind IN ($6, $7, $8, $9, $10, $17) AND (event = $11 OR $11 IS NULL)
                        AND (NOT $12 OR kind = 'denied' OR event IN ('login-failed', 'password-change-failed'))
                        AND (NOT $13 OR kind <> 'intent' OR NOT EXISTS (SELECT 1 FROM record ended
                            WHERE ended.request_id = record.request_id AND ended.kind = 'outcome'))
                        AND (principal_id = $14",
                    $principal,
                    ") AND (project_id = $15",
                    $project,
                    ") AND (key_id = $16",
                    $key,
                    ") ORDER BY sequence ",
                    $order,
                    " LIMIT $3"
                )
            };
            ($order:literal) => {
                match (filter.key, filter.principal, filter.project) {
                    (Some(_), ..) => select!($order, " OR $14 IS NULL", " OR $15 IS NULL", ""),
                    (_, Some(_), _) => select!($order, "", " OR $15 IS NULL", " OR $16 IS NULL"),
                    (.., Some(_)) => select!($order, " OR $14 IS NULL", "", " OR $16 IS NULL"),
                    (None, None, None) => {
                        select!($order, " OR $14 IS NULL", " OR $15 IS NULL", " OR $16 IS NULL")
                    }
                }
            };
        }
        let sql = if filter.descending { select!("DESC") } else { select!("ASC") };
        let (since, until) = (filter.since.map_or(i64::MIN, |t| t.unix()), filter.until.map_or(i64::MAX, |t| t.unix()));
        let mut above = match filter.since {
            Some(_) => self.entries_before(since.saturating_sub(CLOCK_SLACK)).await?,
            None => 0,
        };
        let mut below = match filter.until {
            Some(_) => self.entries_before(until.saturating_add(CLOCK_SLACK)).await?.saturating_add(1),
            None => i64::MAX,
        };
        match (filter.after.map(u64::cast_signed), filter.descending) {
            (Some(after), false) => above = above.max(after),
            (Some(after), true) => below = below.min(after),
            (None, _) => {}
        }
        // As many as there are kinds: what is not wanted is named by one that is.
        let wanted = &filter.kinds;
        let [first, second, third, fourth, fifth, sixth] = RecordKind::ALL.map(|kind| match wanted.first() {
            Some(first) if !wanted.contains(&kind) => first.name(),
            _ => kind.name(),
        });
        let (principal, project) = (filter.principal.map(|id| id.0), filter.project.map(|id| id.0));
        let (key, limit) = (filter.key.map(|id| id.0), i64::from(filter.limit));
        let values = params![
            above,
            below,
            limit,
            since,
            until,
            first,
            second,
            third,
            fourth,
            fifth,
            filter.event,
            filter.denied,
            filter.folded,
            principal,
            project,
            key,
            sixth
        ];
        self.reader().all(sql, values).await
    }

    /// The entries of a request, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_of_request(&self, request: RequestId) -> Result<Vec<RecordRow>, StorageError> {
        let sql = concat!(columns!(), "WHERE request_id = $1 ORDER BY sequence LIMIT 1000");
        self.reader().all(sql, params![request.0]).await
    }

    /// The outcomes that a signature with this SHA-256 came of, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_of_signature(&self, signature: Sha256) -> Result<Vec<RecordRow>, StorageError> {
        let sql = concat!(columns!(), "WHERE signature_sha256 = $1 ORDER BY sequence LIMIT 1000");
        self.reader().all(sql, params![signature.0.as_slice()]).await
    }

    /// The number of the newest entry, 0 if there is none.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn record_length(&self) -> Result<u64, StorageError> {
        let newest: Option<(Option<i64>,)> =
            self.reader().optional("SELECT max(sequence) FROM record", params![]).await?;
        Ok(newest.and_then(|(newest,)| newest).unwrap_or_default().cast_unsigned())
    }

    /// The number and the time of the newest entry. None if there is no entry.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn newest_entry(&self) -> Result<Option<(u64, Timestamp)>, StorageError> {
        const NEWEST: &str = "SELECT sequence, time FROM record ORDER BY sequence DESC LIMIT 1";
        let newest: Option<(i64, i64)> = self.reader().optional(NEWEST, params![]).await?;
        Ok(newest.map(|(sequence, time)| (sequence.cast_unsigned(), Timestamp::from_unix(time))))
    }

    /// How many entries there are before the first one of this time or later. Numbers have no gaps and times grow with
    /// them where the clock was not set back, so that halving finds it.
    async fn entries_before(&self, time: i64) -> Result<i64, StorageError> {
        let (mut low, mut high) = (0, self.record_length().await?.cast_signed());
        while low < high {
            let middle = low + (high - low) / 2;
            let entry: Option<(i64,)> =
                self.reader().optional("SELECT time FROM record WHERE sequence = $1", params![middle + 1]).await?;
            if entry.is_some_and(|(entry,)| entry < time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
