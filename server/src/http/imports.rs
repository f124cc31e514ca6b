//! Importing keys: `/v1/keys/import`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    Bytes, Timestamp,
    algorithm::ComponentRole,
    ids::ComponentId,
    import::{ImportPlan, ImportPlanRequest, ImportRequest, PlannedComponent},
    keys::Key,
    problem::ProblemCode,
    rules::NewKeyName,
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, LargeJson, environments, key_work::KeyTask, keys::to_key, projects,
};
use crate::{
    keys::{self, KeyPlace, Maker},
    openpgp::ForeignCertificate,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(plan)).routes(routes!(import))
}

/// What would become of a certificate: which of its keys get which role, and the key that their secrets are to be encrypted
/// to. Reserves and changes nothing.
#[utoipa::path(post, path = "/v1/keys/import/plan", tag = "keys", request_body = ImportPlanRequest,
    responses((status = 200, body = ImportPlan)))]
async fn plan(
    State(state): State<AppState>,
    caller: Caller,
    LargeJson(request): LargeJson<ImportPlanRequest>,
) -> ApiResult<Json<ImportPlan>> {
    let ImportPlanRequest { project, environment: wanted, name, certificate, secrets } = request;
    let (place, environment, _) = place(&state, &caller, &project, wanted.as_deref(), name).await?;
    let planned = keys::plan(&state.signers, &place, &certificate, &secrets).await?;
    let ForeignCertificate { fingerprint, user_id, expires, keys, left_out, sha1, .. } = planned.certificate;
    if state.store.key_by_fingerprint(fingerprint).await?.is_some() {
        return Err(ApiError::new(ProblemCode::Conflict)
            .detail(format!("A key with the fingerprint {fingerprint} already exists on this server.")));
    }
    let first = keys.iter().find(|key| key.role == ComponentRole::Sign);
    let first = first.or_else(|| keys.iter().find(|key| key.role != ComponentRole::Certify));
    let algorithm = first.ok_or_else(|| ApiError::new(ProblemCode::Internal))?.algorithm.family();
    let components = keys.into_iter().map(|key| PlannedComponent {
        id: ComponentId::new(),
        role: key.role,
        algorithm: key.algorithm,
        fingerprint: key.fingerprint,
        public_key: key.public_key.to_public_key(key.algorithm),
        created: key.created,
        lost_uses: key.lost_uses,
    });
    Ok(Json(ImportPlan {
        environment,
        recipient: Bytes(planned.recipient.to_vec()),
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
    let (place, _, maker) = place(&state, &caller, &project, environment.as_deref(), name).await?;
    let turn = (place.environment, KeyTask::Making, caller.principal);
    let task_state = state.clone();
    let made = async move {
        keys::import(&task_state.store, &task_state.signers, maker, place, certificate, components).await
    };
    let id = state.key_work.carry_out(turn, made).await?;
    let key = state.store.key(id).await?.ok_or_else(|| ApiError::new(ProblemCode::Internal))?;
    Ok((StatusCode::CREATED, Json(to_key(key, Timestamp::now()))))
}

/// Where the key is to be, if the caller may put one there; with the environment's name and who puts it there.
async fn place(
    state: &AppState,
    caller: &Caller,
    project: &str,
    wanted: Option<&str>,
    name: String,
) -> ApiResult<(KeyPlace, String, Maker)> {
    let (project, roles) = projects::find(state, caller, project, Action::ManageProject).await?;
    let maker = caller.maker(roles, &[Action::ManageProject])?;
    NewKeyName::check(&name).map_err(ApiError::invalid)?;
    let environment = environments::find(state, caller, wanted).await?;
    Ok((KeyPlace { project: project.id, environment: environment.id, name }, environment.name, maker))
}
