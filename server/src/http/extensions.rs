//! Later ends for keys: `/v1/keys/{key}/extend`.

use axum::extract::State;
use sealcard_api::{
    keys::{Key, KeyExtension},
    rules::KeyPathName,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiResult, AppState, Caller, Json, Path, keys::to_key};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(extend))
}

/// Lets a key live longer, an expired one too. Its fingerprint stays; the answer's certificate has the new end.
#[utoipa::path(post, path = "/v1/keys/{key}/extend", tag = "keys", request_body = KeyExtension,
    params(("key" = KeyPathName, Path, description = "id or fingerprint")), responses((status = 200, body = Key)))]
async fn extend(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    Json(extension): Json<KeyExtension>,
) -> ApiResult<Json<Key>> {
    let row = state.keys.extend(&caller, &key, extension).await?;
    Ok(Json(to_key(row, caller.received)))
}
