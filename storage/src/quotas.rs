//! How much of each quota is used.

use sealcard_api::Timestamp;
use uuid::Uuid;

use super::{StorageError, Store, WriteTx, sql::params};

/// One use that counts for a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaUse {
    /// What has the rules that the quota is in: the id of an environment, project or key.
    pub owner: Uuid,
    /// The quota's name in them.
    pub quota: String,
    /// What is counted: the id of a principal, key or project.
    pub subject: Uuid,
    /// When the present window began.
    pub start: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// The uses that are allowed in it, at least one.
    pub uses: u32,
}

impl WriteTx {
    /// Takes one use from each quota, or none at all. Returns the indices of those that have nothing left.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) fn take_from_quotas(&mut self, quotas: &[QuotaUse]) -> Result<Vec<usize>, StorageError> {
        // The row is locked until the transaction ends, so nobody else takes the same use.
        const TAKE: &str = "INSERT INTO quota_use (owner_id, quota, subject_id, start, ends, used)
             VALUES ($1, $2, $3, $4, $5, 1)
             ON CONFLICT (owner_id, quota, subject_id, start)
             DO UPDATE SET used = quota_use.used + 1 WHERE quota_use.used < $6";
        const GIVE_BACK: &str = "UPDATE quota_use SET used = used - 1
             WHERE owner_id = $1 AND quota = $2 AND subject_id = $3 AND start = $4";
        let (mut taken, mut exhausted) = (Vec::with_capacity(quotas.len()), Vec::new());
        for (index, one) in quotas.iter().enumerate() {
            let QuotaUse { owner, quota, subject, start, end, uses } = one;
            let values = params![owner, quota, subject, start.unix(), end.unix(), i64::from(*uses)];
            if self.conn_for_uses().execute(TAKE, values)? == 1 {
                taken.push(one);
            } else {
                exhausted.push(index);
            }
        }
        if !exhausted.is_empty() {
            for QuotaUse { owner, quota, subject, start, .. } in taken {
                self.conn_for_uses().execute(GIVE_BACK, params![owner, quota, subject, start.unix()])?;
            }
        }
        Ok(exhausted)
    }
}

impl Store {
    /// How many uses of these quotas are left, in their order.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn left_of_quotas(&self, quotas: &[QuotaUse]) -> Result<Vec<u32>, StorageError> {
        const USED: &str = "SELECT used FROM quota_use
             WHERE owner_id = $1 AND quota = $2 AND subject_id = $3 AND start = $4";
        let mut left = Vec::with_capacity(quotas.len());
        for QuotaUse { owner, quota, subject, start, uses, .. } in quotas {
            let used: Option<(i64,)> =
                self.reader().optional(USED, params![owner, quota, subject, start.unix()]).await?;
            left.push(uses.saturating_sub(used.map_or(0, |(used,)| u32::try_from(used).unwrap_or(u32::MAX))));
        }
        Ok(left)
    }
}
