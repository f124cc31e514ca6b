//! Newer certificates of keys: `/v1/keys/{key}/certificate`.

use axum::extract::State;
use sealcard_api::{
    Bytes,
    ids::ComponentId,
    import::PlannedComponent,
    merge::{MergePlan, MergePlanRequest, MergeRequest, Merged},
    problem::ProblemCode,
};
use sealcard_openpgp::{ForeignKey, MergedCertificate};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, LargeJson, Path, conflicts,
    key_work::KeyTask,
    keys::{KEY_PARAMETER, find, to_key},
};
use crate::keys::{self, Maker};

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
    let (row, roles) = find(&state, &caller, &key).await?;
    caller.may(roles, Action::ManageProject)?;
    let MergePlanRequest { certificate, secrets } = request;
    let merged = keys::plan_merge(&row, &certificate, &secrets)?;
    let MergedCertificate { added, changes, left_out, sha1, .. } = merged;
    conflicts::expect_unknown(&state, &caller, &added).await?;
    let recipient = match added.as_slice() {
        [] => None,
        _ => Some(keys::recipient(&state.signers, row.environment_id).await?),
    };
    Ok(Json(MergePlan {
        environment: row.environment,
        fingerprint: row.fingerprint,
        changes,
        components: added.into_iter().map(planned_component).collect(),
        recipient: recipient.map(|recipient| Bytes(recipient.to_vec())),
        left_out,
        sha1,
    }))
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
    let (row, roles) = find(&state, &caller, &key).await?;
    let maker = Maker::new(&caller, roles, &[Action::ManageProject])?;
    let MergeRequest { certificate, components } = request;
    // A revocation must not wait behind keys that are being made.
    let task = if components.is_empty() { KeyTask::Ending } else { KeyTask::Making };
    let (id, work) = (row.id, (row.environment_id, task, caller.principal));
    let task_state = state.clone();
    let received = caller.received;
    let done = async move {
        let (store, signers) = (&task_state.store, &task_state.signers);
        let merged = keys::merge(store, signers, maker, &row, &certificate, components).await;
        conflicts::named(merged, &task_state, &caller).await
    };
    let (changes, left_out) = state.key_work.carry_out(work, done).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(Json(Merged { key: to_key(key, received), changes, left_out }))
}

/// A subkey whose secret is wanted, under a new id.
pub(super) fn planned_component(key: ForeignKey) -> PlannedComponent {
    PlannedComponent {
        id: ComponentId::new(),
        role: key.role,
        algorithm: key.algorithm,
        fingerprint: key.fingerprint,
        public_key: key.public_key,
        created: key.created,
        lost_uses: key.lost_uses,
    }
}
