//! Approvals: `/v1/approvals`.

use std::collections::HashSet;

use axum::{
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use sealcard_api::{
    approvals::{
        Approval, ApprovalFilter, ApprovalList, ApprovalState, CloseReview, DecideRequest, MAX_DECISIONS, NewApproval,
    },
    ids::{ApprovalId, ProjectId},
    problem::ProblemCode,
    rules::{Justification, PageLimit},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{ApiError, ApiResult, AppState, Caller, Json, Path, Query};
use crate::approvals::{self, ApprovalError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, ask))
        .routes(routes!(show, end))
        .routes(routes!(decide))
        .routes(routes!(review))
}

/// Approvals that the caller asked for, may have to decide about, or answers for; oldest first.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(
    ("mine" = Option<bool>, Query, description = "only those that the caller can decide now"),
    ("project" = Option<ProjectId>, Query, description = "only those of this project"),
    ("all" = Option<bool>, Query, description = "also those of which nothing can come any more"),
    ("limit" = Option<PageLimit>, Query, description = "1 to 500, 100 if absent"),
), responses((status = 200, body = ApprovalList)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Query(filter): Query<ApprovalFilter>,
) -> ApiResult<Json<ApprovalList>> {
    if let Some(limit) = filter.limit {
        PageLimit::check("limit", limit).map_err(ApiError::invalid)?;
    }
    let (approvals, more) = state.requests.approvals.list(&caller, &filter).await?;
    Ok(Json(ApprovalList { approvals, more }))
}

/// One of them.
#[utoipa::path(get, path = "/v1/approvals/{approval}", tag = "approvals",
    params(("approval" = ApprovalId, Path)), responses((status = 200, body = Approval)))]
async fn show(State(state): State<AppState>, caller: Caller, Path(id): Path<ApprovalId>) -> ApiResult<Json<Approval>> {
    Ok(Json(state.requests.approvals.show(&caller, id).await?))
}

/// Asks for uses of a key in advance (pre-approval), or in an emergency (break-glass).
#[utoipa::path(post, path = "/v1/approvals", tag = "approvals", request_body = NewApproval,
    responses((status = 201, body = Approval)))]
async fn ask(State(state): State<AppState>, caller: Caller, Json(new): Json<NewApproval>) -> ApiResult<Response> {
    Justification::check(&new.reason).map_err(ApiError::invalid)?;
    new.terms.check().map_err(ApiError::invalid)?;
    let NewApproval { kind, key, operation, terms, seconds, reason } = new;
    let new = approvals::NewApproval { kind: kind.into(), key, operation, terms, seconds, reason };
    let id = state.requests.approvals.ask(&caller, new).await?;
    let approval = state.requests.approvals.show(&caller, id).await?;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/v1/approvals/{id}"))], Json(approval)).into_response())
}

/// Withdraws what is not decided, for whoever asked for it; revokes what is approved, also for those who may approve it,
/// owners of its project, administrators and security officers.
#[utoipa::path(delete, path = "/v1/approvals/{approval}", tag = "approvals",
    params(("approval" = ApprovalId, Path)), responses((status = 200, body = Approval)))]
async fn end(State(state): State<AppState>, caller: Caller, Path(id): Path<ApprovalId>) -> ApiResult<Json<Approval>> {
    state.requests.approvals.end(&caller, id).await?;
    Ok(Json(state.requests.approvals.show(&caller, id).await?))
}

/// Approves or rejects, all or none.
#[utoipa::path(post, path = "/v1/approvals/decisions", tag = "approvals", request_body = DecideRequest,
    responses((status = 200, body = ApprovalList)))]
async fn decide(
    State(state): State<AppState>,
    caller: Caller,
    Json(body): Json<DecideRequest>,
) -> ApiResult<Json<ApprovalList>> {
    let DecideRequest { verdict, approvals, comment } = body;
    if !(1..=MAX_DECISIONS).contains(&approvals.len()) {
        return Err(ApiError::invalid(format!("One call decides about 1 to {MAX_DECISIONS} approvals.")));
    }
    let ids: HashSet<ApprovalId> = approvals.iter().map(|one| one.id).collect();
    if ids.len() != approvals.len() {
        return Err(ApiError::invalid("An approval is named twice."));
    }
    comment.as_deref().map_or(Ok(()), Justification::check).map_err(ApiError::invalid)?;
    let decided: Vec<ApprovalId> = approvals.iter().map(|one| one.id).collect();
    state.requests.approvals.decide(&caller, verdict, approvals, comment).await?;
    let mut approvals = Vec::with_capacity(decided.len());
    for id in decided {
        approvals.push(state.requests.approvals.show(&caller, id).await?);
    }
    Ok(Json(ApprovalList { approvals, more: false }))
}

/// Closes the review of a break-glass, for others than whoever asked for it.
#[utoipa::path(post, path = "/v1/approvals/{approval}/review", tag = "approvals", request_body = CloseReview,
    params(("approval" = ApprovalId, Path)), responses((status = 200, body = Approval)))]
async fn review(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ApprovalId>,
    Json(body): Json<CloseReview>,
) -> ApiResult<Json<Approval>> {
    Justification::check(&body.finding).map_err(ApiError::invalid)?;
    state.requests.approvals.close_review(&caller, id, body.finding).await?;
    Ok(Json(state.requests.approvals.show(&caller, id).await?))
}

impl From<ApprovalError> for ApiError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::NotFound => Self::not_found("There is no such approval, or none that you may see."),
            ApprovalError::Changed(id) => Self::new(ProblemCode::Changed).detail(format!(
                "The approval {id} has changed since you saw it, so nothing was decided. Look at it again."
            )),
            ApprovalError::Over(id, state) => {
                let over = match state {
                    ApprovalState::Approved => "is approved already",
                    ApprovalState::Rejected => "was rejected",
                    ApprovalState::Expired => "has expired",
                    ApprovalState::Cancelled => "was withdrawn",
                    ApprovalState::Revoked => "was revoked",
                    ApprovalState::Spent => "is used up",
                    ApprovalState::Pending => "waits",
                };
                Self::conflict(format!("The approval {id} {over}: nothing can be decided about it any more."))
            }
            ApprovalError::NotYours(why) => Self::new(ProblemCode::Forbidden).detail(why),
            ApprovalError::Invalid(why) => Self::invalid(why),
            ApprovalError::Conflict(why) => Self::conflict(why),
            ApprovalError::Authorization(error) => error.into(),
            ApprovalError::Storage(error) => error.into(),
        }
    }
}
