//! Programs that sign, and their tokens: `/v1/service-accounts`.

use axum::{extract::State, http::StatusCode, response::Response};
use sealcard_api::{
    Timestamp,
    admin::{
        NewServiceAccount, NewServiceToken, Page, ServiceAccount, ServiceAccountChange, ServiceToken,
        ServiceTokenIssued,
    },
    ids::ServiceTokenId,
    rules::{Label, Name, PageLimit, TokenDays},
};
use sealcard_policy::{Action, PrincipalKind};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, login::closing, page_of};
use crate::{
    authn::{SERVICE_TOKEN_PREFIX, Secret},
    clock::DAY,
    directory::NewToken,
    http::PageQuery,
};

const DEFAULT_TOKEN_DAYS: u32 = 365;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
        .routes(routes!(list_tokens, create_token))
        .routes(routes!(revoke_token))
}

/// All service accounts, oldest first.
#[utoipa::path(get, path = "/v1/service-accounts", tag = "service accounts", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<ServiceAccount>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<ServiceAccount>>> {
    caller.may_on_server(Action::ReadEverything)?;
    let limit = query.limit()?;
    let rows = state.store.principals(PrincipalKind::ServiceAccount, query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Adds a service account.
#[utoipa::path(post, path = "/v1/service-accounts", tag = "service accounts", request_body = NewServiceAccount,
    responses((status = 201, body = ServiceAccount)))]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(new): Json<NewServiceAccount>,
) -> ApiResult<(StatusCode, Json<ServiceAccount>)> {
    caller.may_on_server(Action::ManageServer)?;
    Name::check(&new.name).map_err(ApiError::invalid)?;
    new.owner.as_deref().map_or(Ok(()), Name::check).map_err(ApiError::invalid)?;
    let account = state.directory.add_service_account(caller.into(), new.name, new.owner).await?;
    Ok((StatusCode::CREATED, Json(account.into())))
}

/// One service account.
#[utoipa::path(get, path = "/v1/service-accounts/{account}", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), responses((status = 200, body = ServiceAccount)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Path(account): Path<String>,
) -> ApiResult<Json<ServiceAccount>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(state.directory.service_account(&account).await?.into()))
}

/// Renames, disables or enables a service account, or gives it another owner. Disabling revokes its grants.
#[utoipa::path(patch, path = "/v1/service-accounts/{account}", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), request_body = ServiceAccountChange,
    responses((status = 200, body = ServiceAccount)))]
async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Path(account): Path<String>,
    Json(change): Json<ServiceAccountChange>,
) -> ApiResult<Json<ServiceAccount>> {
    caller.may_on_server(Action::ManageServer)?;
    for name in change.name.iter().chain(&change.owner) {
        Name::check(name).map_err(ApiError::invalid)?;
    }
    let row = state.directory.change_service_account(caller.into(), account, change).await?;
    Ok(Json(row.into()))
}

/// Removes a service account with its tokens and grants. The record keeps the id.
#[utoipa::path(delete, path = "/v1/service-accounts/{account}", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(account): Path<String>) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    state.directory.remove_principal(caller.into(), PrincipalKind::ServiceAccount, account).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A service account's tokens, oldest first, without their secrets.
#[utoipa::path(get, path = "/v1/service-accounts/{account}/tokens", tag = "service accounts", params(
    ("account" = String, Path, description = "name or id"),
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
), responses((status = 200, body = Page<ServiceToken>)))]
async fn list_tokens(
    State(state): State<AppState>,
    caller: Caller,
    Path(account): Path<String>,
    Query(query): Query<PageQuery>,
) -> ApiResult<Json<Page<ServiceToken>>> {
    caller.may_on_server(Action::ReadEverything)?;
    let account = state.directory.service_account(&account).await?;
    let limit = query.limit()?;
    let rows = state.store.service_tokens(account.id, query.after()?, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    Ok(Json(Page { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Makes a token. Its secret is in the answer and nowhere else. The connection is closed after the answer.
#[utoipa::path(post, path = "/v1/service-accounts/{account}/tokens", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), request_body = NewServiceToken,
    responses((status = 201, body = ServiceTokenIssued)))]
async fn create_token(
    State(state): State<AppState>,
    caller: Caller,
    Path(account): Path<String>,
    body: Result<Json<NewServiceToken>, ApiError>,
) -> Response {
    closing(StatusCode::CREATED, issue_token(&state, caller, account, body).await)
}

async fn issue_token(
    state: &AppState,
    caller: Caller,
    account: String,
    body: Result<Json<NewServiceToken>, ApiError>,
) -> ApiResult<Json<ServiceTokenIssued>> {
    caller.may_on_server(Action::ManageServer)?;
    let Json(new) = body?;
    Label::check(&new.label).map_err(ApiError::invalid)?;
    let days = new.days.unwrap_or(DEFAULT_TOKEN_DAYS);
    TokenDays::check("days", days).map_err(ApiError::invalid)?;
    let secret = Secret::new(SERVICE_TOKEN_PREFIX).map_err(|error| ApiError::internal(&error))?;
    let expires = Timestamp::from_unix(caller.received.unix() + i64::from(days) * DAY);
    let new = NewToken { label: new.label, expires, hash: secret.hash() };
    let token = state.directory.add_token(caller.into(), account, new).await?.into();
    Ok(Json(ServiceTokenIssued { secret: secret.into_text(), token }))
}

/// Revokes a token and the grants that came of it.
#[utoipa::path(delete, path = "/v1/service-accounts/{account}/tokens/{token}", tag = "service accounts", params(
    ("account" = String, Path, description = "name or id"),
    ("token" = ServiceTokenId, Path, description = "the token's id"),
), responses((status = 204, description = "Revoked")))]
async fn revoke_token(
    State(state): State<AppState>,
    caller: Caller,
    Path((account, token)): Path<(String, String)>,
) -> ApiResult<StatusCode> {
    caller.may_on_server(Action::ManageServer)?;
    let token: ServiceTokenId = token.parse().map_err(|_| ApiError::invalid("Name the token by its id."))?;
    state.directory.revoke_token(caller.into(), account, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
