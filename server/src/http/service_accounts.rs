//! Programs that sign, and their tokens: `/v1/service-accounts`.

use axum::{extract::State, http::StatusCode, response::Response};
use sealcard_api::{
    Timestamp,
    admin::{
        NewServiceAccount, NewServiceToken, Page, ServiceAccount, ServiceAccountChange, ServiceToken,
        ServiceTokenIssued,
    },
    ids::{PrincipalId, ServiceTokenId},
    rules::{Label, Name, PageLimit, TokenDays},
};
use sealcard_policy::{Action, PrincipalKind};
use sealcard_record::{
    Event, Named,
    event::{PrincipalAct, ServiceAccountChanged, TokenAdded, TokenRevoked},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path, Query, login::closing, page_of, users::remove_principal,
};
use crate::{
    authn::{SERVICE_TOKEN_PREFIX, Secret},
    http::PageQuery,
    storage::{PrincipalChange, PrincipalRow, ServiceTokenRow, WriteTx},
};

const DAY: i64 = 86_400;
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
    caller.may_on_server(Action::ManageServer)?;
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
    let row = PrincipalRow {
        id: PrincipalId::new(),
        kind: PrincipalKind::ServiceAccount,
        name: new.name,
        administrator: false,
        disabled: false,
        created: Timestamp::now().unix(),
        one_time_until: None,
    };
    let account = ServiceAccount::from(row.clone());
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            tx.add_principal(&row, None)?;
            tx.append_record(caller.draft(Event::ServiceAccountAdded(PrincipalAct { principal: row.named() })));
            Ok(())
        })
        .await?;
    Ok((StatusCode::CREATED, Json(account)))
}

/// One service account.
#[utoipa::path(get, path = "/v1/service-accounts/{account}", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), responses((status = 200, body = ServiceAccount)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Path(account): Path<String>,
) -> ApiResult<Json<ServiceAccount>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(find(&state, &account).await?.into()))
}

/// Renames, disables or enables a service account. Disabling revokes its grants.
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
    let ServiceAccountChange { disabled, name } = change;
    name.as_deref().map_or(Ok(()), Name::check).map_err(ApiError::invalid)?;
    let row = state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let before = find_in(tx, &account)?;
            let change = PrincipalChange { disabled, name, ..PrincipalChange::default() };
            tx.change_principal(before.id, &change)?;
            if disabled == Some(true) {
                tx.revoke_grants_of(before.id, Timestamp::now().unix())?;
            }
            tx.bump_registry()?;
            let (principal, new_name) = (before.named(), change.name);
            let changed = ServiceAccountChanged { principal, new_name, disabled };
            tx.append_record(caller.draft(Event::ServiceAccountChanged(changed)));
            find_in(tx, &before.id.to_string())
        })
        .await?;
    Ok(Json(row.into()))
}

/// Removes a service account with its tokens and grants. The record keeps the id.
#[utoipa::path(delete, path = "/v1/service-accounts/{account}", tag = "service accounts",
    params(("account" = String, Path, description = "name or id")), responses((status = 204, description = "Removed")))]
async fn remove(State(state): State<AppState>, caller: Caller, Path(account): Path<String>) -> ApiResult<StatusCode> {
    remove_principal(&state, caller, PrincipalKind::ServiceAccount, account).await
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
    caller.may_on_server(Action::ManageServer)?;
    let account = find(&state, &account).await?;
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
    let hash = secret.hash();
    let now = Timestamp::now().unix();
    let row = ServiceTokenRow {
        id: ServiceTokenId::new(),
        label: new.label,
        created: now,
        expires: now + i64::from(days) * DAY,
        revoked: None,
    };
    let token = ServiceToken::from(row.clone());
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let account = find_in(tx, &account)?;
            tx.add_service_token(account.id, &row, hash.as_ref())?;
            tx.append_record(caller.draft(Event::ServiceTokenAdded(TokenAdded {
                principal: account.named(),
                token: Named::new(row.id, row.label),
                expires: Timestamp::from_unix(row.expires),
            })));
            Ok(())
        })
        .await?;
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
    state
        .change(caller.authorization(&[Action::ManageServer]), None, move |tx| {
            let account = find_in(tx, &account)?;
            let token = tx.revoke_service_token(account.id, token, Timestamp::now().unix())?;
            let revoked = TokenRevoked { principal: account.named(), token };
            tx.append_record(caller.draft(Event::ServiceTokenRevoked(revoked)));
            Ok::<_, ApiError>(StatusCode::NO_CONTENT)
        })
        .await
}

async fn find(state: &AppState, name: &str) -> ApiResult<PrincipalRow> {
    let row = state.store.principal(PrincipalKind::ServiceAccount, name).await?;
    row.ok_or_else(|| unknown(name))
}

fn find_in(tx: &mut WriteTx, name: &str) -> ApiResult<PrincipalRow> {
    let row = tx.find_principal(name)?.filter(|row| row.kind == PrincipalKind::ServiceAccount);
    row.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found(format!("There is no service account {name}."))
}
