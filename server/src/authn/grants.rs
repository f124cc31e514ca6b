//! Issuing and refreshing grants.

use sealcard_api::{
    Timestamp,
    grants::{GrantInfo, GrantIssued},
    ids::{GrantId, PrincipalId, ServiceTokenId},
    problem::ProblemCode,
};

use super::{GRANT_PREFIX, Secret, secret};
use crate::{
    config::Limits,
    http::ApiError,
    storage::{GrantRow, NewGrantRow, WriteTx},
};

const DAY: i64 = 86_400;

/// Who gets a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedTo {
    /// The principal.
    pub principal: PrincipalId,
    /// The token that was shown, and when it stops to work.
    pub service_token: Option<(ServiceTokenId, i64)>,
    /// What the holder calls it.
    pub label: String,
    /// Whether it is a machine's: then it is not refreshed, and valid for the whole time from the start.
    pub machine: bool,
}

/// Stores a new grant.
///
/// # Errors
/// If the principal has been disabled or removed in between, or the database fails.
pub async fn issue(tx: &mut WriteTx, to: IssuedTo, limits: &Limits) -> Result<GrantIssued, ApiError> {
    let now = Timestamp::now().unix();
    let still = tx.find_principal(&to.principal.to_string()).await?.is_some_and(|row| !row.disabled);
    if !still {
        return Err(ApiError::new(ProblemCode::WrongCredentials));
    }
    let mut refreshable_until = now + i64::from(limits.grant_refreshable_days) * DAY;
    if let Some((_, token_expires)) = to.service_token {
        refreshable_until = refreshable_until.min(token_expires);
    }
    let days = if to.machine { limits.grant_refreshable_days } else { limits.grant_days };
    let row = NewGrantRow {
        id: GrantId::new(),
        principal: to.principal,
        service_token: to.service_token.map(|(id, _)| id),
        label: to.label,
        created: now,
        expires: refreshable_until.min(now + i64::from(days) * DAY),
        refreshable_until,
    };
    let secret = Secret::new(GRANT_PREFIX).map_err(|error| ApiError::internal(&error))?;
    tx.add_grant(&row, secret.hash().as_ref()).await?;
    issued(tx, row.id, secret).await
}

/// Gives the grant that `presented` belongs to a further token and a later expiry.
///
/// # Errors
/// If the grant has been revoked in between, or the database fails.
pub async fn refresh(tx: &mut WriteTx, id: GrantId, presented: &str, limits: &Limits) -> Result<GrantIssued, ApiError> {
    let now = Timestamp::now().unix();
    let grant = tx.find_grant(id).await?.filter(|grant| grant.revoked.is_none());
    let grant = grant.ok_or_else(|| ApiError::new(ProblemCode::GrantRevoked))?;
    let expires = grant.refreshable_until.min(now + i64::from(limits.grant_days) * DAY);
    let retire_at = now + i64::from(limits.grant_overlap_seconds);
    let secret = Secret::new(GRANT_PREFIX).map_err(|error| ApiError::internal(&error))?;
    let old = secret::hash(presented);
    tx.refresh_grant(id, expires, (old.as_ref(), retire_at), (secret.hash().as_ref(), now)).await?;
    issued(tx, id, secret).await
}

async fn issued(tx: &mut WriteTx, id: GrantId, secret: Secret) -> Result<GrantIssued, ApiError> {
    let row = tx.find_grant(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(GrantIssued { token: secret.into_text(), grant: row.into() })
}

impl From<GrantRow> for GrantInfo {
    fn from(row: GrantRow) -> Self {
        Self {
            id: row.id,
            principal: row.principal,
            principal_name: row.principal_name,
            administrator: row.administrator,
            label: row.label,
            created: Timestamp::from_unix(row.created),
            expires: Timestamp::from_unix(row.expires),
            refreshable_until: Timestamp::from_unix(row.refreshable_until),
            revoked: row.revoked.map(Timestamp::from_unix),
        }
    }
}
