//! Sinks: how far the record has left the server, by name. One node delivers for a sink at a time: it holds a lease,
//! without which it can't move the position.

use sealcard_api::Timestamp;
use uuid::Uuid;

use super::{
    StorageError, Store, WriteTx,
    record::RecordRow,
    sql::{FromRow, Row, params},
};

/// How a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRow {
    /// The name in the configuration.
    pub name: String,
    /// Entries up to this number are with the receiver, parked or skipped.
    pub position: u64,
    /// The node that delivers.
    pub node: Option<Uuid>,
    /// Until when that node has the sink for itself, Unix seconds.
    pub leased_until: Option<i64>,
    /// When the receiver took something last, Unix seconds.
    pub last_success: Option<i64>,
    /// When an attempt failed last, Unix seconds.
    pub last_failure: Option<i64>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// Attempts that failed since the last success.
    pub failures: u64,
    /// When the next attempt is due, Unix seconds.
    pub next_attempt: i64,
    /// Whether nothing is sent until an administrator acts.
    pub stopped: bool,
    /// Entries that are parked.
    pub parked: u64,
    /// Those of them that are to be tried again.
    pub retried: u64,
    /// When the first entry after the position was written, Unix seconds. None: there is none.
    pub waiting_since: Option<i64>,
}

impl FromRow for SinkRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            name: row.get(0)?,
            position: row.get::<i64>(1)?.cast_unsigned(),
            node: row.get(2)?,
            leased_until: row.get(3)?,
            last_success: row.get(4)?,
            last_failure: row.get(5)?,
            last_error: row.get(6)?,
            failures: row.get::<i64>(7)?.cast_unsigned(),
            next_attempt: row.get(8)?,
            stopped: row.get(9)?,
            parked: row.get::<i64>(10)?.cast_unsigned(),
            retried: row.get::<i64>(11)?.cast_unsigned(),
            waiting_since: row.get(12)?,
        })
    }
}

/// An entry that the receiver refused for what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRow {
    /// The entry's number.
    pub sequence: u64,
    /// When it was parked, Unix seconds.
    pub parked: i64,
    /// What the receiver said.
    pub error: String,
    /// Whether it is tried again.
    pub retry: bool,
}

impl FromRow for ParkedRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            sequence: row.get::<i64>(0)?.cast_unsigned(),
            parked: row.get(1)?,
            error: row.get(2)?,
            retry: row.get(3)?,
        })
    }
}

/// What became of an attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkProgress {
    /// The new position, if it has changed.
    pub position: Option<u64>,
    /// Entries that the receiver refused for what they are, with what it said.
    pub parked: Vec<(u64, String)>,
    /// Parked entries that it has taken now.
    pub unparked: Vec<u64>,
    /// Whether the receiver took anything.
    pub delivered: bool,
    /// Why the attempt failed.
    pub failure: Option<SinkFailure>,
}

/// Why an attempt to deliver failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkFailure {
    /// For people. Has no secret.
    pub error: String,
    /// When the next attempt is due.
    pub next_attempt: Timestamp,
    /// Whether the receiver wants no more.
    pub stop: bool,
}

/// The columns that [`SinkRow`] is read from, with what follows.
macro_rules! sinks {
    ($rest:literal) => {
        concat!(
            "SELECT s.name, s.position, s.node_id, s.leased_until, s.last_success, s.last_failure, s.last_error,
                s.failures, s.next_attempt, s.stopped,
                (SELECT count(*) FROM sink_parked p WHERE p.sink = s.name),
                (SELECT count(*) FROM sink_parked p WHERE p.sink = s.name AND p.retry),
                (SELECT r.time FROM record r WHERE r.sequence = s.position + 1)
             FROM sink s ",
            $rest
        )
    };
}

const SINK: &str = sinks!("WHERE s.name = $1");

impl Store {
    /// Makes rows for new sinks, which begin after the entries that there are, or before the first one. Returns the
    /// names of those that are new.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_sinks(&self, sinks: Vec<(String, bool)>) -> Result<Vec<String>, StorageError> {
        const ADD: &str = "INSERT INTO sink (name, position)
            SELECT $1, CASE WHEN $2 THEN 0 ELSE coalesce((SELECT max(sequence) FROM record), 0) END
            WHERE TRUE ON CONFLICT (name) DO NOTHING";
        self.write(move |tx| {
            let mut new = Vec::new();
            for (name, from_beginning) in sinks {
                if tx.conn_for_uses().execute(ADD, params![name, from_beginning])? == 1 {
                    new.push(name);
                }
            }
            Ok(new)
        })
        .await
    }

    /// All sinks that there are rows for, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sinks(&self) -> Result<Vec<SinkRow>, StorageError> {
        self.reader().all(sinks!("ORDER BY s.name"), params![]).await
    }

    /// One sink.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sink(&self, name: &str) -> Result<Option<SinkRow>, StorageError> {
        self.reader().optional(SINK, params![name]).await
    }

    /// Takes the sink for this node for so many seconds, or longer if it has it. None if another node has it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn claim_sink(&self, name: String, seconds: i64) -> Result<Option<SinkRow>, StorageError> {
        let node = self.node();
        self.write(move |tx| tx.claim_sink(&name, node, seconds)).await
    }

    /// Notes what became of an attempt. False, and nothing is noted, if this node does not have the sink any more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn finish_sink(&self, name: String, progress: SinkProgress, seconds: i64) -> Result<bool, StorageError> {
        let node = self.node();
        self.write(move |tx| tx.finish_sink(&name, node, &progress, seconds)).await
    }

    /// Lets another node have the sink.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release_sinks(&self) -> Result<(), StorageError> {
        const RELEASE: &str = "UPDATE sink SET node_id = NULL, leased_until = NULL WHERE node_id = $1";
        let node = self.node();
        self.write(move |tx| tx.conn_for_uses().execute(RELEASE, params![node]).map(drop)).await
    }

    /// Entries with larger numbers than `after`, up to so many.
    ///
    /// # Errors
    /// If the database fails, or an entry is missing between them.
    pub async fn entries_after(&self, after: u64, most: u32) -> Result<Vec<RecordRow>, StorageError> {
        let filter = super::RecordFilter { after: Some(after), limit: most, ..super::RecordFilter::default() };
        let rows = self.record(filter).await?;
        for (row, number) in rows.iter().zip(after + 1..) {
            if row.sequence != number {
                return Err(StorageError::Damaged(format!("entry {number} of the record is missing")));
            }
        }
        Ok(rows)
    }

    /// The entry with this number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn entry(&self, sequence: u64) -> Result<Option<RecordRow>, StorageError> {
        Ok(self.entries_after(sequence.saturating_sub(1), 1).await?.pop())
    }

    /// Parked entries of a sink with larger numbers than `after`, up to so many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn parked(&self, sink: &str, after: u64, most: u32) -> Result<Vec<ParkedRow>, StorageError> {
        const PARKED: &str = "SELECT sequence, parked, error, retry FROM sink_parked
            WHERE sink = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
        self.reader().all(PARKED, params![sink, after.cast_signed(), i64::from(most)]).await
    }

    /// Parked entries of a sink that are to be tried again, up to so many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn parked_to_retry(&self, sink: &str, most: u32) -> Result<Vec<ParkedRow>, StorageError> {
        const RETRIED: &str = "SELECT sequence, parked, error, retry FROM sink_parked
            WHERE sink = $1 AND retry ORDER BY sequence LIMIT $2";
        self.reader().all(RETRIED, params![sink, i64::from(most)]).await
    }
}

impl WriteTx {
    fn claim_sink(&mut self, name: &str, node: Uuid, seconds: i64) -> Result<Option<SinkRow>, StorageError> {
        const CLAIM: &str = "UPDATE sink SET node_id = $2, leased_until = $3 WHERE name = $1";
        let Some(row) = self.conn_for_uses().optional::<SinkRow>(SINK, params![name])? else { return Ok(None) };
        let now = self.now().unix();
        if let Some(holder) = row.node.filter(|holder| *holder != node)
            && row.leased_until.is_some_and(|until| until > now && until <= now.saturating_add(2 * seconds))
            && !self.node_has_ended(holder)?
        {
            return Ok(None);
        }
        let until = now.saturating_add(seconds);
        self.conn_for_uses().execute(CLAIM, params![name, node, until])?;
        Ok(Some(SinkRow { node: Some(node), leased_until: Some(until), ..row }))
    }

    fn finish_sink(
        &mut self,
        name: &str,
        node: Uuid,
        progress: &SinkProgress,
        seconds: i64,
    ) -> Result<bool, StorageError> {
        const RENEW: &str = "UPDATE sink SET leased_until = $3 WHERE name = $1 AND node_id = $2";
        // An administrator may have skipped entries meanwhile.
        const MOVE: &str = "UPDATE sink SET position = $2 WHERE name = $1 AND position < $2";
        const PARK: &str = "INSERT INTO sink_parked (sink, sequence, parked, error) VALUES ($1, $2, $3, $4)
            ON CONFLICT (sink, sequence) DO UPDATE SET parked = excluded.parked, error = excluded.error,
                retry = FALSE";
        const UNPARK: &str = "DELETE FROM sink_parked WHERE sink = $1 AND sequence = $2";
        const SUCCESS: &str = "UPDATE sink SET last_success = $2, failures = 0, next_attempt = 0 WHERE name = $1";
        const FAILURE: &str = "UPDATE sink SET last_failure = $2, last_error = $3, failures = failures + 1,
            next_attempt = $4, stopped = $5 WHERE name = $1";
        let now = self.now().unix();
        if self.conn_for_uses().execute(RENEW, params![name, node, now.saturating_add(seconds)])? == 0 {
            return Ok(false);
        }
        let SinkProgress { position, parked, unparked, delivered, failure } = progress;
        if let Some(position) = position {
            self.conn_for_uses().execute(MOVE, params![name, position.cast_signed()])?;
        }
        for (sequence, error) in parked {
            self.conn_for_uses().execute(PARK, params![name, sequence.cast_signed(), now, error])?;
        }
        for sequence in unparked {
            self.conn_for_uses().execute(UNPARK, params![name, sequence.cast_signed()])?;
        }
        if *delivered {
            self.conn_for_uses().execute(SUCCESS, params![name, now])?;
        }
        if let Some(SinkFailure { error, next_attempt, stop }) = failure {
            let values = params![name, now, error, next_attempt.unix(), stop];
            self.conn_for_uses().execute(FAILURE, values)?;
        }
        Ok(true)
    }

    /// Makes a sink's next attempt due now, also if the receiver wanted no more. False if there is no such sink.
    ///
    /// # Errors
    /// If the database fails.
    pub fn retry_sink(&mut self, name: &str) -> Result<bool, StorageError> {
        const RETRY: &str = "UPDATE sink SET next_attempt = 0, failures = 0, stopped = FALSE WHERE name = $1";
        Ok(self.conn_for_uses().execute(RETRY, params![name])? == 1)
    }

    /// Has a sink's parked entries tried again. Returns how many there are.
    ///
    /// # Errors
    /// If the database fails.
    pub fn retry_parked(&mut self, name: &str) -> Result<u64, StorageError> {
        const RETRY: &str = "UPDATE sink_parked SET retry = TRUE WHERE sink = $1";
        self.conn_for_uses().execute(RETRY, params![name])
    }

    /// Forgets a sink's parked entries. Returns how many there were.
    ///
    /// # Errors
    /// If the database fails.
    pub fn forget_parked(&mut self, name: &str) -> Result<u64, StorageError> {
        const FORGET: &str = "DELETE FROM sink_parked WHERE sink = $1";
        self.conn_for_uses().execute(FORGET, params![name])
    }

    /// Moves a sink's position ahead to `until`, or to the end of the record if there are fewer entries. Returns the
    /// position before and after. None if there is no such sink.
    ///
    /// # Errors
    /// If the database fails.
    pub fn skip_in_sink(&mut self, name: &str, until: u64) -> Result<Option<(u64, u64)>, StorageError> {
        const SKIP: &str = "UPDATE sink SET position = $2, next_attempt = 0, failures = 0, stopped = FALSE
            WHERE name = $1 AND position < $2";
        const NEWEST: &str = "SELECT coalesce(max(sequence), 0) FROM record";
        let Some(row) = self.conn_for_uses().optional::<SinkRow>(SINK, params![name])? else { return Ok(None) };
        let newest: Option<i64> = self.conn_for_uses().scalar(NEWEST, params![])?;
        let until = until.min(newest.unwrap_or_default().cast_unsigned());
        self.conn_for_uses().execute(SKIP, params![name, until.cast_signed()])?;
        Ok(Some((row.position, until.max(row.position))))
    }
}
