//! Later ends for keys: `/v1/keys/{key}/extend`.

use axum::extract::State;
use sealcard_api::{
    Timestamp,
    keys::{Key, KeyExtension},
    problem::ProblemCode,
    rules::{KeyDays, KeyPathName},
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path,
    key_work::KeyTask,
    keys::{find, to_key},
};
use crate::keys::{self, DEFAULT_DAYS, Maker};

const DAY: i64 = 86_400;

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
    let (row, roles) = find(&state, &caller, &key).await?;
    let maker = Maker::new(&caller, roles, &[Action::ManageProject])?;
    let expires = end(&extension, caller.received)?;
    let (id, work) = (row.id, (row.environment_id, KeyTask::Making, caller.principal));
    let task_state = state.clone();
    let done = async move { keys::extend(&task_state.store, &task_state.signers, maker, &row, expires).await };
    state.key_work.carry_out(work, done).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(Json(to_key(key, caller.received)))
}

fn end(extension: &KeyExtension, now: Timestamp) -> ApiResult<Timestamp> {
    let at = |days: u32| Timestamp::from_unix(now.unix().saturating_add(DAY.saturating_mul(days.into())));
    match (extension.expires_days, extension.expires) {
        (Some(_), Some(_)) => Err(ApiError::invalid("Give \"expires_days\" or \"expires\", not both.")),
        (_, Some(end)) if end <= now => Err(ApiError::invalid("The new end must be in the future.")),
        (_, Some(end)) if end > at(KeyDays::MAX) => {
            Err(ApiError::invalid(format!("The new end must be at most {} days from now.", KeyDays::MAX)))
        }
        (_, Some(end)) => Ok(end),
        (days, None) => {
            let days = days.unwrap_or(DEFAULT_DAYS);
            KeyDays::check("expires_days", days).map_err(ApiError::invalid)?;
            Ok(at(days))
        }
    }
}
