//! What somebody may do, and through what, as the commands that show a user, service account or group print it.

use sealcard_api::admin::{HeldRole, PrincipalAccess};

use crate::cli::output::{clean, count, line, table, warn};

/// Groups, roles and keys.
pub(super) fn print(access: &PrincipalAccess) {
    if !access.groups.is_empty() {
        line("");
        line(format!("In the groups: {}", clean(&access.groups.join(", "))));
    }
    line("");
    print_roles(&access.roles, "No roles.");
    line("");
    let rows: Vec<_> = access
        .keys
        .iter()
        .map(|key| [format!("{}/{}", key.project, key.name), key.state.name().to_owned(), key.fingerprint.to_string()])
        .collect();
    table(["KEY", "STATE", "FINGERPRINT"], &rows, "No keys that they may use.");
    if access.truncated {
        warn(format!("the server lists {} at most, and they can use more", count(access.keys.len(), "key")));
    }
}

/// Roles, and the groups that give them.
pub(super) fn print_roles(roles: &[HeldRole], if_empty: &str) {
    let rows: Vec<_> = roles
        .iter()
        .map(|held| {
            let through = held.group.as_ref().map_or_else(|| "-".to_owned(), |group| format!("group {group}"));
            [held.project.clone(), held.role.name().to_owned(), through]
        })
        .collect();
    table(["PROJECT", "ROLE", "THROUGH"], &rows, if_empty);
}
