//! Keys on tokens: `/v1/keys/adopt`, `/v1/keys/{key}/evidence`, `/v1/keys/{key}/destroy`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    keys::Key,
    rules::KeyPathName,
    tokens::{AdoptKeys, ComponentEvidence, DestroyKey},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiResult, AppState, Caller, Json, Path,
    keys::{KEY_PARAMETER, to_key},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(adopt)).routes(routes!(evidence)).routes(routes!(destroy))
}

/// Adopts keys that are on a token: each is found by label or id, and the certificate and the card are made for
/// them.
#[utoipa::path(post, path = "/v1/keys/adopt", tag = "keys", request_body = AdoptKeys,
    responses((status = 201, body = Key)))]
async fn adopt(
    State(state): State<AppState>,
    caller: Caller,
    Json(wanted): Json<AdoptKeys>,
) -> ApiResult<(StatusCode, Json<Key>)> {
    let received = caller.received;
    let key = state.keys.adopt(caller, wanted).await?;
    Ok((StatusCode::CREATED, Json(to_key(key, received))))
}

/// What the token said of the key's components when they were made or adopted. Empty for keys of a sealed store.
#[utoipa::path(get, path = "/v1/keys/{key}/evidence", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)),
    responses((status = 200, body = Vec<ComponentEvidence>)))]
async fn evidence(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<Json<Vec<ComponentEvidence>>> {
    let (row, _) = state.keys.find(&caller, &key).await?;
    Ok(Json(state.store.evidence(row.id).await?))
}

/// Destroys the private halves of a disabled or revoked key on its token, for good.
#[utoipa::path(post, path = "/v1/keys/{key}/destroy", tag = "keys", request_body = DestroyKey,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn destroy(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(sure): Json<DestroyKey>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.destroy(&caller, &key, sure).await?;
    Ok(Json(to_key(row, caller.received)))
}
