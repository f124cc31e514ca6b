//! Sinks, by which the record leaves the server: `/v1/sinks`.

use axum::extract::State;
use sealcard_api::{
    admin::Page,
    sinks::{Sink, SinkDetail, SinkRetried, SinkRetry, SinkSkip, SinkSkipped, SinkTested},
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path};
use crate::sinks::SinksError;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(retry))
        .routes(routes!(skip))
        .routes(routes!(test))
}

/// The sinks of the server's configuration, and how far the record has left by them. For administrators.
#[utoipa::path(get, path = "/v1/sinks", tag = "sinks", responses((status = 200, body = Page<Sink>)))]
async fn list(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<Page<Sink>>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(Page { items: state.sinks.list().await?, next: None }))
}

/// One sink, with the entries that its receiver refused. For administrators.
#[utoipa::path(get, path = "/v1/sinks/{sink}", tag = "sinks",
    params(("sink" = String, Path, description = "name")), responses((status = 200, body = SinkDetail)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(sink): Path<String>) -> ApiResult<Json<SinkDetail>> {
    caller.may_on_server(Action::ReadEverything)?;
    Ok(Json(state.sinks.show(&sink).await?))
}

/// Has a sink tried again now, also if it is stopped. For administrators.
#[utoipa::path(post, path = "/v1/sinks/{sink}/retry", tag = "sinks", request_body = SinkRetry,
    params(("sink" = String, Path, description = "name")), responses((status = 200, body = SinkRetried)))]
async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Path(sink): Path<String>,
    Json(retry): Json<SinkRetry>,
) -> ApiResult<Json<SinkRetried>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(state.sinks.retry(caller, sink, retry).await?))
}

/// Decides that entries are never sent by a sink. For administrators.
#[utoipa::path(post, path = "/v1/sinks/{sink}/skip", tag = "sinks", request_body = SinkSkip,
    params(("sink" = String, Path, description = "name")), responses((status = 200, body = SinkSkipped)))]
async fn skip(
    State(state): State<AppState>,
    caller: Caller,
    Path(sink): Path<String>,
    Json(skip): Json<SinkSkip>,
) -> ApiResult<Json<SinkSkipped>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(state.sinks.skip(caller, sink, skip).await?))
}

/// Sends an event that is no entry, and waits for what becomes of it. For administrators.
#[utoipa::path(post, path = "/v1/sinks/{sink}/test", tag = "sinks",
    params(("sink" = String, Path, description = "name")), responses((status = 200, body = SinkTested)))]
async fn test(State(state): State<AppState>, caller: Caller, Path(sink): Path<String>) -> ApiResult<Json<SinkTested>> {
    caller.may_on_server(Action::ManageServer)?;
    Ok(Json(state.sinks.test(&caller, &sink).await?))
}

impl From<SinksError> for ApiError {
    fn from(error: SinksError) -> Self {
        match error {
            SinksError::NotFound(why) => Self::not_found(why),
            SinksError::Conflict(why) => Self::conflict(why),
            SinksError::Authorization(error) => error.into(),
            SinksError::Storage(error) => error.into(),
        }
    }
}
