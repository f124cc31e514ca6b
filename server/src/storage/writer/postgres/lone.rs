//! A use that comes alone: its row, its entry and the record's new head in one statement, where a transaction takes two
//! exchanges and five or six answers. It does nothing unless it finds the row of the record's head as this connection left it.
//! Then nobody has written since, and what the statement saw before it held that row is still so.

use crate::storage::{
    StorageError,
    known::Era,
    record::{self, Entry, RecordHead},
    sql::{Param, params, postgres::Session},
    writer::{Lone, Step},
};

/// What [`crate::storage::WriteTx::begin_request`] and a transaction's end do for a new request that was judged by what still
/// is so. It does not wait for the row of the head: what was looked at before the wait (expiries) might not be so after it.
const BEGIN_USE: &str = "WITH head AS MATERIALIZED (
        SELECT 1 FROM record_head WHERE sequence = $1::BIGINT - 1 AND hash = $11 AND changes = $12
        FOR UPDATE SKIP LOCKED),
    request AS (
        INSERT INTO key_request (id, principal_id, idempotency_key, grant_id, key_id, component_id, operation,
            input_sha256, state, project_id, node_id)
        SELECT $13, $14, $15, $16, $17, $18, $19, $20, 'signing', $21, $22 FROM head
        ON CONFLICT (principal_id, idempotency_key) DO NOTHING RETURNING 1),
    moved AS (UPDATE record_head SET sequence = $1, hash = $10 WHERE EXISTS (SELECT FROM request))
    INSERT INTO record (sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM request";

/// What [`crate::storage::WriteTx::finish_request`] and a transaction's end do.
const FINISH_USE: &str = "WITH head AS MATERIALIZED (
        SELECT 1 FROM record_head WHERE sequence = $1::BIGINT - 1 AND hash = $11 AND changes = $12
        FOR UPDATE SKIP LOCKED),
    request AS (
        UPDATE key_request SET state = $8, signature = $13
        WHERE id = $4 AND state = 'signing' AND EXISTS (SELECT FROM head) RETURNING 1),
    counted AS (
        UPDATE card_counter SET signatures = signatures + 1 WHERE key_id = $14 AND EXISTS (SELECT FROM request)),
    moved AS (UPDATE record_head SET sequence = $1, hash = $10 WHERE EXISTS (SELECT FROM request))
    INSERT INTO record (sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM request";

/// The row of the record's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadRow {
    pub(super) head: RecordHead,
    /// Transactions that have changed something else than uses.
    pub(super) changes: i64,
}

/// What one connection needs to know for it.
#[derive(Debug, Default)]
pub(super) struct Shortcut {
    /// As this connection left it, if its last transaction ended well.
    left: Option<HeadRow>,
    /// Whether the session's statements may write outside of a transaction.
    writable: bool,
    begins: Luck,
    ends: Luck,
    /// A beginning, or an end, was just tried in vain.
    in_vain: Option<bool>,
}

impl Shortcut {
    /// Prepares what it sends: were that done only when it is needed, it would take an exchange more.
    pub(super) async fn prepare(session: &Session) -> Result<(), StorageError> {
        session.prepare(BEGIN_USE).await?;
        session.prepare(FINISH_USE).await
    }

    /// To be called before statements are sent that must not be executed outside of a transaction.
    pub(super) async fn guard(&mut self, session: &Session) -> Result<(), StorageError> {
        if self.writable {
            session.script("SET default_transaction_read_only = on").await?;
            self.writable = false;
        }
        Ok(())
    }

    /// What a transaction saw.
    pub(super) fn saw(&mut self, row: &HeadRow) {
        let moved = self.left.as_ref() != Some(row);
        if let Some(begins) = self.in_vain.take().filter(|_| moved) {
            self.luck(begins).lost();
        }
    }

    /// How a transaction left that.
    pub(super) fn left(&mut self, row: HeadRow) {
        self.left = Some(row);
    }

    /// Whether it can be tried.
    pub(super) fn is_possible(&self) -> bool {
        self.left.is_some()
    }

    /// Whether it was done. If not, nothing was.
    pub(super) async fn perform(&mut self, session: &Session, era: Era, lone: Lone) -> Result<bool, StorageError> {
        let Some(left) = self.left.clone() else { return Ok(false) };
        let begins = matches!(lone.step, Step::Begin { .. });
        if matches!(lone.step, Step::Begin { as_of, .. } if as_of.number_in(era) != Some(left.changes))
            || !self.luck(begins).tries()
        {
            return Ok(false);
        }
        let mut head = left.head.clone();
        let entries = record::chain(&mut head, vec![lone.entry])?;
        let [entry] = &entries[..] else { return Ok(false) };
        let (hash, changes) = (left.head.hash.as_slice(), left.changes);
        let appended = match &lone.step {
            Step::Begin { request, .. } => {
                let input = request.idempotency.input_sha256.as_slice();
                let more = [&params![hash, changes][..], &request.values(&input)].concat();
                self.execute(session, BEGIN_USE, entry, &more).await?
            }
            Step::Finish { signature, counted } => {
                let more = params![hash, changes, signature, counted.map(|key| key.0)];
                self.execute(session, FINISH_USE, entry, more).await?
            }
        };
        match appended {
            Appended::One => {
                self.left = Some(HeadRow { head, changes });
                self.luck(begins).won();
            }
            Appended::Nothing => self.in_vain = Some(begins),
            Appended::Refused => self.luck(begins).lost(),
        }
        Ok(appended == Appended::One)
    }

    async fn execute(
        &mut self,
        session: &Session,
        sql: &'static str,
        entry: &Entry,
        more: &[&dyn Param],
    ) -> Result<Appended, StorageError> {
        let values = [&entry.values(), more].concat();
        // Sent together. If the first one fails, the other one writes nothing.
        let writable = async {
            if self.writable { Ok(()) } else { session.script("SET default_transaction_read_only = off").await }
        };
        let (writable, appended) = tokio::join!(biased; writable, session.execute(sql, &values));
        writable?;
        self.writable = true;
        match appended {
            // Nothing is left of it; the transaction that follows does it or says what is the matter.
            Err(StorageError::Database(error)) if error.is_answer() => {
                tracing::warn!(%error, "storage: a use alone is written by a transaction");
                Ok(Appended::Refused)
            }
            Err(error) => Err(error.into_commit()),
            Ok(1) => Ok(Appended::One),
            Ok(_) => Ok(Appended::Nothing),
        }
    }

    fn luck(&mut self, begins: bool) -> &mut Luck {
        if begins { &mut self.begins } else { &mut self.ends }
    }
}

/// What came of the statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Appended {
    One,
    /// The row of the head is not as it was left, or the request is no new one.
    Nothing,
    /// PostgreSQL answered with an error.
    Refused,
}

/// How often it is tried: each time, and ever more rarely while another server writes too, or while it fails.
#[derive(Debug, Default)]
struct Luck {
    /// Tries in a row that were lost.
    lost: u32,
    /// Times that it is not tried from now on.
    skip: u32,
}

impl Luck {
    /// Then one of 64 is tried, as rarely as ever.
    const MOST: u32 = 7;

    fn tries(&mut self) -> bool {
        let tries = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        tries
    }

    fn won(&mut self) {
        self.lost = 0;
    }

    fn lost(&mut self) {
        self.lost = (self.lost + 1).min(Self::MOST);
        self.skip = (1 << (self.lost - 1)) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_again_and_again_is_tried_ever_more_rarely() {
        let mut luck = Luck::default();
        let mut between = |lost: bool| {
            let mut skipped = 0;
            while !luck.tries() {
                skipped += 1;
            }
            if lost {
                luck.lost()
            } else {
                luck.won()
            }
            skipped
        };
        let skipped: Vec<_> = (0..10).map(|_| between(true)).collect();
        assert_eq!(skipped, [0, 0, 1, 3, 7, 15, 31, 63, 63, 63]);
        assert_eq!(between(false), 63);
        assert_eq!(between(false), 0);
        assert_eq!(between(true), 0);
        assert_eq!(between(true), 0);
        assert_eq!(between(true), 1);
    }
}
