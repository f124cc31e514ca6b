//! Who can do what, and through what: for people who look after rights.

use sealcard_api::ids::{EnvironmentId, GroupId, PrincipalId, ProjectId};
use uuid::Uuid;

use super::super::{
    StorageError, Store,
    sql::{FromRow, Row, params, principal_role},
};

/// A role that somebody holds in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRoleRow {
    /// The project's name.
    pub project: String,
    /// The role.
    pub role: String,
    /// The group that gives it; none if it is the holder's own.
    pub group: Option<String>,
}

impl FromRow for HeldRoleRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { project: row.get(0)?, role: row.get(1)?, group: row.get(2)? })
    }
}

/// One way in which a principal comes to use a project's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUserRow {
    /// `user` or `service-account`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Whether an administrator stopped it.
    pub disabled: bool,
    /// The group that gives the role; none if it is the principal's own.
    pub group: Option<String>,
}

impl FromRow for KeyUserRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self { kind: row.get(0)?, name: row.get(1)?, disabled: row.get(2)?, group: row.get(3)? })
    }
}

const KEY_USERS: &str = "SELECT p.kind, p.name, p.disabled, CAST(NULL AS TEXT) AS via
     FROM project_principal m JOIN principal p ON p.id = m.principal_id
     WHERE m.project_id = $1 AND m.role = 'key-user'
     UNION ALL
     SELECT p.kind, p.name, p.disabled, g.name
     FROM project_group m JOIN principal_group g ON g.id = m.group_id
     JOIN group_member gm ON gm.group_id = g.id JOIN principal p ON p.id = gm.principal_id
     WHERE m.project_id = $1 AND m.role = 'key-user'
     ORDER BY 2, 4";

const ROLES_OF_PRINCIPAL: &str = "SELECT j.name, m.role, CAST(NULL AS TEXT) AS via
     FROM project_principal m JOIN project j ON j.id = m.project_id WHERE m.principal_id = $1
     UNION ALL
     SELECT j.name, m.role, g.name
     FROM group_member gm JOIN principal_group g ON g.id = gm.group_id
     JOIN project_group m ON m.group_id = g.id JOIN project j ON j.id = m.project_id
     WHERE gm.principal_id = $1
     ORDER BY 1, 2, 3";

const ROLES_OF_GROUP: &str = "SELECT j.name, m.role, CAST(NULL AS TEXT) AS via
     FROM project_group m JOIN project j ON j.id = m.project_id WHERE m.group_id = $1 ORDER BY 1, 2";

const GROUPS_OF: &str = "SELECT g.name FROM group_member m JOIN principal_group g ON g.id = m.group_id
     WHERE m.principal_id = $1 ORDER BY 1";

const ENVIRONMENTS_OF: &str = concat!(
    "SELECT DISTINCT k.environment_id FROM signing_key k JOIN ",
    principal_role!(),
    " r ON r.project_id = k.project_id WHERE r.principal_id = $1"
);

const OWNED: &str =
    concat!("SELECT count(*) FROM ", principal_role!(), " r WHERE r.principal_id = $1 AND r.role = 'owner'");

impl Store {
    /// Everyone who has the role key-user in a project, sorted by name: a row for each way to it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn key_users(&self, project: ProjectId) -> Result<Vec<KeyUserRow>, StorageError> {
        self.reader().all(KEY_USERS, params![project.0]).await
    }

    /// The roles of a user or service account, its groups' roles included, sorted by project.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn roles_of(&self, principal: PrincipalId) -> Result<Vec<HeldRoleRow>, StorageError> {
        self.reader().all(ROLES_OF_PRINCIPAL, params![principal.0]).await
    }

    /// The roles that a group gives, sorted by project.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn roles_of_group(&self, group: GroupId) -> Result<Vec<HeldRoleRow>, StorageError> {
        self.reader().all(ROLES_OF_GROUP, params![group.0]).await
    }

    /// The names of the groups that a user or service account is in.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn groups_of(&self, principal: PrincipalId) -> Result<Vec<String>, StorageError> {
        let names: Vec<(String,)> = self.reader().all(GROUPS_OF, params![principal.0]).await?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    /// The environments with a key of a project in which the principal has a role, and whether it owns any project.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn environments_of(&self, principal: PrincipalId) -> Result<(Vec<EnvironmentId>, bool), StorageError> {
        let with_keys: Vec<(Uuid,)> = self.reader().all(ENVIRONMENTS_OF, params![principal.0]).await?;
        let owned: Option<(i64,)> = self.reader().optional(OWNED, params![principal.0]).await?;
        let with_keys = with_keys.into_iter().map(|(id,)| EnvironmentId(id)).collect();
        Ok((with_keys, owned.is_some_and(|(owned,)| owned > 0)))
    }
}
