//! Keys on tokens: `/v1/keys/adopt`, `/v1/keys/{key}/evidence`, `/v1/keys/{key}/destroy`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    admin::EnvironmentKind,
    algorithm::KeyAlgorithm,
    keys::Key,
    problem::ProblemCode,
    rules::{KeyDays, KeyPathName, NewKeyName, TokenKeyId, UserId},
    tokens::{AdoptKeys, AdoptedComponent, ComponentEvidence, DestroyKey},
};
use sealcard_policy::Action;
use sealcard_signer_protocol::KeyLocator;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path, conflicts,
    key_work::KeyTask,
    keys::{KEY_PARAMETER, find, to_key},
};
use crate::keys::{self, Adoption, DEFAULT_DAYS, KeyPlan, Maker};

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
    let (project, roles) = state.directory.project(&caller, &wanted.project, Action::ManageProject).await?;
    // Which keys lie on a token is the business of those who look after the server, not of every project's owner.
    let maker = Maker::new(&caller, roles, &[Action::ManageProject, Action::ManageServer])?;
    NewKeyName::check(&wanted.name).map_err(ApiError::invalid)?;
    UserId::check(&wanted.user_id).map_err(ApiError::invalid)?;
    let days = wanted.expires_days.unwrap_or(DEFAULT_DAYS);
    KeyDays::check("expires_days", days).map_err(ApiError::invalid)?;
    if wanted.created.is_some_and(|created| created > caller.received || created.unix() <= 0) {
        return Err(ApiError::invalid("\"created\" must be a time in the past, after 1970."));
    }
    let components = wanted.components.into_iter().map(|component| Ok((component.role, locator(component)?)));
    let components = components.collect::<ApiResult<Vec<_>>>()?;
    Adoption::check(wanted.profile, &components).map_err(ApiError::invalid)?;
    let environment = state.directory.environment(&caller, Some(&wanted.environment)).await?;
    if environment.kind != EnvironmentKind::Pkcs11 {
        return Err(ApiError::conflict(format!(
            "Only keys on a token can be adopted, and {} is a sealed store. Import the key: sealcard admin key import",
            environment.name
        )));
    }
    let adoption = Adoption {
        plan: KeyPlan {
            project: project.named(),
            environment: environment.named(),
            name: wanted.name,
            // That of the key that signs, once it is found.
            algorithm: KeyAlgorithm::Ed25519,
            user_id: wanted.user_id,
            days,
            profile: wanted.profile,
        },
        created: wanted.created,
        components,
    };
    let (work, task_state) = ((environment.id, KeyTask::Making, caller.principal), state.clone());
    let received = caller.received;
    let made = async move {
        let adopted = keys::adopt(&task_state.store, &task_state.signers, maker, adoption).await;
        conflicts::named(adopted, &task_state, &caller).await
    };
    let id = state.key_work.carry_out(work, made).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok((StatusCode::CREATED, Json(to_key(key, received))))
}

fn locator(component: AdoptedComponent) -> ApiResult<KeyLocator> {
    let read = |id: String| {
        TokenKeyId::parse(&id).ok_or_else(|| {
            ApiError::invalid(format!(
                "The \"id\" of a key on a token is up to {} hexadecimal digits.",
                TokenKeyId::MAX
            ))
        })
    };
    let id = component.id.map(read).transpose()?;
    Ok(KeyLocator { id, label: component.label })
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
    let (row, _) = find(&state, &caller, &key).await?;
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
    let (row, roles) = find(&state, &caller, &key).await?;
    let maker = Maker::new(&caller, roles, &[Action::ManageProject, Action::ManageServer])?;
    if sure.fingerprint != row.fingerprint {
        return Err(ApiError::conflict(format!(
            "The fingerprint is not that of the key {}, so nothing was destroyed.",
            row.full_name()
        )));
    }
    let environment = state.directory.environment(&caller, Some(&row.environment_id.to_string())).await?;
    if environment.kind != EnvironmentKind::Pkcs11 {
        return Err(ApiError::conflict("Only keys on a token can be destroyed. Revoke a key of a sealed store."));
    }
    let (task_state, task_row) = (state.clone(), row.clone());
    let done = async move { keys::destroy(&task_state.store, &task_state.signers, maker, &task_row).await };
    state.key_work.carry_out((environment.id, KeyTask::Ending, caller.principal), done).await?;
    let key = state.store.key(row.id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok(Json(to_key(key, caller.received)))
}
