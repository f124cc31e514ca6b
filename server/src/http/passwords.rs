//! Passwords: one's own (`POST /v1/password`), and one-time passwords that administrators give out.

use std::{net::IpAddr, time::Instant};

use axum::{extract::State, http::StatusCode, response::Response};
use sealcard_api::{
    Timestamp,
    admin::OneTimePassword,
    grants::{PasswordChange, SecretText},
    problem::ProblemCode,
    rules::NewPassword,
};
use sealcard_policy::{Action, PrincipalKind};
use sealcard_record::{Event, event::PasswordChangeFailed};
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path,
    login::{closing, not_too_soon},
};
use crate::{
    authn::{self, PasswordError, PasswordPermit, Subject},
    storage::PasswordRow,
};

const DAY: i64 = 86_400;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(change)).routes(routes!(reset))
}

/// Changes one's own password. All other logins of the user end; the one that asks stays. The connection is closed
/// after the answer.
#[utoipa::path(post, path = "/v1/password", tag = "users", request_body = PasswordChange,
    responses((status = 204, description = "Changed")))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    body: Result<Json<PasswordChange>, ApiError>,
) -> Response {
    closing(StatusCode::NO_CONTENT, change_own(&state, caller, body).await)
}

async fn change_own(state: &AppState, caller: Caller, body: Result<Json<PasswordChange>, ApiError>) -> ApiResult<()> {
    caller.may_on_server(Action::LookAfterOneself)?;
    if caller.kind != PrincipalKind::User {
        return Err(ApiError::conflict("A service account has no password. It logs in with a token."));
    }
    let Json(PasswordChange { old, new }) = body?;
    let (old, new) = (Zeroizing::new(old.0), Zeroizing::new(new.0));
    NewPassword::check(&new, &caller.name, state.config.limits.password_characters).map_err(ApiError::invalid)?;
    let subjects = [Subject::Account(caller.name.clone()), Subject::Network(authn::network_of(caller.peer.ip()))];
    let checked = check(state, caller.peer.ip(), &subjects, &caller.name, old.clone()).await?;
    let Some(row) = checked.row.filter(|row| checked.right && row.id == caller.principal) else {
        state.authentication.slowdown.wrong(&subjects, Instant::now());
        drop(checked.permit);
        state.store.append_record(caller.draft(Event::PasswordChangeFailed(PasswordChangeFailed {}))).await?;
        return Err(ApiError::new(ProblemCode::WrongCredentials).detail("The old password is wrong."));
    };
    drop(checked.permit);
    state.authentication.slowdown.right(&subjects);
    let hash = hash_new(state, caller.peer.ip(), &old, new).await?;
    Ok(state.directory.change_own_password(caller, row, hash).await?)
}

/// Gives a user a one-time password in place of the present one, and ends the user's logins. The connection is closed
/// after the answer.
#[utoipa::path(post, path = "/v1/users/{user}/one-time-password", tag = "users",
    params(("user" = String, Path, description = "name or id")), responses((status = 201, body = OneTimePassword)))]
async fn reset(State(state): State<AppState>, caller: Caller, Path(user): Path<String>) -> Response {
    closing(StatusCode::CREATED, reset_password(&state, caller, user).await)
}

async fn reset_password(state: &AppState, caller: Caller, user: String) -> ApiResult<Json<OneTimePassword>> {
    caller.may_on_server(Action::ManageServer)?;
    let (issued, hash) = one_time(state, &caller).await?;
    state.directory.reset_password(caller, user, hash, issued.expires).await?;
    Ok(Json(issued))
}

/// A new one-time password and its PHC string.
pub(super) async fn one_time(state: &AppState, caller: &Caller) -> ApiResult<(OneTimePassword, String)> {
    let password = authn::one_time_password().map_err(|error| ApiError::internal(&error))?;
    let hash = hash(state, caller.peer.ip(), password.clone()).await?;
    let days = i64::from(state.config.limits.one_time_password_days);
    let expires = Timestamp::from_unix(caller.received.unix() + days * DAY);
    Ok((OneTimePassword { password: SecretText(password.to_string()), expires }, hash))
}

/// The PHC string of a password that a user has chosen, and that [`NewPassword`] has let through.
pub(super) async fn hash_new(state: &AppState, peer: IpAddr, old: &str, new: Zeroizing<String>) -> ApiResult<String> {
    if *new == *old {
        return Err(ApiError::invalid("The new password must differ from the old one."));
    }
    hash(state, peer, new).await
}

/// The PHC string of a password that came from `peer`.
pub(super) async fn hash(state: &AppState, peer: IpAddr, password: Zeroizing<String>) -> ApiResult<String> {
    state.authentication.passwords.hash(authn::network_of(peer), password).await.map_err(password_error)
}

/// What came of looking at a name and a password.
pub(super) struct Checked {
    /// The user of this name.
    pub(super) row: Option<PasswordRow>,
    /// Whether the password is the user's.
    pub(super) right: bool,
    /// To be kept until a wrong attempt has been counted.
    pub(super) permit: PasswordPermit,
}

/// Checks a password that came from `peer`. An unknown user's takes as long as any other.
pub(super) async fn check(
    state: &AppState,
    peer: IpAddr,
    subjects: &[Subject],
    user: &str,
    password: Zeroizing<String>,
) -> ApiResult<Checked> {
    not_too_soon(state, subjects)?;
    let passwords = &state.authentication.passwords;
    let permit = passwords.permit(authn::network_of(peer)).await.map_err(password_error)?;
    // Again, because attempts made at once wait for their permits together: what the ones before did wrong counts.
    not_too_soon(state, subjects)?;
    let row = state.store.password_of(user).await?;
    let stored = row.as_ref().map(|row| row.password.clone());
    let (right, permit) = passwords.verify(permit, password, stored).await.map_err(password_error)?;
    Ok(Checked { row, right, permit })
}

fn password_error(error: PasswordError) -> ApiError {
    match error {
        PasswordError::Busy => ApiError::new(ProblemCode::Overloaded)
            .detail("Too many passwords wait to be checked. Try again in 2 seconds.")
            .retry_after(2),
        PasswordError::Damaged | PasswordError::Failed => ApiError::internal(&error),
    }
}
