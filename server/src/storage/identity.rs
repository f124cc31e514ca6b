//! Principals, groups, projects, memberships, grants and service tokens.

mod access;
mod grants;
mod groups;
mod principals;
mod projects;
mod standing;
mod tokens;

pub use access::{HeldRoleRow, KeyUserRow};
pub use grants::{GrantFilter, GrantRow, HeldGrant, NewGrantRow};
pub use groups::GroupRow;
pub use principals::{PasswordRow, PrincipalChange, PrincipalRow};
pub use projects::{Member, ProjectRow};
pub use standing::Standing;
pub use tokens::{LoginToken, ServiceTokenRow};

use sealcard_policy::{PrincipalKind, Role, Roles};

use super::StorageError;

/// The name in the database.
const fn kind_name(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "user",
        PrincipalKind::ServiceAccount => "service-account",
    }
}

fn kind_from(name: &str) -> Result<PrincipalKind, StorageError> {
    match name {
        "user" => Ok(PrincipalKind::User),
        "service-account" => Ok(PrincipalKind::ServiceAccount),
        other => Err(StorageError::Damaged(format!("a principal of the kind {other:?}"))),
    }
}

fn role_from(name: &str) -> Result<Role, StorageError> {
    match name {
        "owner" => Ok(Role::Owner),
        "key-user" => Ok(Role::KeyUser),
        "auditor" => Ok(Role::Auditor),
        other => Err(StorageError::Damaged(format!("the role {other:?}"))),
    }
}

/// The roles in a list with commas.
pub(super) fn roles_from(list: &str) -> Roles {
    list.split(',').filter_map(|name| Role::ALL.into_iter().find(|role| role.to_string() == name)).collect()
}

/// What is addressed by a name or an id.
pub(super) fn as_id(name_or_id: &str) -> Option<uuid::Uuid> {
    uuid::Uuid::try_parse(name_or_id).ok()
}
