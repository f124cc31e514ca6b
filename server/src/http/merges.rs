//! Newer certificates of keys: `/v1/keys/{key}/certificate`.

use axum::extract::State;
use sealcard_api::merge::{MergePlan, MergePlanRequest, MergeRequest, Merged};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiResult, AppState, Caller, Json, LargeJson, Path,
    keys::{KEY_PARAMETER, to_key},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(merge))
}

/// What a newer certificate of the key would change, and which new subkeys' secrets are wanted. Reserves and changes
/// nothing.
#[utoipa::path(post, path = "/v1/keys/{key}/certificate/plan", tag = "keys", request_body = MergePlanRequest,
    params(("key" = String, Path, description = KEY_PARAMETER)), responses((status = 200, body = MergePlan)))]
async fn plan(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    LargeJson(request): LargeJson<MergePlanRequest>,
) -> ApiResult<Json<MergePlan>> {
    Ok(Json(state.keys.plan_merge(&caller, &key, request).await?))
}

/// Merges a newer certificate into the key's own: new ends, user ids, revocations and signatures. Nothing is taken out.
/// The secrets of new subkeys come in envelopes that only the environment's signer can open.
#[utoipa::path(post, path = "/v1/keys/{key}/certificate", tag = "keys", request_body = MergeRequest,
    params(("key" = String, Path, description = KEY_PARAMETER)), responses((status = 200, body = Merged)))]
async fn merge(
    State(state): State<AppState>,
    caller: Caller,
    Path(key): Path<String>,
    LargeJson(request): LargeJson<MergeRequest>,
) -> ApiResult<Json<Merged>> {
    let received = caller.received;
    let (key, changes, left_out) = state.keys.merge(caller, &key, request).await?;
    Ok(Json(Merged { key: to_key(key, received), changes, left_out }))
}
