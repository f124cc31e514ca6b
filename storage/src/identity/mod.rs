//! Principals, groups, projects, memberships, grants and service tokens.

mod access;
mod grants;
mod groups;
mod principals;
mod projects;
mod separation;
mod tokens;

pub use access::{HeldRoleRow, KeyUserRow};
pub use grants::{GrantFilter, GrantRow, NewGrantRow, Refreshed};
pub use groups::GroupRow;
pub use principals::{PasswordRow, PrincipalChange, PrincipalRow};
pub use projects::{Member, ProjectChange, ProjectRow};
pub use separation::NotSeparatedRow;
pub use tokens::{LoginToken, ServiceTokenRow};

use sealcard_api::roles::{PrincipalKind, ProjectRole, Roles, SystemRole, SystemRoles};

use super::{StorageError, sql::Row};

pub(super) fn kind_from(name: &str) -> Result<PrincipalKind, StorageError> {
    let kind = [PrincipalKind::User, PrincipalKind::ServiceAccount].into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| StorageError::Damaged(format!("a principal of the kind {name:?}")))
}

fn role_from(name: &str) -> Result<ProjectRole, StorageError> {
    let role = ProjectRole::ALL.into_iter().find(|role| role.name() == name);
    role.ok_or_else(|| StorageError::Damaged(format!("the role {name:?}")))
}

/// The roles in a list with commas.
pub(super) fn roles_from(list: &str) -> Roles {
    list.split(',').filter_map(|name| ProjectRole::ALL.into_iter().find(|role| role.name() == name)).collect()
}

/// The system roles in three columns that follow one another: administrator, security officer, auditor.
pub(super) fn system_roles_from(row: &Row<'_>, first: usize) -> Result<SystemRoles, StorageError> {
    let mut roles = SystemRoles::NONE;
    for (at, role) in (first..).zip(SystemRole::ALL) {
        if row.get(at)? {
            roles = roles.with(role);
        }
    }
    Ok(roles)
}

/// What is addressed by a name or an id.
pub(super) fn as_id(name_or_id: &str) -> Option<uuid::Uuid> {
    uuid::Uuid::try_parse(name_or_id).ok()
}
