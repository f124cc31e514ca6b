//! Projects and who has which role in them.

use sealcard_api::{
    admin::ProjectRole,
    ids::{GroupId, PrincipalId, ProjectId},
};
use sealcard_policy::Roles;
use sqlx::{FromRow, Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::{StorageError, Store, WriteTx},
    as_id, role_from,
};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// The id.
    pub id: ProjectId,
    /// The name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Unix seconds.
    pub created: i64,
}

impl<'r> FromRow<'r, SqliteRow> for ProjectRow {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: ProjectId(row.try_get("id")?),
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            created: row.try_get("created")?,
        })
    }
}

/// Whom a role is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A user or service account.
    Principal(PrincipalId),
    /// Each member of a group.
    Group(GroupId),
}

impl Store {
    /// One project by name or id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn project(&self, name_or_id: &str) -> Result<Option<ProjectRow>, StorageError> {
        let row = sqlx::query_as("SELECT id, name, description, created FROM project WHERE name = ?1 OR id = ?2")
            .bind(name_or_id)
            .bind(as_id(name_or_id))
            .fetch_optional(self.reader())
            .await?;
        Ok(row)
    }

    /// Projects, oldest first, after the given one: all, or those in which `member` has any role.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn projects(
        &self,
        member: Option<PrincipalId>,
        after: Option<ProjectId>,
        limit: u32,
    ) -> Result<Vec<ProjectRow>, StorageError> {
        let rows = sqlx::query_as(
            "SELECT id, name, description, created FROM project WHERE id > ?1 AND
             (?2 IS NULL OR id IN (SELECT project_id FROM principal_role WHERE principal_id = ?2)) ORDER BY id LIMIT ?3",
        )
        .bind(after.map_or(Uuid::nil(), |id| id.0))
        .bind(member.map(|id| id.0))
        .bind(limit)
        .fetch_all(self.reader())
        .await?;
        Ok(rows)
    }

    /// Who has which role in a project: whether it is a group, the name, the role. Sorted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn project_members(&self, project: ProjectId) -> Result<Vec<(bool, String, String)>, StorageError> {
        let rows = sqlx::query_as(
            "SELECT 0, p.name, m.role FROM project_principal m JOIN principal p ON p.id = m.principal_id
             WHERE m.project_id = ?1
             UNION ALL
             SELECT 1, g.name, m.role FROM project_group m JOIN principal_group g ON g.id = m.group_id
             WHERE m.project_id = ?1
             ORDER BY 1, 2, 3",
        )
        .bind(project.0)
        .fetch_all(self.reader())
        .await?;
        Ok(rows)
    }

    /// The roles that a principal has in a project, those of its groups included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn roles_in_project(&self, principal: PrincipalId, project: ProjectId) -> Result<Roles, StorageError> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT role FROM principal_role WHERE project_id = ?1 AND principal_id = ?2")
                .bind(project.0)
                .bind(principal.0)
                .fetch_all(self.reader())
                .await?;
        names.iter().map(|name| role_from(name)).collect()
    }
}

impl WriteTx {
    /// Adds a project.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub async fn add_project(&mut self, row: &ProjectRow) -> Result<(), StorageError> {
        sqlx::query("INSERT INTO project (id, name, description, created) VALUES (?1, ?2, ?3, ?4)")
            .bind(row.id.0)
            .bind(&row.name)
            .bind(&row.description)
            .bind(row.created)
            .execute(self.conn())
            .await
            .map_err(|error| StorageError::from(error).taken("a project of this name"))?;
        Ok(())
    }

    /// Gives a role. Whether it is new.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_project_member(
        &mut self,
        project: ProjectId,
        member: Member,
        role: ProjectRole,
    ) -> Result<bool, StorageError> {
        let (sql, id) = match member {
            Member::Principal(id) => {
                ("INSERT OR IGNORE INTO project_principal (project_id, principal_id, role) VALUES (?1, ?2, ?3)", id.0)
            }
            Member::Group(id) => {
                ("INSERT OR IGNORE INTO project_group (project_id, group_id, role) VALUES (?1, ?2, ?3)", id.0)
            }
        };
        let done = sqlx::query(sql).bind(project.0).bind(id).bind(role.name()).execute(self.conn()).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a role away. Whether it was there.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_project_member(
        &mut self,
        project: ProjectId,
        member: Member,
        role: ProjectRole,
    ) -> Result<bool, StorageError> {
        let (sql, id) = match member {
            Member::Principal(id) => {
                ("DELETE FROM project_principal WHERE project_id = ?1 AND principal_id = ?2 AND role = ?3", id.0)
            }
            Member::Group(id) => {
                ("DELETE FROM project_group WHERE project_id = ?1 AND group_id = ?2 AND role = ?3", id.0)
            }
        };
        let done = sqlx::query(sql).bind(project.0).bind(id).bind(role.name()).execute(self.conn()).await?;
        Ok(done.rows_affected() == 1)
    }
}
