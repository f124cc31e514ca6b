//! Users and service accounts.

use sealcard_api::ids::PrincipalId;
use sealcard_policy::PrincipalKind;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::{StorageError, Store, WriteTx},
    as_id, kind_from, kind_name,
};

/// A principal that has not been removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalRow {
    /// The id.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
    /// Whether it may administer the server.
    pub administrator: bool,
    /// Whether its grants are refused.
    pub disabled: bool,
    /// Unix seconds.
    pub created: i64,
}

impl<'r> FromRow<'r, SqliteRow> for PrincipalRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        let kind: &str = row.try_get("kind")?;
        Ok(Self {
            id: PrincipalId(row.try_get("id")?),
            kind: kind_from(kind).map_err(|error| sqlx::Error::Decode(error.into()))?,
            name: row.try_get("name")?,
            administrator: row.try_get("administrator")?,
            disabled: row.try_get("disabled")?,
            created: row.try_get("created")?,
        })
    }
}

/// What a login with a password needs.
pub struct PasswordRow {
    /// The user.
    pub id: PrincipalId,
    /// PHC string.
    pub password: String,
    /// Whether the user may log in.
    pub disabled: bool,
}

/// What changes of a principal; `None` stays.
#[derive(Default)]
pub struct PrincipalChange {
    /// A new PHC string.
    pub password: Option<String>,
    /// The right to administer the server.
    pub administrator: Option<bool>,
    /// Whether its grants are refused.
    pub disabled: Option<bool>,
}

const COLUMNS: &str = "SELECT id, kind, name, administrator, disabled, created FROM principal";

impl Store {
    /// One principal by name or id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn principal(&self, kind: PrincipalKind, name_or_id: &str) -> Result<Option<PrincipalRow>, StorageError> {
        let sql =
            sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE (name = ?1 OR id = ?2) AND kind = ?3 AND removed IS NULL"));
        let row = sqlx::query_as(sql)
            .bind(name_or_id)
            .bind(as_id(name_or_id))
            .bind(kind_name(kind))
            .fetch_optional(self.reader())
            .await?;
        Ok(row)
    }

    /// Principals of one kind, oldest first, after the given one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn principals(
        &self,
        kind: PrincipalKind,
        after: Option<PrincipalId>,
        limit: u32,
    ) -> Result<Vec<PrincipalRow>, StorageError> {
        let sql = sqlx::AssertSqlSafe(format!(
            "{COLUMNS} WHERE kind = ?1 AND removed IS NULL AND id > ?2 ORDER BY id LIMIT ?3"
        ));
        let rows = sqlx::query_as(sql)
            .bind(kind_name(kind))
            .bind(after.map_or(Uuid::nil(), |id| id.0))
            .bind(limit)
            .fetch_all(self.reader())
            .await?;
        Ok(rows)
    }

    /// What a login as the user `name` needs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn password_of(&self, name: &str) -> Result<Option<PasswordRow>, StorageError> {
        let row: Option<(Uuid, String, bool)> = sqlx::query_as(
            "SELECT id, password, disabled FROM principal WHERE name = ?1 AND removed IS NULL AND password IS NOT NULL",
        )
        .bind(name)
        .fetch_optional(self.reader())
        .await?;
        Ok(row.map(|(id, password, disabled)| PasswordRow { id: PrincipalId(id), password, disabled }))
    }
}

impl WriteTx {
    /// Adds a principal. A user has a password (a PHC string), a service account none.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub async fn add_principal(&mut self, row: &PrincipalRow, password: Option<&str>) -> Result<(), StorageError> {
        sqlx::query(
            "INSERT INTO principal (id, kind, name, password, administrator, disabled, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .bind(row.id.0)
        .bind(kind_name(row.kind))
        .bind(&row.name)
        .bind(password)
        .bind(row.administrator)
        .bind(row.disabled)
        .bind(row.created)
        .execute(self.conn())
        .await
        .map_err(|error| StorageError::from(error).taken("a user or service account of this name"))?;
        Ok(())
    }

    /// One principal of either kind by name or id, as this transaction sees it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find_principal(&mut self, name_or_id: &str) -> Result<Option<PrincipalRow>, StorageError> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE (name = ?1 OR id = ?2) AND removed IS NULL"));
        let row = sqlx::query_as(sql).bind(name_or_id).bind(as_id(name_or_id)).fetch_optional(self.conn()).await?;
        Ok(row)
    }

    /// Changes a principal.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn change_principal(&mut self, id: PrincipalId, change: &PrincipalChange) -> Result<(), StorageError> {
        sqlx::query(
            "UPDATE principal SET password = COALESCE(?2, password), administrator = COALESCE(?3, administrator),
             disabled = COALESCE(?4, disabled) WHERE id = ?1",
        )
        .bind(id.0)
        .bind(change.password.as_deref())
        .bind(change.administrator)
        .bind(change.disabled)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Removes a principal: its memberships go, its grants and tokens are revoked, its password is forgotten. The row
    /// stays for the record.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_principal(&mut self, id: PrincipalId, now: i64) -> Result<(), StorageError> {
        for sql in [
            "UPDATE principal SET removed = ?2, password = NULL, administrator = 0 WHERE id = ?1",
            "DELETE FROM group_member WHERE principal_id = ?1 AND ?2",
            "DELETE FROM project_principal WHERE principal_id = ?1 AND ?2",
            "UPDATE service_token SET revoked = ?2 WHERE principal_id = ?1 AND revoked IS NULL",
        ] {
            sqlx::query(sql).bind(id.0).bind(now).execute(self.conn()).await?;
        }
        self.revoke_grants_of(id, now).await?;
        Ok(())
    }

    /// How many users could administer the server now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn administrators(&mut self) -> Result<i64, StorageError> {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM principal WHERE administrator = 1 AND disabled = 0 AND removed IS NULL",
        )
        .fetch_one(self.conn())
        .await?;
        Ok(count)
    }
}
