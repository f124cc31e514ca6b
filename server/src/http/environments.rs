//! Key sources and how they are: `/v1/environments`.

use axum::extract::State;
use sealcard_api::{
    Bytes,
    admin::{Environment, EnvironmentKind, MasterKey, Page},
    problem::ProblemCode,
    rules::Nonce,
    tokens::{KeeperKey, SealedSecret, Secret, TokenReport, Unseal},
};
use sealcard_policy::Action;
use sealcard_signer_protocol::{KeeperAnswer, KeeperRefusal, KeeperRequestBody, RequestBody, ResponseBody, SecretKind};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, error::sentence};
use crate::{
    signers::{KeeperError, UnsealError},
    storage::EnvironmentRow,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(probe))
        .routes(routes!(keeper))
        .routes(routes!(unseal))
}

/// The environments that hold keys of the caller's projects, with the state of their signers on this node; all for
/// administrators, and for owners of a project, who may have keys made in any.
#[utoipa::path(get, path = "/v1/environments", tag = "environments",
    responses((status = 200, body = Page<Environment>)))]
async fn list(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Page<Environment>>> {
    let mut items = Vec::new();
    for row in state.directory.environments(&caller).await? {
        items.push(with_state(&state, &caller, row).await);
    }
    Ok(Json(Page { items, next: None }))
}

/// One environment.
#[utoipa::path(get, path = "/v1/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = Environment)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Path(environment): Path<String>,
) -> ApiResult<Json<Environment>> {
    let row = state.directory.environment(&caller, Some(&environment)).await?;
    Ok(Json(with_state(&state, &caller, row).await))
}

/// What the environment's token is and can do, asked now, on the node that answers. Needs no login to the token.
#[utoipa::path(post, path = "/v1/environments/{environment}/probe", tag = "environments",
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = TokenReport)))]
async fn probe(
    State(state): State<AppState>,
    caller: Caller,
    Path(environment): Path<String>,
) -> ApiResult<Json<TokenReport>> {
    caller.may_on_server(Action::ManageServer)?;
    let row = state.directory.environment(&caller, Some(&environment)).await?;
    if row.kind != EnvironmentKind::Pkcs11 {
        return Err(ApiError::conflict(format!("The environment {} is a sealed store, which has no token.", row.name)));
    }
    let signer = state.signers.get(row.id).ok_or_else(ApiError::signer_unavailable)?;
    match signer.ask(RequestBody::Probe).await? {
        ResponseBody::Probed(report) => Ok(Json(report)),
        _ => Err(ApiError::new(ProblemCode::Internal)),
    }
}

/// What a passphrase or PIN for the environment's signer on this node is encrypted to.
#[utoipa::path(get, path = "/v1/environments/{environment}/keeper", tag = "environments",
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = KeeperKey)))]
async fn keeper(
    State(state): State<AppState>,
    caller: Caller,
    Path(environment): Path<String>,
) -> ApiResult<Json<KeeperKey>> {
    caller.may_on_server(Action::ManageServer)?;
    let row = state.directory.environment(&caller, Some(&environment)).await?;
    let signer = state.signers.get(row.id).ok_or_else(ApiError::signer_unavailable)?;
    let secret = match signer.ask_keeper(KeeperRequestBody::Status).await? {
        KeeperAnswer::Status { secret, .. } => match secret {
            SecretKind::None => Secret::None,
            SecretKind::Passphrase => Secret::Passphrase,
            SecretKind::Pin => Secret::Pin,
        },
        _ => return Err(ApiError::new(ProblemCode::Internal)),
    };
    match signer.ask_keeper(KeeperRequestBody::Recipient).await? {
        KeeperAnswer::Recipient { public_key, nonce } => {
            Ok(Json(KeeperKey { recipient: Bytes(public_key.to_vec()), nonce: Bytes(nonce.to_vec()), secret }))
        }
        _ => Err(ApiError::new(ProblemCode::Internal)),
    }
}

/// Opens an environment on this node: with a secret that only its signer can read, or with the configured one once
/// more. A wrong secret is answered late.
#[utoipa::path(post, path = "/v1/environments/{environment}/unseal", tag = "environments", request_body = Unseal,
    params(("environment" = String, Path, description = "name or id")), responses((status = 200, body = Environment)))]
async fn unseal(
    State(state): State<AppState>,
    caller: Caller,
    Path(environment): Path<String>,
    Json(wanted): Json<Unseal>,
) -> ApiResult<Json<Environment>> {
    caller.may_on_server(Action::ManageServer)?;
    let sealed = wanted.sealed.map(|SealedSecret { nonce, envelope }| {
        let nonce = nonce.as_slice().try_into();
        let nonce = nonce.map_err(|_| ApiError::invalid(format!("The \"nonce\" must have {} bytes.", Nonce::BYTES)))?;
        Ok::<_, ApiError>((nonce, envelope.0))
    });
    let sealed = sealed.transpose()?;
    let row = state.directory.environment(&caller, Some(&environment)).await?;
    state.signers.unseal(&caller, &row, sealed).await?;
    Ok(Json(with_state(&state, &caller, row).await))
}

impl From<UnsealError> for ApiError {
    fn from(error: UnsealError) -> Self {
        match error {
            UnsealError::Keeper(error) => error.into(),
            UnsealError::Authorization(error) => error.into(),
            UnsealError::Storage(error) => error.into(),
        }
    }
}

impl From<KeeperError> for ApiError {
    fn from(error: KeeperError) -> Self {
        match error {
            KeeperError::Refused(KeeperRefusal::StaysSealed(why)) => {
                Self::new(ProblemCode::Sealed).detail(sentence(&why))
            }
            // The request was right for another state of the signer.
            KeeperError::Refused(refusal @ (KeeperRefusal::Nonce | KeeperRefusal::NotWanted(_))) => {
                Self::conflict(sentence(&refusal.to_string()))
            }
            KeeperError::Refused(refusal) => Self::invalid(sentence(&refusal.to_string())),
            KeeperError::Unavailable => Self::signer_unavailable(),
            KeeperError::TooLong => Self::invalid("The \"envelope\" is too long."),
        }
    }
}

async fn with_state(state: &AppState, caller: &Caller, row: EnvironmentRow) -> Environment {
    let (live, detail) = state.signers.state_of(row.id).await;
    let master_key = state.signers.get(row.id).and_then(|signer| signer.master_key_status());
    let master_key = master_key.filter(|_| caller.reads_everything());
    let master_key = master_key.and_then(|status| {
        Some(MasterKey { id: status.current?.to_string(), note: status.note.map(|note| sentence(&note)) })
    });
    Environment { id: row.id, name: row.name, kind: row.kind, state: live, detail, master_key, created: row.created }
}
