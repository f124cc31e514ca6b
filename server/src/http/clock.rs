//! The server's clock, and the confirmation that it is right after it jumped: `/v1/clock`.

use axum::extract::State;
use sealcard_api::{
    Timestamp,
    clock::{ClockConfirmation, ClockDoubt, ClockState},
};
use sealcard_policy::Action;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json};
use crate::clock::{self, ConfirmError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(confirm))
}

/// What the clock shows, and whether it is in doubt. For holders of a system role.
#[utoipa::path(get, path = "/v1/clock", tag = "clock", responses((status = 200, body = ClockState)))]
async fn show(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<ClockState>> {
    caller.may_on_server(Action::ReadEverything)?;
    now(&state).await
}

/// Says that the clocks of all nodes are right, which ends the doubt. For administrators.
#[utoipa::path(post, path = "/v1/clock/confirm", tag = "clock", request_body = ClockConfirmation,
    responses((status = 200, body = ClockState)))]
async fn confirm(
    State(state): State<AppState>,
    caller: Caller,
    Json(ClockConfirmation { since }): Json<ClockConfirmation>,
) -> ApiResult<Json<ClockState>> {
    caller.may_on_server(Action::ManageServer)?;
    clock::confirm(&state.store, caller, since).await?;
    now(&state).await
}

async fn now(state: &AppState) -> ApiResult<Json<ClockState>> {
    let doubt = state.store.recorded_clock_doubt().await?;
    let node = state.store.node();
    let doubt = doubt.map(|doubt| ClockDoubt { since: doubt.since, seconds: doubt.seconds, here: doubt.node == node });
    Ok(Json(ClockState { time: Timestamp::now(), doubt }))
}

impl From<ConfirmError> for ApiError {
    fn from(error: ConfirmError) -> Self {
        match error {
            ConfirmError::Outdated(why) => Self::conflict(why),
            ConfirmError::Authorization(error) => error.into(),
            ConfirmError::Storage(error) => error.into(),
        }
    }
}
