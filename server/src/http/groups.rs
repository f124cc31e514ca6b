//! Groups of users and service accounts: `/v1/groups`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    Timestamp,
    admin::{Group, GroupChange, NewGroup, Page},
    ids::GroupId,
    problem::ProblemCode,
    rules::{Name, PageLimit},
};
use sealcard_policy::Action;
use sealcard_record::{
    Event, Named,
    event::{GroupAct, GroupChanged, GroupMemberAct},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, page_of, projects::expect_no_self_grant};
use crate::{
    http::PageQuery,
    storage::{StorageError, WriteTx},
};

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
    caller.may_on_server(Action::ManageServer)?;
    let limit = query.limit()?;
    let rows = state.store.groups(query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Adds a group without members.
#[utoipa::path(post, path = "/v1/groups", tag = "groups", request_body = NewGroup, responses((status = 201, body = Group)))]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(new): Json<NewGroup>,
) -> ApiResult<(StatusCode, Json<Group>)> {
    caller.may_on_server(Action::ManageServer)?;
    Name::check(&new.name).map_err(ApiError::invalid)?;
    let group = Group { id: GroupId::new(), name: new.name, members: Vec::new(), created: Timestamp::now() };
    let stored = group.clone();
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            tx.add_group(stored.id, &stored.name, stored.created.unix())?;
            let group = Named::new(stored.id, stored.name);
            tx.append_record(caller.draft(Event::GroupAdded(GroupAct { group })));
            Ok(())
        })
        .await?;
    Ok((StatusCode::CREATED, Json(group)))
}

/// One group.
#[utoipa::path(get, path = "/v1/groups/{group}", tag = "groups", params(("group" = String, Path, description = "name or id")),
    responses((status = 200, body = Group)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(group): Path<String>) -> ApiResult<Json<Group>> {
    caller.may_on_server(Action::ManageServer)?;
    let row = state.store.group(&group).await?;
    Ok(Json(row.ok_or_else(|| ApiError::not_found(format!("There is no group {group}.")))?.into()))
}

/// Renames a group.
#[utoipa::path(patch, path = "/v1/groups/{group}", tag = "groups", params(("group" = String, Path, description = "name or id")),
    request_body = GroupChange, responses((status = 200, body = Group)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(group): Path<String>,
    Json(change): Json<GroupChange>,
) -> ApiResult<Json<Group>> {
    caller.may_on_server(Action::ManageServer)?;
    Name::check(&change.name).map_err(ApiError::invalid)?;
    let id = state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let group = find_in(tx, &group)?;
            let id = group.id;
            tx.rename_group(id, &change.name)?;
            tx.append_record(caller.draft(Event::GroupChanged(GroupChanged { group, new_name: change.name })));
            Ok::<_, ApiError>(id)
        })
        .await?;
    let row = state.store.group(&id.to_string()).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(Json(row.into()))
}

/// Removes a group; its members lose the roles that it gave them.
#[utoipa::path(delete, path = "/v1/groups/{group}", tag = "groups", params(("group" = String, Path, description = "name or id")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(group): Path<String>) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let group = find_in(tx, &group)?;
            tx.remove_group(group.id)?;
            tx.bump_registry()?;
            tx.append_record(caller.draft(Event::GroupRemoved(GroupAct { group })));
            Ok::<_, ApiError>(StatusCode::NO_CONTENT)
        })
        .await
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
    change_member(&state, caller, group, principal, true).await
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
    change_member(&state, caller, group, principal, false).await
}

async fn change_member(
    state: &AppState,
    caller: Caller,
    group: String,
    principal: String,
    add: bool,
) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    let allowed = state.config.policy.allow_self_grants;
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let before = tx.usable_projects(caller.principal)?;
            let group = find_in(tx, &group)?;
            let row = tx.find_principal(&principal)?;
            let row =
                row.ok_or_else(|| ApiError::not_found(format!("There is no user or service account {principal}.")))?;
            let changed =
                if add { tx.add_group_member(group.id, row.id)? } else { tx.remove_group_member(group.id, row.id)? };
            if changed {
                expect_no_self_grant(tx, &caller, before, allowed)?;
                tx.bump_registry()?;
                let act = GroupMemberAct { group, principal: row.named() };
                let event = if add { Event::GroupMemberAdded(act) } else { Event::GroupMemberRemoved(act) };
                tx.append_record(caller.draft(event));
            }
            Ok::<_, ApiError>(StatusCode::NO_CONTENT)
        })
        .await
}

/// The group of this name or id.
pub(super) fn find_in(tx: &mut WriteTx, group: &str) -> ApiResult<Named<GroupId>> {
    match tx.find_group(group) {
        Err(StorageError::NotFound(_)) => Err(ApiError::not_found(format!("There is no group {group}."))),
        found => Ok(found?),
    }
}
