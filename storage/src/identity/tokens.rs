//! Tokens of service accounts.

use sealcard_api::{
    Timestamp,
    admin::ServiceToken,
    ids::{PrincipalId, ServiceTokenId},
};
use sealcard_record::Named;
use uuid::Uuid;

use super::super::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// A service account's token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTokenRow {
    /// The id.
    pub id: ServiceTokenId,
    /// What it is for.
    pub label: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds.
    pub revoked: Option<i64>,
}

impl FromRow for ServiceTokenRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: ServiceTokenId(row.get(0)?),
            label: row.get(1)?,
            created: row.get(2)?,
            expires: row.get(3)?,
            revoked: row.get(4)?,
        })
    }
}

/// What a presented service token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginToken {
    /// The token, with its label.
    pub token: Named<ServiceTokenId>,
    /// The service account.
    pub principal: Named<PrincipalId>,
    /// Unix seconds.
    pub expires: i64,
    /// Whether token and account may still be used.
    pub usable: bool,
}

impl Store {
    /// What the service token with this SHA-256 stands for.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn login_token(&self, hash: &[u8]) -> Result<Option<LoginToken>, StorageError> {
        let row: Option<(Uuid, String, Uuid, String, i64, bool)> = self
            .reader()
            .optional(
                "SELECT t.id, t.label, p.id, p.name, t.expires, t.revoked IS NULL AND NOT p.disabled
                 AND p.removed IS NULL
             FROM service_token t JOIN principal p ON p.id = t.principal_id WHERE t.hash = $1",
                params![hash],
            )
            .await?;
        Ok(row.map(|(id, label, principal, name, expires, usable)| LoginToken {
            token: Named::new(ServiceTokenId(id), label),
            principal: Named::new(PrincipalId(principal), name),
            expires,
            usable,
        }))
    }

    /// A service account's tokens, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn service_tokens(
        &self,
        principal: PrincipalId,
        after: Option<ServiceTokenId>,
        limit: u32,
    ) -> Result<Vec<ServiceTokenRow>, StorageError> {
        let rows = self
            .reader()
            .all(
                "SELECT id, label, created, expires, revoked FROM service_token
             WHERE principal_id = $1 AND id > $2 ORDER BY id LIMIT $3",
                params![principal.0, after.map_or(Uuid::nil(), |id| id.0), i64::from(limit)],
            )
            .await?;
        Ok(rows)
    }
}

impl WriteTx {
    /// Adds a token.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_service_token(
        &mut self,
        principal: PrincipalId,
        row: &ServiceTokenRow,
        hash: &[u8],
    ) -> Result<(), StorageError> {
        self.conn().execute(
            "INSERT INTO service_token (id, principal_id, label, hash, created, expires)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![row.id.0, principal.0, &row.label, hash, row.created, row.expires],
        )?;
        Ok(())
    }

    /// Whether the token has not been revoked.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_service_token_good(&mut self, id: ServiceTokenId) -> Result<bool, StorageError> {
        let good: Option<bool> =
            self.conn().scalar("SELECT revoked IS NULL FROM service_token WHERE id = $1", params![id.0])?;
        Ok(good == Some(true))
    }

    /// Revokes a token and the grants that came of it. The token with its label.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if the account has no such token, or if the database fails.
    pub fn revoke_service_token(
        &mut self,
        principal: PrincipalId,
        id: ServiceTokenId,
    ) -> Result<Named<ServiceTokenId>, StorageError> {
        let now = self.now().unix();
        let label: Option<String> = self.conn().scalar(
            "UPDATE service_token SET revoked = COALESCE(revoked, $3) WHERE id = $2 AND principal_id = $1
             RETURNING label",
            params![principal.0, id.0, now],
        )?;
        let label = label.ok_or(StorageError::NotFound("token"))?;
        self.conn().execute(
            "UPDATE access_grant SET revoked = $2 WHERE service_token_id = $1 AND revoked IS NULL",
            params![id.0, now],
        )?;
        Ok(Named::new(id, label))
    }
}

impl From<ServiceTokenRow> for ServiceToken {
    fn from(row: ServiceTokenRow) -> Self {
        Self {
            id: row.id,
            label: row.label,
            created: Timestamp::from_unix(row.created),
            expires: Timestamp::from_unix(row.expires),
            revoked: row.revoked.map(Timestamp::from_unix),
        }
    }
}
