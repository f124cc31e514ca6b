//! Whether the server lives and can work, and who it is: `/healthz`, `/readyz`, `/v1/server`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sealcard_api::{admin::EnvironmentState, grants::ServerInfo};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{AppState, Json};
use crate::storage::{EnvironmentRow, StorageError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(server))
}

/// Answer of `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(super) struct Readiness {
    /// Whether keys can be used.
    ready: bool,
    /// What stands against it or can't be used at present, one sentence each.
    reasons: Vec<String>,
}

/// The process lives and answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 204, description = "It lives")))]
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether the database can be written and the keys of at least one environment can be used.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Readiness, description = "Ready"),
    (status = 503, body = Readiness, description = "Not ready, and why"),
))]
async fn readyz(State(state): State<AppState>) -> Response {
    let mut reasons = Vec::new();
    let mut usable = true;
    if let Err(error) = state.store.check().await {
        reasons.push(format!("The database can't be read: {error}."));
    }
    let written: Result<(), StorageError> = state.store.write(|_| Box::pin(async { Ok(()) })).await;
    if let Err(error) = written {
        reasons.push(format!("The database can't be written: {error}."));
    }
    reasons.extend(state.disk.reason());
    let database = reasons.is_empty();
    reasons.extend(clock_reason(&state).await);
    if let Ok(environments) = state.store.environments().await {
        let all = environments.len();
        let before = reasons.len();
        for environment in environments {
            reasons.extend(signer_reason(&state, environment).await);
        }
        // One token that is away must not take the other environments' keys from their users.
        usable = all == 0 || reasons.len() - before < all;
    }
    let ready = database && usable;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons })).into_response()
}

/// Signatures that are dated before others are worth a warning, but a clock that was ahead once must not stop the server.
async fn clock_reason(state: &AppState) -> Option<String> {
    let behind = state.store.clock_behind().await.ok().flatten()?;
    Some(format!("The server's clock is {behind} seconds behind the newest entry of the record; set it right."))
}

async fn signer_reason(state: &AppState, environment: EnvironmentRow) -> Option<String> {
    let (signer, note) = match state.signers.get(environment.id) {
        Some(signer) => (signer.state().await, signer.note()),
        None => (EnvironmentState::Unavailable, None),
    };
    let why = note.map_or_else(String::new, |note| format!(": {note}"));
    let name = environment.name;
    match signer {
        EnvironmentState::Ready => None,
        EnvironmentState::Sealed => Some(format!("The environment {name} is sealed: run sealcard-signer unseal.")),
        EnvironmentState::TokenAbsent => Some(format!("The token of the environment {name} is not there.")),
        EnvironmentState::Unavailable => Some(format!("The signer of the environment {name} does not answer{why}.")),
    }
}

/// Who this server is. Needs no grant.
#[utoipa::path(get, path = "/v1/server", tag = "health", responses((status = 200, body = ServerInfo)))]
async fn server(State(state): State<AppState>) -> Json<ServerInfo> {
    Json(ServerInfo { server_id: state.server_id, version: env!("CARGO_PKG_VERSION").to_owned() })
}
