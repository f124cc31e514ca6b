//! Logging in: `POST /v1/login`.

use std::time::Instant;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::{IntoResponse, Response},
};
use sealcard_api::{
    grants::{GrantIssued, LoginRequest},
    ids::PrincipalId,
    problem::ProblemCode,
    rules::{Label, NewPassword},
};
use sealcard_record::{
    Actor, Draft, Event, Named,
    event::{Login, LoginFailed, LoginFailure, LoginMethod, PasswordChangeRequired, PasswordChanged},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{ApiError, ApiResult, AppState, Json, RequestContext, passwords};
use crate::{
    authn::{self, IssuedTo, SERVICE_TOKEN_PREFIX, Shown, Subject},
    storage::PrincipalChange,
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Proves who one is, by password or token, and gets a grant for it. The connection is closed after the answer.
#[utoipa::path(post, path = "/v1/login", tag = "grants", request_body = LoginRequest,
    responses((status = 200, body = GrantIssued)))]
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
        LoginRequest::Password { user, password, new_password, label } => {
            let password = Zeroizing::new(password.0);
            let new_password = new_password.map(|new| Zeroizing::new(new.0));
            by_password(state, &subjects, context, user, (password, new_password), label).await?
        }
        LoginRequest::ServiceToken { token, label, machine } => {
            let token = Zeroizing::new(token.0);
            let identified = by_token(state, &subjects, context, token, label).await?;
            Identified { to: IssuedTo { machine, ..identified.to }, ..identified }
        }
    };
    let Identified { to, by, name, new_password } = identified;
    let limits = state.config.limits;
    let principal = Named::new(to.principal, name);
    let actor = Actor { id: principal.id, name: principal.name.clone(), grant: None };
    let issued: ApiResult<GrantIssued> = state
        .store
        .write(move |tx| {
            let (label, machine) = (to.label.clone(), to.machine);
            let issued = authn::issue(tx, to, &limits)?;
            if let Some(hash) = new_password {
                let change = PrincipalChange { password: Some(hash), ..PrincipalChange::default() };
                tx.change_principal(actor.id, &change)?;
                tx.revoke_other_grants(actor.id, issued.grant.id)?;
                let event = Event::PasswordChanged(PasswordChanged { one_time: true });
                tx.append_record(draft(context, event).by(actor.clone()));
            }
            let grant = Named::new(issued.grant.id, label);
            tx.append_record(draft(context, Event::Login(Login { by, grant, machine })).by(actor));
            Ok(issued)
        })
        .await;
    match &issued {
        Ok(_) => state.authentication.slowdown.right(&subjects),
        Err(error) if error.code() == ProblemCode::WrongCredentials => {
            let failure = failure(by, LoginFailure::ChangedMeanwhile, Some(principal));
            state.store.append_record(draft(context, Event::LoginFailed(failure))).await?;
        }
        Err(_) => {}
    }
    issued
}

/// Who has shown a secret that is good for a grant.
struct Identified {
    to: IssuedTo,
    /// By what.
    by: LoginMethod,
    /// The principal's name.
    name: String,
    /// The PHC string that takes the place of the one-time password's.
    new_password: Option<String>,
}

async fn by_password(
    state: &AppState,
    subjects: &[Subject],
    context: RequestContext,
    user: String,
    (password, new_password): (Zeroizing<String>, Option<Zeroizing<String>>),
    label: String,
) -> ApiResult<Identified> {
    Label::check(&label).map_err(ApiError::invalid)?;
    if let Some(new) = &new_password {
        NewPassword::check(new, &user, state.config.limits.password_characters).map_err(ApiError::invalid)?;
    }
    let peer = context.peer.ip();
    let checked = passwords::check(state, peer, subjects, &user, password.clone()).await?;
    let passwords::Checked { row, right, permit } = checked;
    let row = match row {
        Some(row) if right && !row.disabled => row,
        other => {
            state.authentication.slowdown.wrong(subjects, Instant::now());
            drop(permit);
            let failed = match other {
                Some(row) => {
                    let reason = if right { LoginFailure::Disabled } else { LoginFailure::WrongPassword };
                    failure(LoginMethod::Password, reason, Some(Named::new(row.id, user)))
                }
                // It may be a password typed into the wrong field.
                None => LoginFailed {
                    unknown_user: Some(state.authentication.names.hash(&user)),
                    ..failure(LoginMethod::Password, LoginFailure::UnknownUser, None)
                },
            };
            return refuse(state, context, failed, "The name or the password is wrong.").await;
        }
    };
    drop(permit);
    let new_password = match (row.one_time_until, new_password) {
        (None, None) => None,
        (None, Some(_)) => {
            return Err(ApiError::invalid(
                "A login changes one-time passwords only. Log in without a new one, then change yours: sealcard passwd",
            ));
        }
        (Some(until), _) if until <= context.received.unix() => {
            let principal = Some(Named::new(row.id, user));
            let failed = failure(LoginMethod::Password, LoginFailure::OneTimePasswordExpired, principal);
            let text = "The one-time password has expired. Ask an administrator for a new one: sealcard admin user \
                        reset-password";
            return refuse(state, context, failed, text).await;
        }
        (Some(_), None) => {
            let required = PasswordChangeRequired { principal: Named::new(row.id, user) };
            state.store.append_record(draft(context, Event::PasswordChangeRequired(required))).await?;
            let detail = "Choose a password of your own in place of the one-time password: sealcard login asks for it.";
            return Err(ApiError::new(ProblemCode::PasswordChangeRequired).detail(detail));
        }
        (Some(_), Some(new)) => Some(passwords::hash_new(state, peer, &password, new).await?),
    };
    let to = IssuedTo { principal: row.id, shown: Shown::Password(row.password), label, machine: false };
    Ok(Identified { to, by: LoginMethod::Password, name: user, new_password })
}

async fn by_token(
    state: &AppState,
    subjects: &[Subject],
    context: RequestContext,
    token: Zeroizing<String>,
    label: String,
) -> ApiResult<Identified> {
    Label::check(&label).map_err(ApiError::invalid)?;
    let hash = authn::hash(token.trim());
    let known = if token.trim().starts_with(SERVICE_TOKEN_PREFIX) {
        state.store.login_token(hash.as_ref()).await?
    } else {
        None
    };
    let now = context.received.unix();
    match known {
        Some(token) if token.usable && token.expires > now => {
            let shown = Shown::ServiceToken(token.token.id, token.expires);
            let Named { id: principal, name } = token.principal;
            let to = IssuedTo { principal, shown, label, machine: false };
            Ok(Identified { to, by: LoginMethod::ServiceToken, name, new_password: None })
        }
        other => {
            state.authentication.slowdown.wrong(subjects, Instant::now());
            let (principal, token) = other.map(|token| (token.principal, token.token)).unzip();
            let failed = failure(LoginMethod::ServiceToken, LoginFailure::UnusableToken, principal);
            let failed = LoginFailed { token, ..failed };
            refuse(state, context, failed, "The token is wrong, revoked or expired.").await
        }
    }
}

async fn refuse<T>(state: &AppState, context: RequestContext, failed: LoginFailed, text: &'static str) -> ApiResult<T> {
    state.store.append_record(draft(context, Event::LoginFailed(failed))).await?;
    Err(ApiError::new(ProblemCode::WrongCredentials).detail(text))
}

fn failure(by: LoginMethod, reason: LoginFailure, principal: Option<Named<PrincipalId>>) -> LoginFailed {
    LoginFailed { by, reason, principal, token: None, unknown_user: None }
}

/// An event of this request, which nobody has authenticated yet.
fn draft(context: RequestContext, event: Event) -> Draft {
    Draft::new(context.request_id, event).from_peer(context.peer.ip())
}

pub(super) fn not_too_soon(state: &AppState, subjects: &[Subject]) -> ApiResult<()> {
    let Some(wait) = state.authentication.slowdown.wait(subjects, Instant::now()) else { return Ok(()) };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Err(ApiError::new(ProblemCode::TooManyAttempts)
        .detail(format!("Wait {}, then try again.", seconds_text(seconds)))
        .retry_after(seconds))
}

fn seconds_text(seconds: u64) -> String {
    if seconds == 1 { "1 second".to_owned() } else { format!("{seconds} seconds") }
}
