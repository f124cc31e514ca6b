//! The end of keys: `/v1/keys/{key}/revocation`, `/v1/keys/{key}/revoke`.

use axum::extract::State;
use sealcard_api::{
    keys::{Key, KeyRevocation, RevocationCertificate},
    rules::KeyPathName,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiResult, AppState, Caller, Json, Path,
    keys::{KEY_PARAMETER, to_key},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(revoke))
}

/// The revocation certificate that was made together with the key. Each reading is recorded.
#[utoipa::path(get, path = "/v1/keys/{key}/revocation", tag = "keys",
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)),
    responses((status = 200, body = RevocationCertificate)))]
async fn read(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<Json<RevocationCertificate>> {
    let (row, certificate) = state.keys.revocation(&caller, &key).await?;
    Ok(Json(RevocationCertificate { fingerprint: row.fingerprint, certificate }))
}

/// Revokes a key for good. The answer's certificate says so to everyone who gets it.
#[utoipa::path(post, path = "/v1/keys/{key}/revoke", tag = "keys", request_body = KeyRevocation,
    params(("key" = KeyPathName, Path, description = KEY_PARAMETER)), responses((status = 200, body = Key)))]
async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(revocation): Json<KeyRevocation>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.revoke(&caller, &key, revocation).await?;
    Ok(Json(to_key(row, caller.received)))
}
