//! What policy needs to know of who asks, as a transaction sees it.

use sealcard_api::{
    Timestamp,
    ids::{GrantId, ProjectId},
};
use sealcard_policy::{PrincipalFacts, Roles};

use super::{
    super::{
        StorageError, WriteTx,
        sql::{FromRow, Row, params},
    },
    kind_from, roles_from,
};

/// Who holds a grant that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The holder.
    pub principal: PrincipalFacts,
    /// The holder's roles in the project that was asked for, its groups' roles included.
    pub roles: Roles,
}

impl FromRow for Standing {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let kind = kind_from(&row.get::<String>(0)?)?;
        Ok(Self {
            principal: PrincipalFacts { kind, disabled: false, administrator: row.get(1)? },
            roles: row.get::<Option<String>>(2)?.as_deref().map(roles_from).unwrap_or_default(),
        })
    }
}

impl WriteTx {
    /// Who holds the grant; nobody if it has been revoked or has expired at `now`, or its holder is disabled or removed.
    ///
    /// # Errors
    /// If the database fails.
    pub fn standing(
        &mut self,
        grant: GrantId,
        project: Option<ProjectId>,
        now: Timestamp,
    ) -> Result<Option<Standing>, StorageError> {
        const STANDING: &str = "SELECT p.kind, p.administrator,
                (SELECT string_agg(r.role, ',') FROM principal_role r
                    WHERE r.project_id = $2 AND r.principal_id = p.id)
             FROM access_grant g JOIN principal p ON p.id = g.principal_id
             WHERE g.id = $1 AND g.revoked IS NULL AND g.expires > $3 AND NOT p.disabled AND p.removed IS NULL";
        let values = params![grant.0, project.map(|id| id.0), now.unix()];
        self.conn_for_uses().optional(STANDING, values)
    }
}
