//! Deleting what is over: what happened is in the record.

use sealcard_api::{
    Timestamp,
    ids::{ApprovalId, NoticeId, RequestId},
};
use sealcard_record::{Draft, Event, event::ApprovalsForgotten};
use uuid::Uuid;

use super::{StorageError, Store, sql::params};

/// How many rows one transaction deletes: signatures wait behind it.
const AT_ONCE: i64 = 500;

impl Store {
    /// Deletes requests that arrived before `end` and are finished. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn prune_requests(&self, end: Timestamp) -> Result<u64, StorageError> {
        const PRUNE: &str = "DELETE FROM key_request WHERE id IN (SELECT id FROM key_request
             WHERE id < $1 AND state NOT IN ('received', 'waiting', 'approved', 'signing') ORDER BY id LIMIT $2)";
        self.prune(PRUNE, RequestId::first_of(end).0).await
    }

    /// Deletes approvals that were asked for before `end` and of which nothing can come any more, with what was decided
    /// about them. A break-glass that was used stays until its review is closed. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn prune_approvals(&self, end: Timestamp) -> Result<u64, StorageError> {
        const PRUNE: &str = "DELETE FROM approval WHERE id IN (SELECT id FROM approval
             WHERE id < $1 AND state NOT IN ('pending', 'approved')
                AND NOT (kind = 'break-glass' AND used > 0 AND reviewed IS NULL) ORDER BY id LIMIT $2) RETURNING id";
        let first_kept = ApprovalId::first_of(end).0;
        let mut pruned = 0;
        loop {
            let some = self.write(move |tx| -> Result<usize, StorageError> {
                let rows: Vec<(Uuid,)> = tx.conn_for_uses().all(PRUNE, params![first_kept, AT_ONCE])?;
                if !rows.is_empty() {
                    let mut approvals: Vec<ApprovalId> = rows.iter().map(|(id,)| ApprovalId(*id)).collect();
                    approvals.sort_unstable();
                    let forgotten = Event::ApprovalsForgotten(ApprovalsForgotten { approvals });
                    tx.append_record(Draft::of_server(forgotten));
                }
                Ok(rows.len())
            });
            let some = some.await?;
            pruned += some as u64;
            if (some as i64) < AT_ONCE {
                return Ok(pruned);
            }
        }
    }

    /// Deletes notices that were made before `end` and have no delivery that is still tried. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn prune_notices(&self, end: Timestamp) -> Result<u64, StorageError> {
        const PRUNE: &str = "DELETE FROM notice WHERE id IN (SELECT n.id FROM notice n WHERE n.id < $1 AND n.addressed
            AND NOT EXISTS (SELECT 1 FROM notice_delivery d WHERE d.notice_id = n.id AND d.state = 'pending')
            ORDER BY n.id LIMIT $2)";
        self.prune(PRUNE, NoticeId::first_of(end).0).await
    }

    /// Deletes counts of windows that ended before `end`. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn prune_quotas(&self, end: Timestamp) -> Result<u64, StorageError> {
        const PRUNE: &str = "DELETE FROM quota_use WHERE ends < $1";
        self.write(move |tx| tx.conn_for_uses().execute(PRUNE, params![end.unix()])).await
    }

    /// Deletes rows with smaller ids than `first_kept`, some in each transaction.
    async fn prune(&self, sql: &'static str, first_kept: Uuid) -> Result<u64, StorageError> {
        let mut pruned = 0;
        loop {
            let some = self.write(move |tx| tx.conn_for_uses().execute(sql, params![first_kept, AT_ONCE])).await?;
            pruned += some;
            if some < AT_ONCE.cast_unsigned() {
                return Ok(pruned);
            }
        }
    }
}
