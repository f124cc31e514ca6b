//! Key users who have other roles too.

use sealcard_api::{
    ids::{PrincipalId, ProjectId},
    roles::{PrincipalKind, ProjectRole, Roles, SystemRoles},
};
use uuid::Uuid;

use super::{
    super::{
        StorageError, Store, WriteTx,
        sql::{FromRow, Row, params, principal_role},
    },
    kind_from, role_from, system_roles_from,
};

/// A key user of a project who has another role in it, or a system role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSeparatedRow {
    /// The id.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
    /// All its roles in the project, and the group that gives each; none if it is the principal's own.
    pub roles: Vec<(ProjectRole, Option<String>)>,
    /// Its system roles.
    pub system_roles: SystemRoles,
}

impl NotSeparatedRow {
    /// Its roles in the project.
    #[must_use]
    pub fn role_set(&self) -> Roles {
        self.roles.iter().map(|(role, _)| *role).collect()
    }
}

/// One role of such a key user.
struct Held {
    of: NotSeparatedRow,
}

impl FromRow for Held {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let role = role_from(&row.get::<String>(6)?)?;
        let of = NotSeparatedRow {
            id: PrincipalId(row.get::<Uuid>(0)?),
            kind: kind_from(&row.get::<String>(1)?)?,
            name: row.get(2)?,
            system_roles: system_roles_from(row, 3)?,
            roles: vec![(role, row.get(7)?)],
        };
        Ok(Self { of })
    }
}

/// A row for each role, and each way to it, of the key users who have more than this role.
const NOT_SEPARATED: &str = concat!(
    "SELECT p.id, p.kind, p.name, p.administrator, p.security_officer, p.auditor, h.role, h.via
     FROM (SELECT m.principal_id, m.role, CAST(NULL AS TEXT) AS via FROM project_principal m WHERE m.project_id = $1
           UNION ALL
           SELECT gm.principal_id, m.role, g.name FROM project_group m
           JOIN principal_group g ON g.id = m.group_id JOIN group_member gm ON gm.group_id = g.id
           WHERE m.project_id = $1) h
     JOIN principal p ON p.id = h.principal_id
     WHERE p.id IN (SELECT r.principal_id FROM ",
    principal_role!(),
    " r WHERE r.project_id = $1 AND r.role = 'key-user')
         AND (p.administrator OR p.security_officer OR p.auditor OR p.id IN (SELECT r.principal_id
              FROM ",
    principal_role!(),
    " r WHERE r.project_id = $1 AND r.role <> 'key-user'))
     ORDER BY p.name, h.role, coalesce(h.via, '')"
);

/// One entry for each principal. Rows of one principal follow one another.
fn by_principal(rows: Vec<Held>) -> Vec<NotSeparatedRow> {
    let mut all: Vec<NotSeparatedRow> = Vec::new();
    for Held { of } in rows {
        match all.last_mut() {
            Some(last) if last.id == of.id => last.roles.extend(of.roles),
            _ => all.push(of),
        }
    }
    all
}

impl Store {
    /// The key users of a project who have another role in it, or a system role, sorted by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn not_separated(&self, project: ProjectId) -> Result<Vec<NotSeparatedRow>, StorageError> {
        Ok(by_principal(self.reader().all(NOT_SEPARATED, params![project.0]).await?))
    }
}

impl WriteTx {
    /// As [`Store::not_separated`], as this transaction sees it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn not_separated(&mut self, project: ProjectId) -> Result<Vec<NotSeparatedRow>, StorageError> {
        Ok(by_principal(self.conn().all(NOT_SEPARATED, params![project.0])?))
    }

    /// Whether a key user of the project may have no other role.
    ///
    /// # Errors
    /// If the database fails.
    pub fn strictly_separated(&mut self, project: ProjectId) -> Result<bool, StorageError> {
        let strict =
            self.conn().scalar::<bool>("SELECT strict_separation FROM project WHERE id = $1", params![project.0]);
        Ok(strict?.unwrap_or_default())
    }
}
