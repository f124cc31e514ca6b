//! Importing keys: `/v1/keys/import`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    Bytes,
    algorithm::ComponentRole,
    import::{ImportPlan, ImportPlanRequest, ImportRequest},
    keys::Key,
    problem::ProblemCode,
    rules::NewKeyName,
};
use sealcard_openpgp::ForeignCertificate;
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, LargeJson, conflicts, key_work::KeyTask, keys::to_key,
    merges::planned_component,
};
use crate::keys::{self, KeyError, KeyPlace, Maker};

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
    let ImportPlanRequest { project, environment: wanted, name, certificate, secrets } = request;
    let (place, _) = place(&state, &caller, &project, wanted.as_deref(), name).await?;
    let read = ForeignCertificate::read(&certificate, &secrets, caller.received).map_err(KeyError::from)?;
    let ForeignCertificate { fingerprint, user_id, expires, keys: parts, left_out, sha1, .. } = read;
    if let Some(known) = state.store.key_by_fingerprint(fingerprint).await? {
        return Err(conflicts::conflict(&state, &caller, known.id, fingerprint).await?);
    }
    conflicts::expect_unknown(&state, &caller, &parts).await?;
    let recipient = keys::recipient(&state.signers, place.environment.id).await?;
    let first = parts.iter().find(|key| key.role == ComponentRole::Sign);
    let first = first.or_else(|| parts.iter().find(|key| key.role != ComponentRole::Certify));
    let algorithm = first.ok_or_else(|| ApiError::new(ProblemCode::Internal))?.algorithm.family();
    let components = parts.into_iter().map(planned_component);
    Ok(Json(ImportPlan {
        environment: place.environment.name,
        recipient: Bytes(recipient.to_vec()),
        fingerprint,
        user_id,
        algorithm,
        expires,
        components: components.collect(),
        left_out,
        sha1,
    }))
}

/// Imports a key. Its secrets come in envelopes that only the environment's signer can open.
#[utoipa::path(post, path = "/v1/keys/import", tag = "keys", request_body = ImportRequest,
    responses((status = 201, body = Key)))]
async fn import(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(request): LargeJson<ImportRequest>,
) -> ApiResult<(StatusCode, Json<Key>)> {
    let ImportRequest { project, environment, name, certificate, components } = request;
    let (place, maker) = place(&state, &caller, &project, environment.as_deref(), name).await?;
    let work = (place.environment.id, KeyTask::Making, caller.principal);
    let task_state = state.clone();
    let received = caller.received;
    let made = async move {
        let (store, signers) = (&task_state.store, &task_state.signers);
        let imported = keys::import(store, signers, maker, place, certificate, components).await;
        conflicts::named(imported, &task_state, &caller).await
    };
    let id = state.key_work.carry_out(work, made).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok((StatusCode::CREATED, Json(to_key(key, received))))
}

/// Where the key is to be, if the caller may put one there; with who puts it there.
async fn place(
    state: &AppState,
    caller: &Caller,
    project: &str,
    wanted: Option<&str>,
    name: String,
) -> ApiResult<(KeyPlace, Maker)> {
    let (project, roles) = state.directory.project(caller, project, Action::ManageProject).await?;
    let maker = Maker::new(caller, roles, &[Action::ManageProject])?;
    NewKeyName::check(&name).map_err(ApiError::invalid)?;
    let environment = state.directory.environment(caller, wanted).await?;
    Ok((KeyPlace { project: project.named(), environment: environment.named(), name }, maker))
}
