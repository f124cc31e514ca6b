//! Signing requests: `/v1/requests/{request}`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Extension, State},
    http::StatusCode,
};
use sealcard_api::{Bytes, ids::RequestId, record::RequestState, requests::SigningRequest, rules::WaitSeconds};
use sealcard_policy::Action;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query, slots::Slot};
use crate::{limits, requests::CancelError, storage::RequestRow};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(show, cancel))
}

/// How long to wait.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    wait: Option<u32>,
}

/// A signing request: for its requester, for its project's auditors and for administrators. Finished ones are deleted
/// after a time (`request-retention-hours`); the record keeps them.
#[utoipa::path(get, path = "/v1/requests/{request}", tag = "operations",
    params(("request" = RequestId, Path),
        ("wait" = Option<WaitSeconds>, Query, description = "seconds to wait until nothing more happens to the \
            request")),
    responses((status = 200, body = SigningRequest)))]
async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RequestId>,
    Query(query): Query<WaitQuery>,
    Extension(slot): Extension<Arc<Slot>>,
) -> ApiResult<Json<SigningRequest>> {
    if let Some(wait) = query.wait {
        WaitSeconds::check("wait", wait).map_err(ApiError::invalid)?;
    }
    let row = visible(&state, &caller, state.store.request(id).await?).await?;
    let seconds = u64::from(query.wait.unwrap_or_default());
    let row = if seconds == 0 || row.state.is_final() {
        row
    } else {
        let seconds = Duration::from_secs(seconds)
            .min(state.config.limits.request_timeout().saturating_sub(limits::LONG_POLL_MARGIN));
        // Others may be answered meanwhile.
        slot.leave();
        state.requests.watch(id, Instant::now() + seconds).await?.ok_or_else(unknown)?
    };
    let own = row.principal == caller.principal;
    let rejection = match (row.state, row.approval) {
        (RequestState::Rejected, Some(approval)) => state.requests.approvals.rejection(approval).await?,
        _ => None,
    };
    Ok(Json(SigningRequest {
        id: row.id,
        state: row.state,
        principal: row.principal,
        project: row.project,
        key: row.key,
        operation: row.operation,
        approval: row.approval,
        rejection,
        signature: row.signature.filter(|_| own).map(Bytes),
    }))
}

/// Gives up a request that waits: for its requester.
#[utoipa::path(delete, path = "/v1/requests/{request}", tag = "operations",
    params(("request" = RequestId, Path)), responses((status = 204, description = "It is cancelled")))]
async fn cancel(State(state): State<AppState>, caller: Caller, Path(id): Path<RequestId>) -> ApiResult<StatusCode> {
    let row = visible(&state, &caller, state.store.request(id).await?).await?;
    if row.principal != caller.principal {
        return Err(ApiError::new(sealcard_api::problem::ProblemCode::Forbidden)
            .detail("Only its requester can cancel a request."));
    }
    match state.requests.cancel(&caller, &row).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(CancelError::TooLate(state)) => {
            Err(ApiError::conflict(format!("The request is {}: only one that waits can be cancelled.", state.name())))
        }
        Err(CancelError::Authorization(error)) => Err(error.into()),
        Err(CancelError::Storage(error)) => Err(error.into()),
    }
}

/// The request, if the caller may see it.
async fn visible(state: &AppState, caller: &Caller, row: Option<RequestRow>) -> ApiResult<RequestRow> {
    let row = row.ok_or_else(unknown)?;
    if row.principal == caller.principal {
        return Ok(row);
    }
    let allowed = match row.project {
        Some(project) => {
            let roles = state.store.roles_in_project(caller.principal, project).await?;
            caller.may(roles, Action::ReadProjectRecord)
        }
        None => caller.may_on_server(Action::ReadWholeRecord),
    };
    allowed.map(|()| row).map_err(|_| unknown())
}

fn unknown() -> ApiError {
    ApiError::not_found("There is no such request, or it is not yours, or it ended too long ago: the record has it.")
}
