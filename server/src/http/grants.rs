//! What one holds after a login: `/v1/grants`.

use axum::{extract::State, http::StatusCode};
use sealcard_api::{
    admin::Page,
    grants::{GrantInfo, GrantIssued},
    ids::GrantId,
    rules::PageLimit,
};
use sealcard_policy::Action;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, page_of};
use crate::{http::PageQuery, storage::GrantFilter};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(current, revoke_current))
        .routes(routes!(refresh))
        .routes(routes!(revoke))
}

/// The grant that this request was made with.
#[utoipa::path(get, path = "/v1/grants/current", tag = "grants", responses((status = 200, body = GrantInfo)))]
async fn current(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<GrantInfo>> {
    caller.may_on_server(Action::LookAfterOneself)?;
    Ok(Json(state.authentication.grant(caller.grant).await?.into()))
}

/// A new token for the grant that this request was made with, and a later expiry. The earlier token stays valid for
/// five minutes.
#[utoipa::path(post, path = "/v1/grants/refresh", tag = "grants", responses((status = 200, body = GrantIssued)))]
async fn refresh(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<GrantIssued>> {
    Ok(Json(state.authentication.refresh(caller).await?))
}

/// Logs out: the grant that this request was made with is refused from now on.
#[utoipa::path(delete, path = "/v1/grants/current", tag = "grants", responses((status = 204, description = "Revoked")))]
async fn revoke_current(State(state): State<AppState>, caller: Caller) -> ApiResult<StatusCode> {
    state.authentication.log_out(caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<u32>,
    after: Option<String>,
    principal: Option<String>,
}

/// Grants, oldest first: one's own, or for holders of a system role everyone's or one principal's.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
    ("principal" = Option<String>, Query, description = "name or id of the holder"),
), responses((status = 200, body = Page<GrantInfo>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<GrantInfo>>> {
    let page = PageQuery { limit: query.limit, after: query.after };
    let (limit, after) = (page.limit()?, page.after()?);
    let principal = match query.principal {
        Some(name) if name == caller.name || name == caller.principal.to_string() => Some(caller.principal),
        Some(name) => {
            caller.may_on_server(Action::ReadEverything)?;
            Some(state.directory.principal(&name).await?.id)
        }
        None if caller.reads_everything() => None,
        None => Some(caller.principal),
    };
    caller.may_on_server(Action::LookAfterOneself)?;
    let rows = state.store.grants(GrantFilter { principal, after }, limit + 1).await?;
    let page = page_of(rows, limit, |row| row.id);
    let last_uses = &state.authentication.last_uses;
    let items = page.items.into_iter().map(|row| last_uses.apply(row).into()).collect();
    Ok(Json(Page { items, next: page.next }))
}

/// Revokes a grant: one's own, or for administrators and security officers anyone's.
#[utoipa::path(delete, path = "/v1/grants/{grant}", tag = "grants",
    params(("grant" = GrantId, Path, description = "the grant's id")),
    responses((status = 204, description = "Revoked")))]
async fn revoke(State(state): State<AppState>, caller: Caller, Path(grant): Path<String>) -> ApiResult<StatusCode> {
    let id: GrantId = grant.parse().map_err(|_| ApiError::invalid("Name the login by its id."))?;
    state.authentication.revoke(caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
