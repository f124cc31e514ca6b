//! Whether the server lives and can work, and who it is: `/healthz`, `/readyz`, `/v1/server`.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sealcard_api::{
    Timestamp,
    admin::{EnvironmentState, Readiness},
    grants::ServerInfo,
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{AppState, Caller, Json, error::sentence};
use crate::storage::{EnvironmentRow, StorageError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(server))
}

/// The process lives and answers.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 204, description = "It lives")))]
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether the database can be written and the keys of at least one environment can be used. Needs no grant; with that
/// of an administrator the reasons say more.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Readiness, description = "Ready"),
    (status = 503, body = Readiness, description = "Not ready, and why"),
))]
async fn readyz(State(state): State<AppState>, caller: Option<Caller>) -> Response {
    let administrator = caller.is_some_and(|caller| caller.may_on_server(Action::ManageServer).is_ok());
    let because = |why: String| if administrator { format!(": {why}") } else { String::new() };
    let mut reasons = Vec::new();
    let mut usable = true;
    if let Err(error) = state.store.check().await {
        reasons.push(format!("The database can't be read{}.", because(error.to_string())));
    }
    let written: Result<(), StorageError> = state.store.write(|_| Ok(())).await;
    if let Err(error) = written {
        reasons.push(format!("The database can't be written{}.", because(error.to_string())));
    }
    if state.disk.is_full() {
        reasons.push(format!("The server's disk is full{}.", because(state.disk.0.display().to_string())));
    }
    let database = reasons.is_empty();
    reasons.extend(clock_reason(&state).await);
    if let Ok(environments) = state.store.environments().await {
        let all = environments.len();
        let before = reasons.len();
        for environment in environments {
            let reason = signer_reason(&state, environment).await;
            reasons.extend(reason.map(|(reason, why)| format!("{reason}{}.", why.map_or_else(String::new, because))));
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
    let fault = state.store.clock_fault(Timestamp::now()).await.ok().flatten()?;
    Some(sentence(&fault.to_string()))
}

/// Why keys of the environment can't be used, and in the signer's own words, which may name files.
async fn signer_reason(state: &AppState, environment: EnvironmentRow) -> Option<(String, Option<String>)> {
    let (signer, note) = match state.signers.get(environment.id) {
        Some(signer) => (signer.state().await, signer.note()),
        None => (EnvironmentState::Unavailable, None),
    };
    let name = environment.name;
    let reason = match signer {
        EnvironmentState::Ready => return None,
        EnvironmentState::Sealed => format!("The environment {name} is sealed; run sealcard-signer unseal"),
        EnvironmentState::TokenAbsent => format!("The token of the environment {name} is not there"),
        EnvironmentState::Unavailable => format!("The signer of the environment {name} does not answer"),
    };
    Some((reason, note))
}

/// Who this server is. Needs no grant.
#[utoipa::path(get, path = "/v1/server", tag = "health", responses((status = 200, body = ServerInfo)))]
async fn server(State(state): State<AppState>) -> Json<ServerInfo> {
    Json(ServerInfo { server_id: state.server_id, version: env!("CARGO_PKG_VERSION").to_owned() })
}
