//! Projects and their members: `/v1/projects`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    Timestamp,
    admin::{HeldRole, NewProject, NotSeparated, Page, Project, ProjectChange, ProjectMember, Separation},
    ids::ProjectId,
    roles::{MemberKind, ProjectRole},
    rules::{Description, Name, PageLimit},
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, page_of};
use crate::{
    directory,
    http::PageQuery,
    storage::{self, NotSeparatedRow, ProjectRow},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
        .routes(routes!(list_members, add_member, remove_member))
        .routes(routes!(separation))
}

/// Projects, oldest first: all for holders of a system role, else those in which the caller has a role.
#[utoipa::path(get, path = "/v1/projects", tag = "projects", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<Project>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<Project>>> {
    let all = caller.reads_everything();
    let limit = query.limit()?;
    let rows = state.store.projects((!all).then_some(caller.principal), query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        items.push(with_members(&state, row).await?);
    }
    Ok(Json(Page { items, next: page.next }))
}

/// Adds a project without members.
#[utoipa::path(post, path = "/v1/projects", tag = "projects", request_body = NewProject,
    responses((status = 201, body = Project)))]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(new): Json<NewProject>,
) -> ApiResult<(StatusCode, Json<Project>)> {
    caller.may_on_server(Action::ManageServer)?;
    Name::check(&new.name).map_err(ApiError::invalid)?;
    Description::check(&new.description).map_err(ApiError::invalid)?;
    let new = directory::NewProject { name: new.name, description: new.description };
    let row = state.directory.add_project(caller.into(), new).await?;
    Ok((StatusCode::CREATED, Json(with_members(&state, row).await?)))
}

/// One project.
#[utoipa::path(get, path = "/v1/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "name or id")), responses((status = 200, body = Project)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(project): Path<String>) -> ApiResult<Json<Project>> {
    let (row, _) = state.directory.project(&caller, &project, Action::SeeProject).await?;
    Ok(Json(with_members(&state, row).await?))
}

/// Renames a project, describes it anew, or makes its separation of duties strict or not.
#[utoipa::path(patch, path = "/v1/projects/{project}", tag = "projects", request_body = ProjectChange,
    params(("project" = String, Path, description = "name or id")), responses((status = 200, body = Project)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Json(change): Json<ProjectChange>,
) -> ApiResult<Json<Project>> {
    let (row, _) = state.directory.project(&caller, &project, Action::ManageProject).await?;
    let ProjectChange { name, description, strict_separation } = change;
    name.as_deref().map_or(Ok(()), Name::check).map_err(ApiError::invalid)?;
    description.as_deref().map_or(Ok(()), Description::check).map_err(ApiError::invalid)?;
    let change = storage::ProjectChange { name, description, strict_separation };
    let row = state.directory.change_project(caller.into(), row, change).await?;
    Ok(Json(with_members(&state, row).await?))
}

/// Removes a project whose keys are all revoked or destroyed. Its members lose their roles; its keys, and its entries
/// in the record, stay for administrators.
#[utoipa::path(delete, path = "/v1/projects/{project}", tag = "projects",
    params(("project" = String, Path, description = "name or id")), responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(project): Path<String>) -> ApiResult<StatusCode> {
    let (row, _) = state.directory.project(&caller, &project, Action::SeeProject).await?;
    caller.may_on_server(Action::ManageServer)?;
    state.directory.remove_project(caller.into(), row).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A project's members with their roles.
#[utoipa::path(get, path = "/v1/projects/{project}/members", tag = "projects",
    params(("project" = String, Path, description = "name or id")),
    responses((status = 200, body = Vec<ProjectMember>)))]
async fn list_members(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
) -> ApiResult<Json<Vec<ProjectMember>>> {
    let (row, _) = state.directory.project(&caller, &project, Action::SeeProject).await?;
    Ok(Json(members(&state, row.id).await?))
}

/// Gives a role; giving it twice changes nothing.
#[utoipa::path(put, path = "/v1/projects/{project}/members", tag = "projects",
    params(("project" = String, Path, description = "name or id")), request_body = ProjectMember,
    responses((status = 204, description = "Has the role")))]
async fn add_member(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Json(member): Json<ProjectMember>,
) -> ApiResult<StatusCode> {
    set_member(&state, caller, project, member, true).await
}

/// Takes a role away; taking one that is not there changes nothing.
#[utoipa::path(delete, path = "/v1/projects/{project}/members", tag = "projects",
    params(("project" = String, Path, description = "name or id")), request_body = ProjectMember,
    responses((status = 204, description = "Does not have the role")))]
async fn remove_member(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
    Json(member): Json<ProjectMember>,
) -> ApiResult<StatusCode> {
    set_member(&state, caller, project, member, false).await
}

async fn set_member(
    state: &AppState,
    caller: Caller,
    project: String,
    member: ProjectMember,
    has_role: bool,
) -> ApiResult<StatusCode> {
    let (project, _) = state.directory.project(&caller, &project, Action::ManageProject).await?;
    state.directory.set_project_member(caller.into(), project, member, has_role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a key user of the project may have no other role, and who has: for those who see who can use its keys.
#[utoipa::path(get, path = "/v1/projects/{project}/separation", tag = "projects",
    params(("project" = String, Path, description = "name or id")), responses((status = 200, body = Separation)))]
async fn separation(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
) -> ApiResult<Json<Separation>> {
    let (row, _) = state.directory.project(&caller, &project, Action::SeeKeyUsers).await?;
    let found = state.store.not_separated(row.id).await?;
    let not_separated = found.into_iter().map(|found| not_separated(&row, found)).collect();
    Ok(Json(Separation { strict: row.strict_separation, not_separated }))
}

fn not_separated(project: &ProjectRow, row: NotSeparatedRow) -> NotSeparated {
    let held = |(role, group)| HeldRole { project: project.name.clone(), role, group };
    NotSeparated {
        kind: row.kind,
        name: row.name,
        roles: row.roles.into_iter().map(held).collect(),
        system_roles: row.system_roles.iter().collect(),
    }
}

async fn with_members(state: &AppState, row: ProjectRow) -> ApiResult<Project> {
    let members = members(state, row.id).await?;
    Ok(Project {
        id: row.id,
        name: row.name,
        description: row.description,
        members,
        strict_separation: row.strict_separation,
        created: Timestamp::from_unix(row.created),
    })
}

async fn members(state: &AppState, project: ProjectId) -> ApiResult<Vec<ProjectMember>> {
    let rows = state.store.project_members(project).await?;
    let member = |(kind, name, role): (String, String, String)| {
        let kind = MemberKind::ALL.into_iter().find(|known| known.name() == kind)?;
        let role = ProjectRole::ALL.into_iter().find(|r| r.name() == role)?;
        Some(ProjectMember { kind, name, role })
    };
    Ok(rows.into_iter().filter_map(member).collect())
}
