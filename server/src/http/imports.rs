//! Importing keys: `/v1/keys/import`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    import::{ImportPlan, ImportPlanRequest, ImportRequest},
    keys::Key,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, AppState, Caller, Json, LargeJson, keys::to_key};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(import))
}

/// What would become of a certificate: which of its keys get which role, and the key that their secrets are to be
/// encrypted to. Reserves and changes nothing.
#[utoipa::path(post, path = "/v1/keys/import/plan", tag = "keys", request_body = ImportPlanRequest,
    responses((status = 200, body = ImportPlan)))]
async fn plan(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(request): LargeJson<ImportPlanRequest>,
) -> ApiResult<Json<ImportPlan>> {
    Ok(Json(state.keys.plan_import(&caller, request).await?))
}

/// Imports a key. Its secrets come in envelopes that only the environment's signer can open.
#[utoipa::path(post, path = "/v1/keys/import", tag = "keys", request_body = ImportRequest,
    responses((status = 201, body = Key)))]
async fn import(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(request): LargeJson<ImportRequest>,
) -> ApiResult<(StatusCode, Json<Key>)> {
    let received = caller.received;
    let key = state.keys.import(caller, request).await?;
    Ok((StatusCode::CREATED, Json(to_key(key, received))))
}
