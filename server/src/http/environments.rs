//! Key sources and how they are: `/v1/environments`.

use axum::extract::State;
use sealcard_api::{
    admin::{Environment, EnvironmentState, Page},
    problem::ProblemCode,
    tokens::TokenReport,
};
use sealcard_policy::Action;
use sealcard_signer::protocol::{RequestBody, ResponseBody};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path};
use crate::storage::EnvironmentRow;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(probe))
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
    let row = find(&state, Some(&environment)).await?;
    Ok(Json(with_state(&state, row).await))
}

/// What the environment's token is and can do, asked now, on the node that answers. Needs no login to the token.
#[utoipa::path(post, path = "/v1/environments/{environment}/probe", tag = "environments",
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = TokenReport)))]
async fn probe(
    State(state): State<AppState>,
    caller: Caller,
    Path(environment): Path<String>,
) -> ApiResult<Json<TokenReport>> {
    caller.may_on_server(Action::ManageServer)?;
    let row = find(&state, Some(&environment)).await?;
    let signer = state.signers.get(row.id).ok_or_else(|| ApiError::new(ProblemCode::SignerUnavailable))?;
    match signer.ask(RequestBody::Probe).await? {
        ResponseBody::Probed(report) => Ok(Json(report)),
        _ => Err(ApiError::new(ProblemCode::Internal)),
    }
}

/// The environment of this name or id; `default` if none is named.
pub(super) async fn find(state: &AppState, wanted: Option<&str>) -> ApiResult<EnvironmentRow> {
    let wanted = wanted.unwrap_or("default");
    let mut rows = state.store.environments().await?.into_iter();
    rows.find(|row| row.name == wanted || row.id.to_string() == wanted)
        .ok_or_else(|| ApiError::not_found("No such environment."))
}

async fn with_state(state: &AppState, row: EnvironmentRow) -> Environment {
    let (live, detail) = match state.signers.get(row.id) {
        Some(signer) => (signer.state().await, signer.note()),
        None => (EnvironmentState::Unavailable, None),
    };
    let detail = detail.filter(|_| live != EnvironmentState::Ready);
    Environment { id: row.id, name: row.name, kind: row.kind, state: live, detail, created: row.created }
}
