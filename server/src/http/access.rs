//! Who can do what, and through what: `/v1/users/{user}/access`, `/v1/service-accounts/{account}/access`,
//! `/v1/groups/{group}/access`, `/v1/keys/{key}/users`.

use axum::extract::State;
use sealcard_api::{
    Timestamp,
    admin::{GroupAccess, HeldRole, PrincipalAccess, UsableKey},
    ids::PrincipalId,
    keys::{KeyUser, KeyUsers},
    problem::ProblemCode,
    roles::{PrincipalKind, ProjectRole},
    rules::KeyPathName,
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path,
    keys::{KEY_PARAMETER, to_key},
};
use crate::{
    limits,
    storage::{HeldRoleRow, KeyFilter, KeyUserRow},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(of_user))
        .routes(routes!(of_service_account))
        .routes(routes!(of_group))
        .routes(routes!(key_users))
}

/// A user's groups, roles and keys: for the user and for holders of a system role.
#[utoipa::path(get, path = "/v1/users/{user}/access", tag = "users",
    params(("user" = String, Path, description = "name or id")), responses((status = 200, body = PrincipalAccess)))]
async fn of_user(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<String>,
) -> ApiResult<Json<PrincipalAccess>> {
    let own = user == caller.name || user == caller.principal.to_string();
    caller.may_on_server(if own { Action::LookAfterOneself } else { Action::ReadEverything })?;
    let row = state.directory.user(&user).await?;
    access_of(&state, row.id, caller.received).await
}

/// A service account's groups, roles and keys.
#[utoipa::path(get, path = "/v1/service-accounts/{account}/access", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), responses((status = 200, body = PrincipalAccess)))]
async fn of_service_account(
    State(state): State<AppState>,
    caller: Caller,
    Path(account): Path<String>,
) -> ApiResult<Json<PrincipalAccess>> {
    caller.may_on_server(Action::ReadEverything)?;
    let row = state.directory.service_account(&account).await?;
    access_of(&state, row.id, caller.received).await
}

async fn access_of(state: &AppState, principal: PrincipalId, now: Timestamp) -> ApiResult<Json<PrincipalAccess>> {
    let rows = state.store.roles_of(principal).await?;
    // One more, to know whether there are more.
    let filter = KeyFilter { usable_by: Some(principal), limit: limits::MAX_USABLE_KEYS + 1, ..KeyFilter::default() };
    let mut keys = state.store.keys(filter).await?;
    let truncated = keys.len() > limits::MAX_USABLE_KEYS as usize;
    keys.truncate(limits::MAX_USABLE_KEYS as usize);
    let keys = keys.into_iter().map(|row| {
        let key = to_key(row, now);
        UsableKey { id: key.id, project: key.project, name: key.name, fingerprint: key.fingerprint, state: key.state }
    });
    Ok(Json(PrincipalAccess {
        groups: state.store.groups_of(principal).await?,
        roles: rows.into_iter().map(held_role).collect::<ApiResult<_>>()?,
        keys: keys.collect(),
        truncated,
    }))
}

/// The roles that a group gives its members.
#[utoipa::path(get, path = "/v1/groups/{group}/access", tag = "groups",
    params(("group" = String, Path, description = "name or id")), responses((status = 200, body = GroupAccess)))]
async fn of_group(
    State(state): State<AppState>,
    caller: Caller,
    Path(group): Path<String>,
) -> ApiResult<Json<GroupAccess>> {
    caller.may_on_server(Action::ReadEverything)?;
    let row = state.store.group(&group).await?;
    let row = row.ok_or_else(|| ApiError::not_found(format!("There is no group {group}.")))?;
    let rows = state.store.roles_of_group(row.id).await?;
    Ok(Json(GroupAccess { roles: rows.into_iter().map(held_role).collect::<ApiResult<_>>()? }))
}

fn held_role(row: HeldRoleRow) -> ApiResult<HeldRole> {
    let HeldRoleRow { project, role, group } = row;
    let role = ProjectRole::ALL.into_iter().find(|known| known.name() == role);
    Ok(HeldRole { project, role: role.ok_or_else(|| ApiError::new(ProblemCode::Internal))?, group })
}

/// Who can use a key: everyone with the role key-user in its project, and through which groups.
#[utoipa::path(get, path = "/v1/keys/{key}/users", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = KeyUsers)))]
async fn key_users(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<Json<KeyUsers>> {
    let (key, roles) = state.keys.find(&caller, &key).await?;
    caller.may(roles, Action::SeeKeyUsers)?;
    let mut users: Vec<KeyUser> = Vec::new();
    // Rows of one name follow one another.
    for KeyUserRow { kind, name, disabled, group } in state.store.key_users(key.project_id).await? {
        if users.last().is_none_or(|last| last.name != name) {
            let kind = if kind == "user" { PrincipalKind::User } else { PrincipalKind::ServiceAccount };
            users.push(KeyUser { kind, name, disabled, direct: false, groups: Vec::new() });
        }
        let Some(user) = users.last_mut() else { continue };
        match group {
            Some(group) => user.groups.push(group),
            None => user.direct = true,
        }
    }
    Ok(Json(KeyUsers { users }))
}
