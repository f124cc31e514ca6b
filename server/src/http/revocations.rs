//! The end of keys: `/v1/keys/{key}/revocation`, `/v1/keys/{key}/revoke`.

use axum::extract::State;
use sealcard_api::{
    keys::{Key, KeyRevocation, RevocationCertificate},
    problem::ProblemCode,
    rules::{KeyPathName, RevocationMessage},
};
use sealcard_policy::Action;
use sealcard_record::{Event, event::KeyAct};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path,
    key_work::KeyTask,
    keys::{KEY_PARAMETER, find, to_key},
};
use crate::keys::{self, Maker};

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
    let (row, roles) = find(&state, &caller, &key).await?;
    caller.may(roles, Action::ManageProject)?;
    let certificate = state.store.revocation(row.id).await?.ok_or_else(|| {
        ApiError::not_found("The key has no revocation certificate here: its primary key was never here.")
    })?;
    let entry = caller.draft(Event::RevocationRead(KeyAct { signing_key: row.signing_key() }));
    state
        .change(caller.authorization(&[Action::ManageProject]), Some(row.project_id), move |tx| {
            tx.append_record(entry);
            Ok(())
        })
        .await?;
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
    let (row, roles) = find(&state, &caller, &key).await?;
    let maker = Maker::new(&caller, roles, &[Action::ManageProject])?;
    let KeyRevocation { reason, message } = revocation;
    RevocationMessage::check(&message).map_err(ApiError::invalid)?;
    let (id, work) = (row.id, (row.environment_id, KeyTask::Ending, caller.principal));
    let task_state = state.clone();
    let done = async move { keys::revoke(&task_state.store, &task_state.signers, maker, &row, reason, message).await };
    state.key_work.carry_out(work, done).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(Json(to_key(key, caller.received)))
}
