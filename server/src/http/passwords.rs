//! Passwords: one's own (`POST /v1/password`), and one-time passwords that administrators give out.

use std::{net::IpAddr, time::Instant};

use axum::{extract::State, http::StatusCode, response::Response};
use sealcard_api::{
    Timestamp,
    admin::OneTimePassword,
    grants::{PasswordChange, SecretText},
    problem::ProblemCode,
    record::RecordKind,
    rules::NewPassword,
};
use sealcard_policy::{Action, PrincipalKind};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path,
    login::{closing, not_too_soon},
    users::{find_user, note},
};
use crate::{
    authn::{self, PasswordError, PasswordPermit, Subject},
    storage::{Draft, PasswordRow, PrincipalChange},
};

const DAY: i64 = 86_400;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(change)).routes(routes!(reset))
}

/// Changes one's own password. All other logins of the user end; the one that asks stays. The connection is closed after
/// the answer.
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
        state.store.append_record(entry(&caller, "password-change-failed")).await?;
        return Err(ApiError::new(ProblemCode::WrongCredentials).detail("The old password is wrong."));
    };
    drop(checked.permit);
    state.authentication.slowdown.right(&subjects);
    let hash = hash_new(state, caller.peer.ip(), &old, new).await?;
    let authorization = caller.authorization(&[Action::LookAfterOneself]);
    state
        .change(authorization, None, move |tx| {
            // The old one may have been changed while it was checked.
            if !tx.has_password(row.id, &row.password)? {
                return Err(ApiError::new(ProblemCode::WrongCredentials).detail("The old password is wrong."));
            }
            let change = PrincipalChange { password: Some(hash), ..PrincipalChange::default() };
            tx.change_principal(row.id, &change)?;
            tx.revoke_other_grants(row.id, caller.grant, Timestamp::now().unix())?;
            tx.append_record(entry(&caller, "password-changed"));
            Ok(())
        })
        .await
}

/// Gives a user a one-time password in place of the present one, and ends the user's logins. The connection is closed after
/// the answer.
#[utoipa::path(post, path = "/v1/users/{user}/one-time-password", tag = "users",
    params(("user" = String, Path, description = "name or id")), responses((status = 201, body = OneTimePassword)))]
async fn reset(State(state): State<AppState>, caller: Caller, Path(user): Path<String>) -> Response {
    closing(StatusCode::CREATED, reset_password(&state, caller, user).await)
}

async fn reset_password(state: &AppState, caller: Caller, user: String) -> ApiResult<Json<OneTimePassword>> {
    caller.may_on_server(Action::ManageServer)?;
    let (issued, hash) = one_time(state, caller.peer.ip()).await?;
    let until = issued.expires.unix();
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let user = find_user(tx, &user)?;
            // A one-time password that is not used in time would lock the last administrator out for ever.
            if user.id == caller.principal {
                return Err(ApiError::conflict("This is your own password. Change it with: sealcard passwd"));
            }
            let change =
                PrincipalChange { password: Some(hash), one_time_until: Some(until), ..PrincipalChange::default() };
            tx.change_principal(user.id, &change)?;
            tx.revoke_grants_of(user.id, Timestamp::now().unix())?;
            let details = json!({
                "event": "password-reset", "user": user.id, "name": user.name,
                "expires": Timestamp::from_unix(until),
            });
            note(tx, &caller, None, details)
        })
        .await?;
    Ok(Json(issued))
}

/// A new one-time password and its PHC string.
pub(super) async fn one_time(state: &AppState, peer: IpAddr) -> ApiResult<(OneTimePassword, String)> {
    let password = authn::one_time_password().map_err(|error| ApiError::internal(&error))?;
    let hash = hash(state, peer, password.clone()).await?;
    let days = i64::from(state.config.limits.one_time_password_days);
    let expires = Timestamp::from_unix(Timestamp::now().unix() + days * DAY);
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

fn entry(caller: &Caller, event: &str) -> Draft {
    Draft {
        kind: RecordKind::Authentication,
        request_id: caller.request_id,
        principal: Some(caller.principal),
        project: None,
        key: None,
        state: None,
        details: json!({"event": event, "user": caller.principal, "name": caller.name, "peer": caller.peer.ip()}),
    }
}
