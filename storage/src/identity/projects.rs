//! Projects and who has which role in them.

use sealcard_api::roles::Roles;
use sealcard_api::{
    ids::{GroupId, PrincipalId, ProjectId},
    roles::ProjectRole,
};
use sealcard_record::{Named, event};
use uuid::Uuid;

use super::{
    super::{
        StorageError, Store, WriteTx,
        sql::{FromRow, Row, params, principal_role},
    },
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
    /// Whether a key user may have no other role.
    pub strict_separation: bool,
    /// Unix seconds.
    pub created: i64,
}

impl ProjectRow {
    /// As the record names it.
    #[must_use]
    pub fn named(&self) -> Named<ProjectId> {
        Named::new(self.id, &self.name)
    }
}

/// What changes of a project; `None` stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProjectChange {
    /// A new name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether a key user may have no other role.
    pub strict_separation: Option<bool>,
}

/// What a role is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A user or service account.
    Principal(PrincipalId),
    /// Each member of a group.
    Group(GroupId),
}

impl From<&event::Member> for Member {
    fn from(member: &event::Member) -> Self {
        match member {
            event::Member::Principal(principal) => Self::Principal(principal.id),
            event::Member::Group(group) => Self::Group(group.id),
        }
    }
}

impl FromRow for ProjectRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: ProjectId(row.get(0)?),
            name: row.get(1)?,
            description: row.get(2)?,
            strict_separation: row.get(3)?,
            created: row.get(4)?,
        })
    }
}

impl Store {
    /// One project by name or id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn project(&self, name_or_id: &str) -> Result<Option<ProjectRow>, StorageError> {
        let row = self
            .reader()
            .optional(
                "SELECT id, name, description, strict_separation, created FROM project
                 WHERE (name = $1 OR id = $2) AND removed IS NULL",
                params![name_or_id, as_id(name_or_id)],
            )
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
        const PROJECTS: &str = concat!(
            "SELECT id, name, description, strict_separation, created FROM project WHERE id > $1 AND removed IS NULL AND
             (id IN (SELECT r.project_id FROM ",
            principal_role!(),
            " r WHERE r.principal_id = $2) OR $2 IS NULL)
             ORDER BY id LIMIT $3"
        );
        let after = after.map_or(Uuid::nil(), |id| id.0);
        self.reader().all(PROJECTS, params![after, member.map(|id| id.0), i64::from(limit)]).await
    }

    /// Who has which role in a project: kind (`user`, `service-account` or `group`), name, role. Sorted.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn project_members(&self, project: ProjectId) -> Result<Vec<(String, String, String)>, StorageError> {
        let rows = self
            .reader()
            .all(
                "SELECT p.kind, p.name, m.role FROM project_principal m JOIN principal p ON p.id = m.principal_id
             WHERE m.project_id = $1
             UNION ALL
             SELECT 'group', g.name, m.role FROM project_group m JOIN principal_group g ON g.id = m.group_id
             WHERE m.project_id = $1
             ORDER BY 2, 1, 3",
                params![project.0],
            )
            .await?;
        Ok(rows)
    }

    /// The roles that a principal has in a project, those of its groups included.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn roles_in_project(&self, principal: PrincipalId, project: ProjectId) -> Result<Roles, StorageError> {
        let names: Vec<(String,)> = self
            .reader()
            .all(
                concat!("SELECT r.role FROM ", principal_role!(), " r WHERE r.project_id = $1 AND r.principal_id = $2"),
                params![project.0, principal.0],
            )
            .await?;
        names.iter().map(|(name,)| role_from(name)).collect()
    }
}

impl WriteTx {
    /// Adds a project.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn add_project(&mut self, row: &ProjectRow) -> Result<(), StorageError> {
        self.conn()
            .execute(
                "INSERT INTO project (id, name, description, strict_separation, created) VALUES ($1, $2, $3, $4, $5)",
                params![row.id.0, &row.name, &row.description, row.strict_separation, row.created],
            )
            .map_err(|error| error.taken(format!("a project named {} already exists", row.name)))?;
        Ok(())
    }

    /// Changes a project; `None` stays.
    ///
    /// # Errors
    /// [`StorageError::Taken`], or if the database fails.
    pub fn change_project(&mut self, id: ProjectId, change: &ProjectChange) -> Result<(), StorageError> {
        const CHANGE: &str = "UPDATE project SET name = COALESCE($2, name), description = COALESCE($3, description),
                strict_separation = COALESCE($4, strict_separation) WHERE id = $1";
        let ProjectChange { name, description, strict_separation } = change;
        self.conn()
            .execute(CHANGE, params![id.0, name.as_deref(), description.as_deref(), *strict_separation])
            .map_err(|error| {
                error.taken(format!("a project named {} already exists", name.as_deref().unwrap_or_default()))
            })?;
        Ok(())
    }

    /// Removes a project: its members go, its name is free again, and what its rules name too. The row stays, since keys
    /// that are revoked or destroyed and the record refer to it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn remove_project(&mut self, id: ProjectId) -> Result<(), StorageError> {
        let now = self.now().unix();
        self.conn().execute("UPDATE project SET removed = $2 WHERE id = $1", params![id.0, now])?;
        for sql in
            ["DELETE FROM project_principal WHERE project_id = $1", "DELETE FROM project_group WHERE project_id = $1"]
        {
            self.conn().execute(sql, params![id.0])?;
        }
        self.forget_mentions_of(id)
    }

    /// Names of the project's keys that are neither revoked nor destroyed.
    ///
    /// # Errors
    /// If the database fails.
    pub fn living_keys(&mut self, project: ProjectId) -> Result<Vec<String>, StorageError> {
        const LIVING: &str = "SELECT name FROM signing_key
             WHERE project_id = $1 AND revoked IS NULL AND destroyed IS NULL ORDER BY name";
        let names: Vec<(String,)> = self.conn().all(LIVING, params![project.0])?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// In how many projects a principal has the role key-user, itself or through a group.
    ///
    /// # Errors
    /// If the database fails.
    pub fn usable_projects(&mut self, principal: PrincipalId) -> Result<i64, StorageError> {
        const USABLE: &str = concat!(
            "SELECT count(DISTINCT r.project_id) FROM ",
            principal_role!(),
            " r WHERE r.principal_id = $1 AND r.role = 'key-user'"
        );
        Ok(self.conn().scalar::<i64>(USABLE, params![principal.0])?.unwrap_or_default())
    }

    /// Gives a role. Whether it is new.
    ///
    /// # Errors
    /// If the database fails.
    pub fn add_project_member(
        &mut self,
        project: ProjectId,
        member: Member,
        role: ProjectRole,
    ) -> Result<bool, StorageError> {
        let (sql, id) = match member {
            Member::Principal(id) => (
                "INSERT INTO project_principal (project_id, principal_id, role) VALUES ($1, $2, $3)
                 ON CONFLICT DO NOTHING",
                id.0,
            ),
            Member::Group(id) => (
                "INSERT INTO project_group (project_id, group_id, role) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                id.0,
            ),
        };
        let done = self.conn().execute(sql, params![project.0, id, role.name()])?;
        Ok(done == 1)
    }

    /// Takes a role away. Whether it was there.
    ///
    /// # Errors
    /// If the database fails.
    pub fn remove_project_member(
        &mut self,
        project: ProjectId,
        member: Member,
        role: ProjectRole,
    ) -> Result<bool, StorageError> {
        let (sql, id) = match member {
            Member::Principal(id) => {
                ("DELETE FROM project_principal WHERE project_id = $1 AND principal_id = $2 AND role = $3", id.0)
            }
            Member::Group(id) => {
                ("DELETE FROM project_group WHERE project_id = $1 AND group_id = $2 AND role = $3", id.0)
            }
        };
        let done = self.conn().execute(sql, params![project.0, id, role.name()])?;
        Ok(done == 1)
    }
}
