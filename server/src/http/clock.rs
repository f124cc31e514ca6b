//! The server's clock, and the confirmation that it is right after it jumped: `/v1/clock`.

use axum::extract::State;
use sealcard_api::{
    Timestamp,
    clock::{ClockConfirmation, ClockDoubt, ClockState},
};
use sealcard_policy::Action;
use sealcard_record::{Event, event::ClockConfirmed};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(confirm))
}

/// What the clock shows, and whether it is in doubt. For administrators.
#[utoipa::path(get, path = "/v1/clock", tag = "clock", responses((status = 200, body = ClockState)))]
async fn show(State(state): State<AppState>, caller: Caller) -> ApiResult<Json<ClockState>> {
    caller.may_on_server(Action::ManageServer)?;
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
    let authorization = caller.authorization(&[Action::ManageServer]);
    state
        .change(authorization, None, move |tx| {
            let nothing =
                || ApiError::conflict("The clock is not in doubt, so there is nothing to confirm.".to_owned());
            let doubt = tx.confirm_clock()?.ok_or_else(nothing)?;
            if doubt.since != since {
                // The transaction's job fails, so the doubt stays.
                return Err(ApiError::conflict(
                    "The clock has jumped once more since you looked at it. Look again, then confirm.".to_owned(),
                ));
            }
            let confirmed = ClockConfirmed { since: doubt.since, seconds: doubt.seconds };
            tx.append_record(caller.draft(Event::ClockConfirmed(confirmed)));
            Ok(())
        })
        .await?;
    now(&state).await
}

async fn now(state: &AppState) -> ApiResult<Json<ClockState>> {
    let doubt = state.store.recorded_clock_doubt().await?;
    let node = state.store.node();
    let doubt = doubt.map(|doubt| ClockDoubt { since: doubt.since, seconds: doubt.seconds, here: doubt.node == node });
    Ok(Json(ClockState { time: Timestamp::now(), doubt }))
}
