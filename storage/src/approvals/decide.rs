//! Writing what people decide.

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalState, Verdict},
    ids::{ApprovalId, KeyId, PrincipalId, RequestId},
};
use uuid::Uuid;

use super::{
    super::{StorageError, WriteTx, sql::params},
    ApprovalRow,
};

/// A decision to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDecision {
    /// In which flow.
    pub flow: String,
    /// For which stage.
    pub stage: String,
    /// Who.
    pub approver: PrincipalId,
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub comment: Option<String>,
}

/// What becomes of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalChange {
    /// How it stands then.
    pub state: ApprovalState,
    /// Until when it can be decided or used.
    pub expires: Timestamp,
}

impl WriteTx {
    /// Writes a decision. One of the same person in the same flow is replaced: it does not stand any more.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_decision(&mut self, id: ApprovalId, new: &NewDecision) -> Result<(), StorageError> {
        const ADD: &str = "INSERT INTO approval_decision (approval_id, flow, approver_id, stage, verdict, comment, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (approval_id, flow, approver_id)
             DO UPDATE SET stage = $4, verdict = $5, comment = $6, at = $7";
        let NewDecision { flow, stage, approver, verdict, comment } = new;
        let values = params![id.0, flow, approver.0, stage, verdict.name(), comment, self.now().unix()];
        self.conn_for_uses().execute(ADD, values)?;
        Ok(())
    }

    /// Changes an approval that has the version `seen`. False if it has changed since.
    ///
    /// # Errors
    /// If the database fails.
    pub fn change_approval(&mut self, id: ApprovalId, seen: u32, to: ApprovalChange) -> Result<bool, StorageError> {
        const CHANGE: &str = "UPDATE approval SET state = $3, expires = $4, version = version + 1, change = $5
             WHERE id = $1 AND version = $2";
        let change = self.next_approvals_version()?;
        let values = params![id.0, i64::from(seen), to.state.name(), to.expires.unix(), change];
        Ok(self.conn_for_uses().execute(CHANGE, values)? == 1)
    }

    /// Takes an approved approval back that has the version `seen`. False if it has changed since.
    ///
    /// # Errors
    /// If the database fails.
    pub fn revoke_approval(&mut self, id: ApprovalId, seen: u32, by: PrincipalId) -> Result<bool, StorageError> {
        const REVOKE: &str =
            "UPDATE approval SET state = 'revoked', revoked_by = $3, version = version + 1, change = $4
             WHERE id = $1 AND version = $2 AND state = 'approved'";
        let change = self.next_approvals_version()?;
        Ok(self.conn_for_uses().execute(REVOKE, params![id.0, i64::from(seen), by.0, change])? == 1)
    }

    /// Notes that the review of break-glass is closed. False if it was before.
    ///
    /// # Errors
    /// If the database fails.
    pub fn close_review(&mut self, id: ApprovalId) -> Result<bool, StorageError> {
        const CLOSE: &str = "UPDATE approval SET reviewed = $2, version = version + 1, change = $3
             WHERE id = $1 AND kind = 'break-glass' AND reviewed IS NULL";
        let change = self.next_approvals_version()?;
        let values = params![id.0, self.now().unix(), change];
        Ok(self.conn_for_uses().execute(CLOSE, values)? == 1)
    }

    /// The break-glass of a project whose review is open, if there is one: it was approved, or can still be.
    ///
    /// # Errors
    /// If the database fails.
    pub fn open_review(&mut self, project: Uuid) -> Result<Option<ApprovalRow>, StorageError> {
        const OPEN: &str = super::select!(
            "WHERE a.kind = 'break-glass' AND a.project_id = $1 AND a.reviewed IS NULL
                AND (a.state IN ('pending', 'approved', 'spent') OR a.used > 0) ORDER BY a.id LIMIT 1"
        );
        self.conn_for_uses().optional(OPEN, params![project])
    }

    /// Lets the requests go on that wait and that this approval may serve: they are decided anew.
    ///
    /// # Errors
    /// If the database fails.
    pub fn let_waiting_go_on(&mut self, row: &ApprovalRow) -> Result<(), StorageError> {
        const OWN: &str = "UPDATE key_request SET state = 'approved' WHERE id = $1 AND state = 'waiting'";
        // Their own approvals have not changed, but whoever polls must hear of it.
        const OTHERS: &str = "UPDATE key_request SET state = 'approved'
             WHERE state = 'waiting' AND key_id = $1 AND (principal_id = $2
                OR principal_id IN (SELECT principal_id FROM group_member WHERE group_id = $3)) RETURNING id";
        const TELL: &str = "UPDATE approval SET change = $2 WHERE request_id = $1";
        let own: Option<RequestId> = row.request;
        if let Some(request) = own {
            self.conn_for_uses().execute(OWN, params![request.0])?;
            return Ok(());
        }
        let Some(KeyId(key)) = row.key else { return Ok(()) };
        let values =
            params![key, row.requester.map_or(Uuid::nil(), |id| id.0), row.group.map_or(Uuid::nil(), |id| id.0)];
        let woken: Vec<(Uuid,)> = self.conn_for_uses().all(OTHERS, values)?;
        if !woken.is_empty() {
            let change = self.next_approvals_version()?;
            for (request,) in woken {
                self.conn_for_uses().execute(TELL, params![request, change])?;
            }
        }
        Ok(())
    }
}
