//! Groups of users and service accounts: `/v1/groups`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    admin::{Group, GroupChange, NewGroup, Page},
    rules::{Name, PageLimit},
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, page_of};
use crate::http::PageQuery;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
        .routes(routes!(add_member, remove_member))
}

/// All groups, oldest first.
#[utoipa::path(get, path = "/v1/groups", tag = "groups", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<Group>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<Group>>> {
    caller.may_on_server(Action::ReadEverything)?;
    let limit = query.limit()?;
    let rows = state.store.groups(query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Adds a group without members.
#[utoipa::path(post, path = "/v1/groups", tag = "groups", request_body = NewGroup,
    responses((status = 201, body = Group)))]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(new): Json<NewGroup>,
) -> ApiResult<(StatusCode, Json<Group>)> {
    caller.may_on_server(Action::ManageServer)?;
    Name::check(&new.name).map_err(ApiError::invalid)?;
    let group = state.directory.add_group(caller.into(), new.name).await?;
    Ok((StatusCode::CREATED, Json(group.into())))
}

/// One group.
#[utoipa::path(get, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "name or id")),
    responses((status = 200, body = Group)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(group): Path<String>) -> ApiResult<Json<Group>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(state.directory.group(&group).await?.into()))
}

/// Renames a group.
#[utoipa::path(patch, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "name or id")),
    request_body = GroupChange, responses((status = 200, body = Group)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(group): Path<String>,
    Json(change): Json<GroupChange>,
) -> ApiResult<Json<Group>> {
    caller.may_on_server(Action::ManageServer)?;
    Name::check(&change.name).map_err(ApiError::invalid)?;
    Ok(Json(state.directory.rename_group(caller.into(), group, change.name).await?.into()))
}

/// Removes a group; its members lose the roles that it gave them.
#[utoipa::path(delete, path = "/v1/groups/{group}", tag = "groups",
    params(("group" = String, Path, description = "name or id")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(group): Path<String>) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    state.directory.remove_group(caller.into(), group).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds a member; adding one twice changes nothing.
#[utoipa::path(put, path = "/v1/groups/{group}/members/{principal}", tag = "groups", params(
    ("group" = String, Path, description = "name or id"),
    ("principal" = String, Path, description = "name or id of a user or service account"),
), responses((status = 204, description = "Is a member")))]
async fn add_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((group, principal)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    set_member(&state, caller, group, principal, true).await
}

/// Removes a member; removing one that is none changes nothing.
#[utoipa::path(delete, path = "/v1/groups/{group}/members/{principal}", tag = "groups", params(
    ("group" = String, Path, description = "name or id"),
    ("principal" = String, Path, description = "name or id of a user or service account"),
), responses((status = 204, description = "Is no member")))]
async fn remove_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((group, principal)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    set_member(&state, caller, group, principal, false).await
}

async fn set_member(
    state: &AppState,
    caller: Caller,
    group: String,
    principal: String,
    member: bool,
) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    state.directory.set_group_member(caller.into(), group, principal, member).await?;
    Ok(StatusCode::NO_CONTENT)
}
