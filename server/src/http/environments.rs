//! Key sources and how they are: `/v1/environments`.

use axum::extract::State;
use sealcard_api::{
    Bytes,
    admin::{Environment, EnvironmentKind, EnvironmentState, Page},
    problem::ProblemCode,
    rules::Nonce,
    tokens::{KeeperKey, SealedSecret, Secret, TokenReport, Unseal},
};
use sealcard_policy::{Action, EnvironmentFacts};
use sealcard_record::{
    Event,
    event::{EnvironmentAct, EnvironmentFailure},
};
use sealcard_signer_protocol::{KeeperAnswer, KeeperRefusal, KeeperRequestBody, RequestBody, ResponseBody, SecretKind};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, error::sentence};
use crate::{signers::KeeperError, storage::EnvironmentRow};

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
    for row in visible(&state, &caller).await? {
        items.push(with_state(&state, row).await);
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
    let row = find(&state, &caller, Some(&environment)).await?;
    Ok(Json(with_state(&state, row).await))
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
    let row = find(&state, &caller, Some(&environment)).await?;
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
    let row = find(&state, &caller, Some(&environment)).await?;
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
    let (with_secret, body) = match wanted.sealed {
        None => (false, KeeperRequestBody::Unseal),
        Some(SealedSecret { nonce, envelope }) => {
            let nonce = nonce.as_slice().try_into();
            let nonce =
                nonce.map_err(|_| ApiError::invalid(format!("The \"nonce\" must have {} bytes.", Nonce::BYTES)))?;
            (true, KeeperRequestBody::UnsealWith { nonce, envelope: envelope.0 })
        }
    };
    let row = find(&state, &caller, Some(&environment)).await?;
    let signer = state.signers.get(row.id).ok_or_else(ApiError::signer_unavailable)?;
    let act = EnvironmentAct { environment: row.named() };
    let asked = caller.draft(if with_secret { Event::UnsealWithSecret(act) } else { Event::Unseal(act) });
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            tx.append_record(asked);
            Ok(())
        })
        .await?;
    if let Err(error) = signer.ask_keeper(body).await {
        let failure = EnvironmentFailure { environment: row.named(), error: Some(error.to_string()) };
        state.store.append_record(caller.draft(Event::UnsealFailed(failure))).await?;
        return Err(error.into());
    }
    signer.try_again();
    Ok(Json(with_state(&state, row).await))
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

/// The environment of this name or id, if the caller may see it; `default` if none is named.
pub(super) async fn find(state: &AppState, caller: &Caller, wanted: Option<&str>) -> ApiResult<EnvironmentRow> {
    let wanted = wanted.unwrap_or("default");
    let mut rows = visible(state, caller).await?.into_iter();
    rows.find(|row| row.name == wanted || row.id.to_string() == wanted).ok_or_else(|| {
        ApiError::not_found(format!("There is no environment {wanted}, or no key that you can see is in it."))
    })
}

async fn visible(state: &AppState, caller: &Caller) -> ApiResult<Vec<EnvironmentRow>> {
    let (with_keys, owns_a_project) = state.store.environments_of(caller.principal).await?;
    let mut rows = state.store.environments().await?;
    rows.retain(|row| {
        let holds_a_visible_key = with_keys.contains(&row.id);
        let facts = EnvironmentFacts { holds_a_visible_key, owns_a_project };
        caller.may_on_server(Action::SeeEnvironment(facts)).is_ok()
    });
    Ok(rows)
}

async fn with_state(state: &AppState, row: EnvironmentRow) -> Environment {
    let (live, detail) = match state.signers.get(row.id) {
        Some(signer) => (signer.state().await, signer.note()),
        None => (EnvironmentState::Unavailable, None),
    };
    let detail = detail.filter(|_| live != EnvironmentState::Ready);
    Environment { id: row.id, name: row.name, kind: row.kind, state: live, detail, created: row.created }
}
