//! People: `/v1/users`.

use axum::{extract::State, http::StatusCode, response::Response};
use sealcard_api::{
    admin::{NewUser, Page, User, UserAdded, UserChange},
    rules::{Name, PageLimit},
};
use sealcard_policy::{Action, PrincipalKind};
use utoipa_axum::{router::OpenApiRouter, routes};
use zeroize::Zeroizing;

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, login::closing, page_of};
use crate::{directory, http::PageQuery, notices::check_email};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, change, remove))
}

/// All users, oldest first.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<User>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<User>>> {
    caller.may_on_server(Action::ReadEverything)?;
    let limit = query.limit()?;
    let rows = state.store.principals(PrincipalKind::User, query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Adds a user. Without a password in the request, the answer has a one-time password. The connection is closed after
/// the answer.
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = NewUser,
    responses((status = 201, body = UserAdded)))]
async fn create(State(state): State<AppState>, caller: Caller, body: Result<Json<NewUser>, ApiError>) -> Response {
    closing(StatusCode::CREATED, create_user(&state, caller, body).await)
}

async fn create_user(
    state: &AppState,
    caller: Caller,
    body: Result<Json<NewUser>, ApiError>,
) -> ApiResult<Json<UserAdded>> {
    caller.may_on_server(Action::ManageServer)?;
    let Json(new) = body?;
    let password = new.password.map(|password| Zeroizing::new(password.0));
    Name::check(&new.name).map_err(ApiError::invalid)?;
    new.email.as_deref().map_or(Ok(()), check_email).map_err(ApiError::invalid)?;
    let (one_time_password, hash) = match password {
        Some(password) => (None, state.authentication.hash_for(&new.name, password, &caller).await?),
        None => state.authentication.one_time_password(&caller).await.map(|(issued, hash)| (Some(issued), hash))?,
    };
    let one_time_until = one_time_password.as_ref().map(|issued| issued.expires);
    let NewUser { name, roles, email, .. } = new;
    let roles = roles.into_iter().collect();
    let new = directory::NewUser { name, roles, password: hash, one_time_until, email };
    let user = state.directory.add_user(caller.into(), new).await?.into();
    Ok(Json(UserAdded { user, one_time_password }))
}

/// One user.
#[utoipa::path(get, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "name or id")),
    responses((status = 200, body = User)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(user): Path<String>) -> ApiResult<Json<User>> {
    let own = user == caller.name || user == caller.principal.to_string();
    caller.may_on_server(if own { Action::LookAfterOneself } else { Action::ReadEverything })?;
    Ok(Json(state.directory.user(&user).await?.into()))
}

/// Changes a user: name, password, e-mail address, system roles, disabled. A new password and disabling revoke the
/// user's grants. The connection is closed after the answer.
#[utoipa::path(patch, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "name or id")),
    request_body = UserChange, responses((status = 200, body = User)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(user): Path<String>,
    body: Result<Json<UserChange>, ApiError>,
) -> Response {
    closing(StatusCode::OK, change_user(&state, caller, user, body).await)
}

async fn change_user(
    state: &AppState,
    caller: Caller,
    user: String,
    body: Result<Json<UserChange>, ApiError>,
) -> ApiResult<Json<User>> {
    caller.may_on_server(Action::ManageServer)?;
    let Json(change) = body?;
    let UserChange { name, add_roles, remove_roles, disabled, password, email } = change;
    name.as_deref().map_or(Ok(()), Name::check).map_err(ApiError::invalid)?;
    email.as_deref().filter(|email| !email.is_empty()).map_or(Ok(()), check_email).map_err(ApiError::invalid)?;
    let password = match password.map(|password| Zeroizing::new(password.0)) {
        None => None,
        Some(password) => {
            let row = state.directory.user(&user).await?;
            Some(state.authentication.hash_for(&row.name, password, &caller).await?)
        }
    };
    let change = directory::UserChange { name, add_roles, remove_roles, disabled, password, email };
    Ok(Json(state.directory.change_user(caller.into(), user, change).await?.into()))
}

/// Removes a user and every grant of the user. The record keeps the id.
#[utoipa::path(delete, path = "/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "name or id")),
    responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(user): Path<String>) -> Response {
    let removed = async {
        caller.may_on_server(Action::ManageServer)?;
        state.directory.remove_principal(caller.into(), PrincipalKind::User, user).await?;
        Ok(())
    };
    closing(StatusCode::NO_CONTENT, removed.await)
}
