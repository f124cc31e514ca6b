//! Using what was approved.

use sealcard_api::{
    Timestamp,
    ids::{ApprovalId, KeyId, PrincipalId, RequestId},
};

use super::{
    super::{StorageError, Store, WriteTx, sql::params},
    ApprovalRow, DecisionRow, select,
};

/// An approval that is approved and not used up, for somebody's use of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedUse {
    /// The approval.
    pub row: ApprovalRow,
    /// What was decided.
    pub decisions: Vec<DecisionRow>,
}

const APPROVED: &str = select!(
    "WHERE a.key_id = $1 AND a.operation = $2 AND a.state = 'approved' AND a.kind <> 'change' AND a.expires > $3
        AND (a.not_before IS NULL OR a.not_before <= $3) AND (a.max_uses IS NULL OR a.used < a.max_uses)
        AND (a.requester_id = $4 OR a.group_id IN (SELECT group_id FROM group_member WHERE principal_id = $4))
     ORDER BY a.id"
);

impl Store {
    /// What is approved for this use and not used up.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn approved_uses(
        &self,
        requester: PrincipalId,
        (key, operation): (KeyId, &str),
        now: Timestamp,
    ) -> Result<Vec<ApprovedUse>, StorageError> {
        let rows: Vec<ApprovalRow> =
            self.reader().all(APPROVED, params![key.0, operation, now.unix(), requester.0]).await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let decisions = self.decisions(row.id).await?;
            all.push(ApprovedUse { row, decisions });
        }
        Ok(all)
    }
}

impl WriteTx {
    /// As [`Store::approved_uses`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn approved_uses(
        &mut self,
        requester: PrincipalId,
        (key, operation): (KeyId, &str),
    ) -> Result<Vec<ApprovedUse>, StorageError> {
        let values = params![key.0, operation, self.now().unix(), requester.0];
        let rows: Vec<ApprovalRow> = self.conn_for_uses().all(APPROVED, values)?;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let decisions = self.decisions(row.id)?;
            all.push(ApprovedUse { row, decisions });
        }
        Ok(all)
    }

    /// Takes one use of an approval. False if none is left by now, or it was revoked.
    ///
    /// # Errors
    /// If the database fails.
    pub fn spend_approval(&mut self, id: ApprovalId) -> Result<bool, StorageError> {
        // The row is locked until the transaction ends, so nobody else takes the same use.
        const SPEND: &str = "UPDATE approval SET used = used + 1, version = version + 1, change = $2,
                state = CASE WHEN used + 1 = max_uses THEN 'spent' ELSE state END
             WHERE id = $1 AND state = 'approved' AND expires > $3 AND (not_before IS NULL OR not_before <= $3)
                AND (max_uses IS NULL OR used < max_uses)";
        let change = self.next_approvals_version()?;
        let values = params![id.0, change, self.now().unix()];
        Ok(self.conn_for_uses().execute(SPEND, values)? == 1)
    }

    /// Notes which request took the use of an approval for one use. Only if the use begins: the record has it from there.
    ///
    /// # Errors
    /// If the database fails.
    pub fn name_spender(&mut self, id: ApprovalId, request: RequestId) -> Result<(), StorageError> {
        const NAME: &str = "UPDATE approval SET request_id = $2 WHERE id = $1 AND kind = 'use'";
        self.conn_for_uses().execute(NAME, params![id.0, request.0])?;
        Ok(())
    }

    /// Gives a use back that came to nothing: the key was not used.
    ///
    /// # Errors
    /// If the database fails.
    pub fn give_approval_back(&mut self, id: ApprovalId) -> Result<(), StorageError> {
        const GIVE_BACK: &str = "UPDATE approval SET used = used - 1, version = version + 1, change = $2,
                state = CASE WHEN state = 'spent' THEN 'approved' ELSE state END
             WHERE id = $1 AND used > 0";
        let change = self.next_approvals_version()?;
        self.conn_for_uses().execute(GIVE_BACK, params![id.0, change])?;
        Ok(())
    }
}
