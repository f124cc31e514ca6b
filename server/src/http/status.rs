//! How the server is, for administrators: `/v1/status`.

use axum::extract::State;
use sealcard_api::status::ServerStatus;
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, AppState, Caller, Json};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What an administrator needs to know of the server: what needs attention, environments, record, requests, keys and
/// certificates that end. For holders of a system role.
#[utoipa::path(get, path = "/v1/status", tag = "health", responses((status = 200, body = ServerStatus)))]
async fn show(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<ServerStatus>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(state.telemetry.status().await?))
}
