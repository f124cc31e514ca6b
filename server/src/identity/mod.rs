//! Users, service accounts, groups and projects: what is true of them beyond their rows.

mod names;

use sealcard_api::ids::{PrincipalId, ProjectId};
use sealcard_policy::Roles;

pub use names::{NAME_RULE, check_description, check_key_name, check_label, check_name};

use crate::storage::{StorageError, Store};

/// The roles that a principal has in a project, those of its groups included. One query.
///
/// # Errors
/// If the database does not answer.
pub async fn roles_in_project(
    store: &Store,
    principal: PrincipalId,
    project: ProjectId,
) -> Result<Roles, StorageError> {
    store.roles_in_project(principal, project).await
}
