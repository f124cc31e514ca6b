//! Passwords: one's own (`POST /v1/password`), and one-time passwords that administrators give out.

use axum::{extract::State, http::StatusCode, response::Response};
use sealcard_api::{admin::OneTimePassword, grants::PasswordChange};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, login::closing};
use crate::authn::Authentication;

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
    // Before mistakes in the body are named.
    Authentication::expect_password(&caller)?;
    let Json(PasswordChange { old, new }) = body?;
    let (old, new) = (Zeroizing::new(old.0), Zeroizing::new(new.0));
    Ok(state.authentication.change_own_password(caller, old, new).await?)
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
    let (issued, hash) = state.authentication.one_time_password(&caller).await?;
    state.directory.reset_password(caller, user, hash, issued.expires).await?;
    Ok(Json(issued))
}
