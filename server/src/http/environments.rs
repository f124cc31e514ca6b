//! Key sources and how they are: `/v1/environments`.

use axum::extract::State;
use sealcard_api::admin::{Environment, EnvironmentKind, EnvironmentState, Page};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path};
use crate::storage::EnvironmentRow;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// All environments, with the state of their signers on this node.
#[utoipa::path(get, path = "/v1/environments", tag = "environments", responses((status = 200, body = Page<Environment>)))]
async fn list(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Page<Environment>>> {
    caller.may_on_server(Action::SeeEnvironments)?;
    let mut items = Vec::new();
    for row in state.store.environments().await? {
        items.push(with_state(&state, row).await);
    }
    Ok(Json(Page { items, next: None }))
}

/// One environment.
#[utoipa::path(get, path = "/v1/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = Environment)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Path(environment): Path<String>,
) -> ApiResult<Json<Environment>> {
    caller.may_on_server(Action::SeeEnvironments)?;
    let rows = state.store.environments().await?;
    let row = rows.into_iter().find(|row| row.name == environment || row.id.to_string() == environment);
    let row = row.ok_or_else(|| ApiError::not_found("No such environment."))?;
    Ok(Json(with_state(&state, row).await))
}

async fn with_state(state: &AppState, row: EnvironmentRow) -> Environment {
    let live = match state.signers.get(row.id) {
        Some(signer) => signer.state().await,
        None => EnvironmentState::Unavailable,
    };
    Environment { id: row.id, name: row.name, kind: EnvironmentKind::Sealed, state: live, created: row.created }
}
