//! Grants and their tokens.

use sealcard_api::ids::{GrantId, PrincipalId, ServiceTokenId};
use sealcard_policy::PrincipalKind;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::{StorageError, Store, WriteTx},
    kind_from,
};

/// A grant with its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The grant.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The holder's name.
    pub principal_name: String,
    /// Whether the holder may administer the server.
    pub administrator: bool,
    /// What the holder called it.
    pub label: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds.
    pub refreshable_until: i64,
    /// Unix seconds.
    pub revoked: Option<i64>,
}

impl<'r> FromRow<'r, SqliteRow> for GrantRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: GrantId(row.try_get("id")?),
            principal: PrincipalId(row.try_get("principal_id")?),
            principal_name: row.try_get("name")?,
            administrator: row.try_get("administrator")?,
            label: row.try_get("label")?,
            created: row.try_get("created")?,
            expires: row.try_get("expires")?,
            refreshable_until: row.try_get("refreshable_until")?,
            revoked: row.try_get("revoked")?,
        })
    }
}

/// What a presented token stands for, with everything that decides whether it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldGrant {
    /// The grant.
    pub grant: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The holder's name.
    pub name: String,
    /// Person or program.
    pub kind: PrincipalKind,
    /// Whether the holder may administer the server.
    pub administrator: bool,
    /// Whether the holder is disabled.
    pub disabled: bool,
    /// Whether the holder was removed.
    pub removed: bool,
    /// Unix seconds.
    pub expires: i64,
    /// Whether the grant was revoked.
    pub revoked: bool,
    /// From when on this token of it is refused, unix seconds.
    pub retired: Option<i64>,
}

impl<'r> FromRow<'r, SqliteRow> for HeldGrant {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        let kind: &str = row.try_get(3)?;
        Ok(Self {
            grant: GrantId(row.try_get(0)?),
            principal: PrincipalId(row.try_get(1)?),
            name: row.try_get(2)?,
            kind: kind_from(kind).map_err(|error| sqlx::Error::Decode(error.into()))?,
            administrator: row.try_get(4)?,
            disabled: row.try_get(5)?,
            removed: row.try_get(6)?,
            expires: row.try_get(7)?,
            revoked: row.try_get(8)?,
            retired: row.try_get(9)?,
        })
    }
}

/// A grant to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrantRow {
    /// The id.
    pub id: GrantId,
    /// Who holds it.
    pub principal: PrincipalId,
    /// The token it was given for, if it was a token.
    pub service_token: Option<ServiceTokenId>,
    /// What the holder called it.
    pub label: String,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub expires: i64,
    /// Unix seconds.
    pub refreshable_until: i64,
}

/// Which grants are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GrantFilter {
    /// One holder's only.
    pub principal: Option<PrincipalId>,
    /// After this one.
    pub after: Option<GrantId>,
}

/// How many tokens of one grant may be valid at once.
const MAX_TOKENS: u32 = 8;

impl Store {
    /// What the token with this SHA-256 stands for: the one query that each authenticated request makes.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn held_grant(&self, token_hash: &[u8]) -> Result<Option<HeldGrant>, StorageError> {
        let row = sqlx::query_as(
            "SELECT g.id, p.id, p.name, p.kind, p.administrator, p.disabled, p.removed IS NOT NULL,
                    g.expires, g.revoked IS NOT NULL, t.retired
             FROM grant_token t
             JOIN access_grant g ON g.id = t.grant_id
             JOIN principal p ON p.id = g.principal_id
             WHERE t.hash = ?1",
        )
        .bind(token_hash)
        .fetch_optional(self.reader())
        .await?;
        Ok(row)
    }

    /// One grant.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantRow>, StorageError> {
        Ok(sqlx::query_as(ONE_GRANT).bind(id.0).fetch_optional(self.reader()).await?)
    }

    /// Grants, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn grants(&self, filter: GrantFilter, limit: u32) -> Result<Vec<GrantRow>, StorageError> {
        let rows = sqlx::query_as(
            "SELECT g.id, g.principal_id, p.name, p.administrator, g.label, g.created, g.expires,
                    g.refreshable_until, g.revoked
             FROM access_grant g JOIN principal p ON p.id = g.principal_id
             WHERE g.id > ?1 AND (?2 IS NULL OR g.principal_id = ?2) ORDER BY g.id LIMIT ?3",
        )
        .bind(filter.after.map_or(Uuid::nil(), |id| id.0))
        .bind(filter.principal.map(|id| id.0))
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        Ok(rows)
    }
}

const ONE_GRANT: &str = "SELECT g.id, g.principal_id, p.name, p.administrator, g.label, g.created, g.expires,
            g.refreshable_until, g.revoked
     FROM access_grant g JOIN principal p ON p.id = g.principal_id WHERE g.id = ?1";

impl WriteTx {
    /// Stores a grant and its first token. Grants that ended a year ago are forgotten on the way.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_grant(&mut self, row: &NewGrantRow, token_hash: &[u8]) -> Result<(), StorageError> {
        const YEAR: i64 = 365 * 86_400;
        sqlx::query("DELETE FROM access_grant WHERE principal_id = ?1 AND min(refreshable_until, COALESCE(revoked, refreshable_until)) < ?2")
            .bind(row.principal.0)
            .bind(row.created - YEAR)
            .execute(self.conn())
            .await?;
        sqlx::query(
            "INSERT INTO access_grant
             (id, principal_id, service_token_id, label, created, expires, refreshable_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(row.id.0)
        .bind(row.principal.0)
        .bind(row.service_token.map(|id| id.0))
        .bind(&row.label)
        .bind(row.created)
        .bind(row.expires)
        .bind(row.refreshable_until)
        .execute(self.conn())
        .await?;
        self.add_grant_token(row.id, token_hash, row.created).await
    }

    /// One grant, as this transaction sees it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_grant(&mut self, id: GrantId) -> Result<Option<GrantRow>, StorageError> {
        Ok(sqlx::query_as(ONE_GRANT).bind(id.0).fetch_optional(self.conn()).await?)
    }

    /// Gives a grant one more token and a later expiry, and retires the token it was asked with (unless that has
    /// happened before).
    ///
    /// # Errors
    /// If the database fails.
    pub async fn refresh_grant(
        &mut self,
        id: GrantId,
        expires: i64,
        (old_hash, retire_at): (&[u8], i64),
        (new_hash, now): (&[u8], i64),
    ) -> Result<(), StorageError> {
        sqlx::query("UPDATE access_grant SET expires = max(expires, ?2) WHERE id = ?1")
            .bind(id.0)
            .bind(expires)
            .execute(self.conn())
            .await?;
        sqlx::query("UPDATE grant_token SET retired = COALESCE(retired, ?2) WHERE hash = ?1")
            .bind(old_hash)
            .bind(retire_at)
            .execute(self.conn())
            .await?;
        self.add_grant_token(id, new_hash, now).await?;
        sqlx::query(
            "DELETE FROM grant_token WHERE grant_id = ?1 AND (retired < ?2 OR hash NOT IN
             (SELECT hash FROM grant_token WHERE grant_id = ?1 ORDER BY created DESC, hash LIMIT ?3))
             AND hash <> ?4",
        )
        .bind(id.0)
        .bind(now - RETIRED_KNOWN)
        .bind(MAX_TOKENS)
        .bind(new_hash)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    async fn add_grant_token(&mut self, id: GrantId, hash: &[u8], now: i64) -> Result<(), StorageError> {
        sqlx::query("INSERT INTO grant_token (hash, grant_id, created) VALUES (?1, ?2, ?3)")
            .bind(hash)
            .bind(id.0)
            .bind(now)
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Revokes one grant. Whether it was valid before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn revoke_grant(&mut self, id: GrantId, now: i64) -> Result<bool, StorageError> {
        let done = sqlx::query("UPDATE access_grant SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL")
            .bind(id.0)
            .bind(now)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes every grant of a principal.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn revoke_grants_of(&mut self, principal: PrincipalId, now: i64) -> Result<u64, StorageError> {
        let done = sqlx::query("UPDATE access_grant SET revoked = ?2 WHERE principal_id = ?1 AND revoked IS NULL")
            .bind(principal.0)
            .bind(now)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected())
    }
}

/// For how many seconds a retired token is still told that it is over, instead of that it never was.
const RETIRED_KNOWN: i64 = 30 * 86_400;
