//! Requests that wait.

use sealcard_api::{
    Timestamp,
    approvals::ApprovalState,
    ids::{ApprovalId, KeyId, PrincipalId, ProjectId, RequestId},
};
use sealcard_record::{Actor, Named, event::SigningKey};
use uuid::Uuid;

use super::{
    super::{
        StorageError, WriteTx,
        sql::{FromRow, Row, params},
    },
    ApprovalBody, ApprovalRow, select,
};

/// How many requests may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitLimits {
    /// Of one principal.
    pub principal: u32,
    /// For the keys of one project.
    pub project: u32,
}

/// As many requests wait as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooManyWaiting {
    /// Of the requester.
    OfPrincipal(u32),
    /// For the keys of the project.
    OfProject(u32),
}

/// A request that has waited until its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueRequest {
    /// The request.
    pub id: RequestId,
    /// The requester.
    pub requester: Actor,
    /// The signing key.
    pub signing_key: SigningKey,
    /// The approval that it waited for.
    pub approval: ApprovalId,
}

impl FromRow for OverdueRequest {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let name = |index| Ok::<_, StorageError>(row.get::<Option<String>>(index)?.unwrap_or_default());
        let uuid = |index| Ok::<_, StorageError>(row.get::<Option<Uuid>>(index)?.unwrap_or_default());
        Ok(Self {
            id: RequestId(row.get(0)?),
            requester: Actor::new(PrincipalId(row.get(1)?), name(2)?, sealcard_api::ids::GrantId(row.get(3)?)),
            signing_key: SigningKey {
                project: Named::new(ProjectId(uuid(4)?), name(5)?),
                key: Named::new(KeyId(row.get(6)?), name(7)?),
            },
            approval: ApprovalId(uuid(8)?),
        })
    }
}

impl WriteTx {
    /// Adds the approval that a request waits for, unless as many wait as may. Earlier ones of the same binding that
    /// nobody waits for any more make room: they are returned, and have expired.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) fn wait_for(
        &mut self,
        row: &ApprovalRow,
        limits: WaitLimits,
    ) -> Result<Result<Vec<ApprovalRow>, TooManyWaiting>, StorageError> {
        const OF_PRINCIPAL: &str = "SELECT count(*) FROM key_request WHERE state = 'waiting' AND principal_id = $1";
        const OF_PROJECT: &str = "SELECT count(*) FROM key_request WHERE state = 'waiting' AND project_id = $1";
        const EARLIER: &str = select!(
            "WHERE a.kind = 'use' AND a.state = 'pending' AND a.requester_id = $1 AND a.key_id = $2 AND a.operation = $3
                AND coalesce(a.host, '') = $4 AND NOT EXISTS (SELECT 1 FROM key_request r
                    WHERE r.id = a.request_id AND r.state IN ('waiting', 'approved'))"
        );
        // Whoever has the number is alone: two servers don't count at the same time.
        self.next_approvals_version()?;
        let of = |count: Option<i64>| u32::try_from(count.unwrap_or_default()).unwrap_or(u32::MAX);
        let requester = row.requester.map_or(Uuid::nil(), |id| id.0);
        if of(self.conn_for_uses().scalar(OF_PRINCIPAL, params![requester])?) >= limits.principal {
            return Ok(Err(TooManyWaiting::OfPrincipal(limits.principal)));
        }
        let project = row.project.map_or(Uuid::nil(), |id| id.0);
        if of(self.conn_for_uses().scalar(OF_PROJECT, params![project])?) >= limits.project {
            return Ok(Err(TooManyWaiting::OfProject(limits.project)));
        }
        let key = row.key.map_or(Uuid::nil(), |id| id.0);
        let (operation, host) = (row.operation.clone().unwrap_or_default(), row.host.clone().unwrap_or_default());
        let earlier: Vec<ApprovalRow> = self.conn_for_uses().all(EARLIER, params![requester, key, operation, host])?;
        for one in &earlier {
            let to = super::ApprovalChange { state: ApprovalState::Expired, expires: one.expires };
            self.change_approval(one.id, one.version, to)?;
        }
        self.add_approval(row)?;
        Ok(Ok(earlier))
    }

    /// Gives a pending or approved approval of a request the flows that are in force now: it is to be decided again.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) fn ask_again(&mut self, id: ApprovalId, body: &ApprovalBody) -> Result<(), StorageError> {
        const AGAIN: &str = "UPDATE approval SET state = 'pending', version = version + 1, change = $2, body = $3
             WHERE id = $1 AND state IN ('pending', 'approved')";
        let change = self.next_approvals_version()?;
        let body = serde_json::to_string(body).map_err(|error| StorageError::Damaged(error.to_string()))?;
        self.conn_for_uses().execute(AGAIN, params![id.0, change, body])?;
        Ok(())
    }

    /// Requests that wait, or are approved and nobody came for them, and whose deadline is over.
    ///
    /// # Errors
    /// If the database fails.
    pub fn overdue_requests(&mut self, now: Timestamp, limit: u32) -> Result<Vec<OverdueRequest>, StorageError> {
        const OVERDUE: &str = "SELECT r.id, r.principal_id, p.name, r.grant_id, r.project_id, j.name, r.key_id, k.name,
                r.approval_id
             FROM key_request r LEFT JOIN principal p ON p.id = r.principal_id
             LEFT JOIN project j ON j.id = r.project_id LEFT JOIN signing_key k ON k.id = r.key_id
             WHERE r.state IN ('waiting', 'approved') AND r.deadline < $1 ORDER BY r.id LIMIT $2";
        self.conn_for_uses().all(OVERDUE, params![now.unix(), i64::from(limit)])
    }
}
