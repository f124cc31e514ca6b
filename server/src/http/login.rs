//! Logging in: `POST /v1/login`.

use std::time::Instant;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::{IntoResponse, Response},
};
use sealcard_api::{
    grants::{GrantIssued, LoginRequest},
    ids::{PrincipalId, RequestId},
    problem::ProblemCode,
    record::RecordKind,
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{ApiError, ApiResult, AppState, Json, RequestContext};
use crate::{
    authn::{self, IssuedTo, SERVICE_TOKEN_PREFIX, Shown, Subject},
    identity::{check_label, check_name},
    storage::Draft,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Proves who one is, by password or token, and gets a grant for it. The connection is closed after the answer.
#[utoipa::path(post, path = "/v1/login", tag = "grants", request_body = LoginRequest, responses((status = 200, body = GrantIssued)))]
async fn login(
    State(state): State<AppState>,
    context: RequestContext,
    body: Result<Json<LoginRequest>, ApiError>,
) -> Response {
    let result = match body {
        Ok(Json(request)) => attempt(&state, context, request).await.map(Json),
        Err(error) => Err(error),
    };
    close_after(result.into_response())
}

/// Closes the connection after an answer to a request with a secret: its buffers are freed and thereby wiped.
pub(super) fn close_after(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// As [`close_after`], for what a handler would return.
pub(super) fn closing<T: IntoResponse>(status: StatusCode, result: ApiResult<T>) -> Response {
    close_after(result.map(|value| (status, value)).into_response())
}

async fn attempt(state: &AppState, context: RequestContext, request: LoginRequest) -> ApiResult<GrantIssued> {
    let account = match &request {
        LoginRequest::Password { user, .. } => Some(Subject::Account(user.clone())),
        // A token has nothing that could be guessed bit by bit, so only its network is slowed down.
        LoginRequest::ServiceToken { .. } => None,
    };
    let network = Subject::Network(authn::network_of(context.peer.ip()));
    let subjects: Vec<Subject> = account.into_iter().chain([network]).collect();
    not_too_soon(state, &subjects)?;
    let identified = match request {
        LoginRequest::Password { user, password, label } => {
            by_password(state, &subjects, context.request_id, user, Zeroizing::new(password.0), label).await
        }
        LoginRequest::ServiceToken { token, label, machine } => {
            let token = Zeroizing::new(token.0);
            let identified = by_token(state, &subjects, context.request_id, token, label).await;
            identified.map(|(to, how)| (IssuedTo { machine, ..to }, how))
        }
    };
    let (to, how) = identified?;
    let limits = state.config.limits;
    let principal = to.principal;
    let issued: ApiResult<GrantIssued> = state
        .store
        .write(move |tx| {
            Box::pin(async move {
                let (label, machine) = (to.label.clone(), to.machine);
                let issued = authn::issue(tx, to, &limits).await?;
                let mut details = json!({
                    "event": "login", "by": how, "grant": issued.grant.id, "label": label, "peer": context.peer.ip(),
                });
                if machine && let Some(details) = details.as_object_mut() {
                    details.insert("machine".to_owned(), true.into());
                }
                tx.append_record(entry(context.request_id, Some(principal), details));
                Ok(issued)
            })
        })
        .await;
    match &issued {
        Ok(_) => state.authentication.slowdown.right(&subjects),
        Err(error) if error.code() == ProblemCode::WrongCredentials => {
            let details = json!({"event": "login-failed", "by": how, "changed": true});
            state.store.append_record(entry(context.request_id, Some(principal), details)).await?;
        }
        Err(_) => {}
    }
    issued
}

async fn by_password(
    state: &AppState,
    subjects: &[Subject],
    request_id: RequestId,
    user: String,
    password: Zeroizing<String>,
    label: String,
) -> ApiResult<(IssuedTo, &'static str)> {
    check_label(&label).map_err(ApiError::invalid)?;
    let turn = state.authentication.passwords.turn().await.map_err(|error| ApiError::internal(&error))?;
    // Again, because attempts made at once wait for their turn together: what the ones before did wrong counts.
    not_too_soon(state, subjects)?;
    let row = state.store.password_of(&user).await?;
    let (known, disabled) = match row {
        Some(row) => (Some((row.id, row.password)), row.disabled),
        None => (None, false),
    };
    let stored = known.as_ref().map(|(_, stored)| stored.clone());
    let verified = state.authentication.passwords.verify(turn, password, stored).await;
    let (right, turn) = verified.map_err(|error| ApiError::internal(&error))?;
    match known {
        Some((principal, stored)) if right && !disabled => {
            Ok((IssuedTo { principal, shown: Shown::Password(stored), label, machine: false }, "password"))
        }
        known => {
            let principal = known.map(|(principal, _)| principal);
            state.authentication.slowdown.wrong(subjects, Instant::now());
            drop(turn);
            // What is no name may be a password typed into the wrong field: it is not written down.
            let user = check_name(&user).is_ok().then_some(user);
            let details =
                json!({"event": "login-failed", "by": "password", "user": user, "disabled": right && disabled});
            refuse(state, request_id, principal, details, "The name or the password is wrong.").await
        }
    }
}

async fn by_token(
    state: &AppState,
    subjects: &[Subject],
    request_id: RequestId,
    token: Zeroizing<String>,
    label: String,
) -> ApiResult<(IssuedTo, &'static str)> {
    check_label(&label).map_err(ApiError::invalid)?;
    let hash = authn::hash(token.trim());
    let known = if token.trim().starts_with(SERVICE_TOKEN_PREFIX) {
        state.store.login_token(hash.as_ref()).await?
    } else {
        None
    };
    let now = sealcard_api::Timestamp::now().unix();
    match known {
        Some(token) if token.usable && token.expires > now => {
            let shown = Shown::ServiceToken(token.id, token.expires);
            let to = IssuedTo { principal: token.principal, shown, label, machine: false };
            Ok((to, "service-token"))
        }
        other => {
            state.authentication.slowdown.wrong(subjects, Instant::now());
            let principal = other.as_ref().map(|token| token.principal);
            let details = json!({"event": "login-failed", "by": "service-token", "token": other.map(|token| token.id)});
            refuse(state, request_id, principal, details, "The token is wrong, revoked or expired.").await
        }
    }
}

async fn refuse<T>(
    state: &AppState,
    request_id: RequestId,
    principal: Option<PrincipalId>,
    details: Value,
    text: &'static str,
) -> ApiResult<T> {
    state.store.append_record(entry(request_id, principal, details)).await?;
    Err(ApiError::new(ProblemCode::WrongCredentials).detail(text))
}

fn entry(request_id: RequestId, principal: Option<PrincipalId>, details: Value) -> Draft {
    Draft { kind: RecordKind::Authentication, request_id, principal, project: None, key: None, state: None, details }
}

fn not_too_soon(state: &AppState, subjects: &[Subject]) -> ApiResult<()> {
    let Some(wait) = state.authentication.slowdown.wait(subjects, Instant::now()) else { return Ok(()) };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Err(ApiError::new(ProblemCode::TooManyAttempts)
        .detail(format!("Wait {seconds} seconds before the next attempt."))
        .retry_after(seconds))
}
