//! What ends by itself: requests whose deadline is over, approvals that have expired.

use std::time::Instant;

use sealcard_api::{Timestamp, approvals::ApprovalState, notices::NoticeKind, record::RequestState};
use sealcard_record::{Draft, Event, event::UseExpired};

use super::{ApprovalError, Approvals, decide::reference, ended, tell};
use crate::{
    clock::DAY,
    limits,
    requests::state::{self, Input},
    storage::{ApprovalChange, WriteTx},
};

/// So many are ended in one transaction.
const BATCH: u32 = 200;

impl Approvals {
    /// Ends what is over, again and again. Runs until it is dropped.
    pub async fn sweep(self) {
        let mut pruned: Option<Instant> = None;
        loop {
            tokio::time::sleep(limits::APPROVALS_SWEEP).await;
            let reminder = i64::from(self.config.reminder_minutes) * 60;
            match self.store.write(move |tx| end_what_is_over(tx, reminder)).await {
                Ok(0) => {}
                Ok(_) => self.wake.look_now(),
                Err(error) => tracing::warn!(%error, "approvals: what is over can't be ended yet"),
            }
            if pruned.is_none_or(|pruned| pruned.elapsed() >= limits::PRUNE_PERIOD) {
                pruned = Some(Instant::now());
                let end = Timestamp::now().unix() - limits::APPROVAL_DAYS * DAY;
                if let Err(error) = self.store.prune_approvals(Timestamp::from_unix(end)).await {
                    tracing::warn!(%error, "approvals: old ones can't be deleted yet");
                }
            }
        }
    }
}

/// Returns how many were ended.
fn end_what_is_over(tx: &mut WriteTx, reminder: i64) -> Result<usize, ApprovalError> {
    let now = tx.now();
    let mut count = 0;
    for request in tx.overdue_requests(now, BATCH)? {
        let next = state::next(RequestState::Waiting, Input::Expire).unwrap_or(RequestState::Expired);
        let expired = UseExpired { signing_key: request.signing_key, approval: request.approval };
        let entry = Draft::new(request.id, Event::UseExpired(expired)).by(request.requester);
        count += usize::from(tx.end_waiting(request.id, next, entry)?);
    }
    for row in tx.expired_approvals(now, BATCH)? {
        let change = ApprovalChange { state: ApprovalState::Expired, expires: row.expires };
        if !tx.change_approval(row.id, row.version, change)? {
            continue;
        }
        let why = if row.state == ApprovalState::Pending { "not decided in time" } else { "not used in time" };
        let approval = reference(tx, &row)?;
        if row.state == ApprovalState::Pending {
            tell::outcome(tx, &row, &approval, (ApprovalState::Expired, "", None))?;
        }
        let over = ended(approval, (ApprovalState::Expired, why), row.used);
        tx.append_record(Draft::of_server(Event::ApprovalEnded(over)));
        count += 1;
    }
    for row in tx.unreminded_approvals(now, reminder, BATCH)? {
        let (approval, decisions) = (reference(tx, &row)?, tx.decisions(row.id)?);
        let owner = match row.requester {
            Some(requester) => tx.owner_of(requester)?,
            None => None,
        };
        let excluded = super::excluded(row.requester, owner);
        tell::wanted(tx, &row, (&approval, NoticeKind::ApprovalReminder), (&decisions, &excluded))?;
    }
    Ok(count)
}
