//! Whether the server lives and can work, and who it is: `/healthz`, `/readyz`, `/v1/server`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sealcard_api::{admin::Readiness, grants::ServerInfo};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{AppState, Caller, Json};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(server))
}

/// The process lives and answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 204, description = "It lives")))]
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether the database can be written and the keys of at least one environment can be used, as of the last second or
/// two. Needs no grant; with that of a holder of a system role the reasons have names and
/// causes.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Readiness, description = "Ready"),
    (status = 503, body = Readiness, description = "Not ready, and why"),
))]
async fn readyz(State(state): State<AppState>, caller: Option<Caller>) -> Response {
    let told_all = caller.is_some_and(|caller| caller.reads_everything());
    let readiness = state.telemetry.health().get().await.readiness(told_all);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Who this server is. Needs no grant.
#[utoipa::path(get, path = "/v1/server", tag = "health", responses((status = 200, body = ServerInfo)))]
async fn server(State(state): State<AppState>) -> Json<ServerInfo> {
    Json(ServerInfo {
        server_id: state.server_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        trial: state.config.trial,
    })
}
