//! Rights that are judged again in the transaction that begins the work: a request may have waited for its turn, or for a
//! password to be hashed, and what was allowed when it came may not be any more.

use sealcard_api::{
    Timestamp,
    ids::{GrantId, ProjectId},
};
use sealcard_policy::{Action, Decision};

use crate::storage::{StorageError, WriteTx};

/// What somebody needs to be allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rights {
    /// The grant that was shown.
    pub grant: GrantId,
    /// All of these.
    pub actions: &'static [Action],
}

/// Why it is not allowed any more.
#[derive(Debug, thiserror::Error)]
pub enum RightsLost {
    /// The grant is over, or its holder disabled or removed. Retrying can't help.
    #[error("the grant is over, or its holder may not ask any more")]
    GrantOver,
    /// Policy denies it now. Retrying can't help.
    #[error("denied: {}", .0.reasons().join("; "))]
    Denied(Decision),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Rights {
    /// Asks policy again, with what this transaction sees.
    ///
    /// # Errors
    /// See [`RightsLost`].
    pub fn expect(self, tx: &mut WriteTx, project: Option<ProjectId>) -> Result<(), RightsLost> {
        let standing = tx.standing(self.grant, project, Timestamp::now())?.ok_or(RightsLost::GrantOver)?;
        for action in self.actions.iter().copied() {
            let question = sealcard_policy::Request { principal: standing.principal, roles: standing.roles, action };
            let decision = sealcard_policy::decide(&question);
            if !decision.allowed() {
                return Err(RightsLost::Denied(decision));
            }
        }
        Ok(())
    }
}
