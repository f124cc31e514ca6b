//! Who approves: `/v1/keys/{key}/flows` and `/v1/projects/{project}/flows`.

use axum::extract::State;
use sealcard_api::{flows::Flows, rules::KeyPathName};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, AppState, Caller, Json, Path, keys::KEY_PARAMETER};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(of_key)).routes(routes!(of_project))
}

/// Who approves the uses of a key, by all rules that hold for it.
#[utoipa::path(get, path = "/v1/keys/{key}/flows", tag = "approvals",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Flows)))]
async fn of_key(State(state): State<AppState>, caller: Caller, Path(name): Path<String>) -> ApiResult<Json<Flows>> {
    let (key, _) = state.keys.find(&caller, &name).await?;
    let flows = state.requests.approvals.flows_of_key(&caller, (key.id, key.project_id)).await?;
    Ok(Json(Flows { place: format!("{}/{}", key.project, key.name), flows }))
}

/// Who approves the changes of a project, and how long they take.
#[utoipa::path(get, path = "/v1/projects/{project}/flows", tag = "approvals",
    params(("project" = String, Path, description = "name or id")), responses((status = 200, body = Flows)))]
async fn of_project(
    State(state): State<AppState>,
    caller: Caller,
    Path(project): Path<String>,
) -> ApiResult<Json<Flows>> {
    let (row, _) = state.directory.project(&caller, &project, Action::SeeProject).await?;
    let flows = state.requests.approvals.flows_of_changes(&row, &state.config.changes).await?;
    Ok(Json(Flows { place: row.name, flows }))
}
