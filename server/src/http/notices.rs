//! Notices and the channels that they go through: `/v1/notices`.

use axum::extract::State;
use sealcard_api::{
    admin::Page,
    ids::NoticeId,
    notices::{Notice, NoticeChannel, NoticeQueued, NoticeRetry, NoticeTest, NoticesRetried},
    rules::PageLimit,
};
use sealcard_policy::Action;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, page_of};
use crate::{http::PageQuery, notices::NoticesError, storage::NoticeFilter};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(channels))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(enable))
        .routes(routes!(test))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<u32>,
    after: Option<String>,
    failed: Option<bool>,
}

/// Notices with their deliveries, newest first. For administrators.
#[utoipa::path(get, path = "/v1/notices", tag = "notices", params(
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
    ("after" = Option<Uuid>, Query, description = "the previous page's `next`"),
    ("failed" = Option<bool>, Query, description = "true: those alone that have a failed delivery"),
), responses((status = 200, body = Page<Notice>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<Page<Notice>>> {
    caller.may_on_server(Action::ReadEverything)?;
    let ListQuery { limit, after, failed } = query;
    let page = PageQuery { limit, after };
    let limit = page.limit()?;
    let filter = NoticeFilter { failed: failed.unwrap_or(false), before: page.after()?, limit: limit + 1 };
    Ok(Json(page_of(state.notices.list(filter).await?, limit, |notice| notice.id)))
}

/// One notice. For administrators.
#[utoipa::path(get, path = "/v1/notices/{notice}", tag = "notices", params(("notice" = NoticeId, Path)),
    responses((status = 200, body = Notice)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(notice): Path<NoticeId>) -> ApiResult<Json<Notice>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(state.notices.show(notice).await?))
}

/// The channels of the server's configuration, and how they work. For administrators.
#[utoipa::path(get, path = "/v1/notices/channels", tag = "notices",
    responses((status = 200, body = Page<NoticeChannel>)))]
async fn channels(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Page<NoticeChannel>>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(Page { items: state.notices.channels().await?, next: None }))
}

/// Tries deliveries again that failed. For administrators.
#[utoipa::path(post, path = "/v1/notices/retry", tag = "notices", request_body = NoticeRetry,
    responses((status = 200, body = NoticesRetried)))]
async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Json(NoticeRetry { notices }): Json<NoticeRetry>,
) -> ApiResult<Json<NoticesRetried>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(NoticesRetried { deliveries: state.notices.retry(caller, notices).await? }))
}

/// Lets a channel be used again whose receiver wanted no more. For administrators.
#[utoipa::path(post, path = "/v1/notices/channels/{channel}/enable", tag = "notices",
    params(("channel" = String, Path, description = "name")), responses((status = 200, body = NoticeChannel)))]
async fn enable(
    State(state): State<AppState>,
    caller: Caller,
    Path(channel): Path<String>,
) -> ApiResult<Json<NoticeChannel>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(state.notices.enable(caller, channel).await?))
}

/// Sends a notice for a test. For administrators.
#[utoipa::path(post, path = "/v1/notices/test", tag = "notices", request_body = NoticeTest,
    responses((status = 200, body = NoticeQueued)))]
async fn test(
    State(state): State<AppState>,
    caller: Caller,
    Json(test): Json<NoticeTest>,
) -> ApiResult<Json<NoticeQueued>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(NoticeQueued { id: state.notices.test(caller, test).await? }))
}

impl From<NoticesError> for ApiError {
    fn from(error: NoticesError) -> Self {
        match error {
            NoticesError::NotFound(why) => Self::not_found(why),
            NoticesError::Conflict(why) => Self::conflict(why),
            NoticesError::Authorization(error) => error.into(),
            NoticesError::Storage(error) => error.into(),
        }
    }
}
