//! Tokens of service accounts.

use sealcard_api::ids::{PrincipalId, ServiceTokenId};
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::super::{StorageError, Store, WriteTx};

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

impl<'r> FromRow<'r, SqliteRow> for ServiceTokenRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: ServiceTokenId(row.try_get("id")?),
            label: row.try_get("label")?,
            created: row.try_get("created")?,
            expires: row.try_get("expires")?,
            revoked: row.try_get("revoked")?,
        })
    }
}

/// What a presented service token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginToken {
    /// The token.
    pub id: ServiceTokenId,
    /// The service account.
    pub principal: PrincipalId,
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
        let row: Option<(Uuid, Uuid, i64, bool)> = sqlx::query_as(
            "SELECT t.id, p.id, t.expires, t.revoked IS NULL AND p.disabled = 0 AND p.removed IS NULL
             FROM service_token t JOIN principal p ON p.id = t.principal_id WHERE t.hash = ?1",
        )
        .bind(hash)
        .fetch_optional(self.reader())
        .await?;
        Ok(row.map(|(id, principal, expires, usable)| LoginToken {
            id: ServiceTokenId(id),
            principal: PrincipalId(principal),
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
        let rows = sqlx::query_as(
            "SELECT id, label, created, expires, revoked FROM service_token
             WHERE principal_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        )
        .bind(principal.0)
        .bind(after.map_or(Uuid::nil(), |id| id.0))
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        Ok(rows)
    }
}

impl WriteTx {
    /// Adds a token.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_service_token(
        &mut self,
        principal: PrincipalId,
        row: &ServiceTokenRow,
        hash: &[u8],
    ) -> Result<(), StorageError> {
        sqlx::query(
            "INSERT INTO service_token (id, principal_id, label, hash, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(row.id.0)
        .bind(principal.0)
        .bind(&row.label)
        .bind(hash)
        .bind(row.created)
        .bind(row.expires)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Revokes a token and the grants that came of it.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if the account has no such token, or if the database fails.
    pub async fn revoke_service_token(
        &mut self,
        principal: PrincipalId,
        id: ServiceTokenId,
        now: i64,
    ) -> Result<(), StorageError> {
        let done =
            sqlx::query("UPDATE service_token SET revoked = COALESCE(revoked, ?3) WHERE id = ?2 AND principal_id = ?1")
                .bind(principal.0)
                .bind(id.0)
                .bind(now)
                .execute(self.conn())
                .await?;
        if done.rows_affected() == 0 {
            return Err(StorageError::NotFound("token"));
        }
        sqlx::query("UPDATE access_grant SET revoked = ?2 WHERE service_token_id = ?1 AND revoked IS NULL")
            .bind(id.0)
            .bind(now)
            .execute(self.conn())
            .await?;
        Ok(())
    }
}
