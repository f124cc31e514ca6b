//! Groups.

use sealcard_api::ids::{GroupId, PrincipalId};
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::{StorageError, Store, WriteTx},
    as_id,
};

/// A group with the names of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// The id.
    pub id: GroupId,
    /// The name.
    pub name: String,
    /// Unix seconds.
    pub created: i64,
    /// Names, sorted.
    pub members: Vec<String>,
}

impl<'r> FromRow<'r, SqliteRow> for GroupRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        // Names hold no line feed.
        let members: Option<&str> = row.try_get("members")?;
        Ok(Self {
            id: GroupId(row.try_get("id")?),
            name: row.try_get("name")?,
            created: row.try_get("created")?,
            members: members.into_iter().flat_map(|names| names.split('\n').map(str::to_owned)).collect(),
        })
    }
}

const COLUMNS: &str = "SELECT g.id, g.name, g.created,
    (SELECT group_concat(p.name, char(10) ORDER BY p.name) FROM group_member m
     JOIN principal p ON p.id = m.principal_id WHERE m.group_id = g.id) AS members FROM principal_group g";

impl Store {
    /// One group by name or id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn group(&self, name_or_id: &str) -> Result<Option<GroupRow>, StorageError> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE g.name = ?1 OR g.id = ?2"));
        Ok(sqlx::query_as(sql).bind(name_or_id).bind(as_id(name_or_id)).fetch_optional(self.reader()).await?)
    }

    /// Groups, oldest first, after the given one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn groups(&self, after: Option<GroupId>, limit: u32) -> Result<Vec<GroupRow>, StorageError> {
        let sql = sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE g.id > ?1 ORDER BY g.id LIMIT ?2"));
        let after = after.map_or(Uuid::nil(), |id| id.0);
        Ok(sqlx::query_as(sql).bind(after).bind(limit).fetch_all(self.reader()).await?)
    }
}

impl WriteTx {
    /// Adds a group without members.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub async fn add_group(&mut self, id: GroupId, name: &str, created: i64) -> Result<(), StorageError> {
        sqlx::query("INSERT INTO principal_group (id, name, created) VALUES (?1, ?2, ?3)")
            .bind(id.0)
            .bind(name)
            .bind(created)
            .execute(self.conn())
            .await
            .map_err(|error| StorageError::from(error).taken("a group of this name"))?;
        Ok(())
    }

    /// A group's id by its name or id.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], or if the database fails.
    pub async fn group_id(&mut self, name_or_id: &str) -> Result<GroupId, StorageError> {
        let id: Option<Uuid> = sqlx::query_scalar("SELECT id FROM principal_group WHERE name = ?1 OR id = ?2")
            .bind(name_or_id)
            .bind(as_id(name_or_id))
            .fetch_optional(self.conn())
            .await?;
        id.map(GroupId).ok_or(StorageError::NotFound("group"))
    }

    /// Removes a group with its memberships and roles.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_group(&mut self, id: GroupId) -> Result<(), StorageError> {
        sqlx::query("DELETE FROM principal_group WHERE id = ?1").bind(id.0).execute(self.conn()).await?;
        Ok(())
    }

    /// Adds a member. Whether it was none before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_group_member(&mut self, group: GroupId, principal: PrincipalId) -> Result<bool, StorageError> {
        let done = sqlx::query("INSERT OR IGNORE INTO group_member (group_id, principal_id) VALUES (?1, ?2)")
            .bind(group.0)
            .bind(principal.0)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a member. Whether it was one before.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_group_member(&mut self, group: GroupId, principal: PrincipalId) -> Result<bool, StorageError> {
        let done = sqlx::query("DELETE FROM group_member WHERE group_id = ?1 AND principal_id = ?2")
            .bind(group.0)
            .bind(principal.0)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
