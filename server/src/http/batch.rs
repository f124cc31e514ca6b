//! Several digests in one request: `POST /v1/keys/{key}/sign-batch`, for tools that sign many files.
//!
//! Each digest goes the whole way of a single request: decision, intent, signer, verification, outcome. What is saved
//! is the way over the network; and since they go at once, the record's writer makes them durable together.

use std::{collections::HashSet, sync::Arc};

use axum::extract::State;
use sealcard_api::{
    context::UseContext,
    ids::{KeyId, RequestId},
    operations::{MAX_BATCH, SignBatchItem, SignBatchRequest, SignBatchResponse, SignBatchResult},
    problem::{Problem, ProblemCode},
};
use sealcard_signer_protocol::Operation;
use tokio::{sync::Semaphore, task::JoinSet};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, ApiResult, AppState, Caller, Json, Path,
    extract::Requester,
    operations::{checked, signature},
};
use crate::{
    limits,
    requests::{UseAnswer, UseRequest},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sign_batch))
}

/// Signatures over several digests, with the key's signing subkey. Each has its own result.
#[utoipa::path(post, path = "/v1/keys/{key}/sign-batch", tag = "operations", request_body = SignBatchRequest,
    params(("key" = KeyId, Path)), responses((status = 200, body = SignBatchResponse)))]
async fn sign_batch(
    State(state): State<AppState>,
    Requester(caller): Requester,
    Path(key): Path<KeyId>,
    Json(body): Json<SignBatchRequest>,
) -> ApiResult<Json<SignBatchResponse>> {
    check(&body.items)?;
    let context = checked(body.context)?;
    let slots = Arc::new(Semaphore::new(limits::BATCH_CONCURRENCY));
    let count = body.items.len();
    let mut tasks = JoinSet::new();
    for (index, item) in body.items.into_iter().enumerate() {
        // Each digest is a request of its own in the record.
        let caller = caller.in_request(RequestId::new());
        let (state, slots, context) = (state.clone(), Arc::clone(&slots), context.clone());
        tasks.spawn(async move {
            // The semaphore is never closed; without a permit the digest would only be signed earlier.
            let _slot = slots.acquire().await;
            (index, one(&state, &caller, key, item, context).await)
        });
    }
    let mut results = vec![None; count];
    while let Some(ended) = tasks.join_next().await {
        let (index, result) = ended.map_err(|error| ApiError::internal(&error))?;
        if let Some(place) = results.get_mut(index) {
            *place = Some(result);
        }
    }
    let results: Option<Vec<_>> = results.into_iter().collect();
    results.map(|results| Json(SignBatchResponse { results })).ok_or_else(|| ApiError::new(ProblemCode::Internal))
}

fn check(items: &[SignBatchItem]) -> ApiResult<()> {
    if !(1..=MAX_BATCH).contains(&items.len()) {
        return Err(ApiError::invalid(format!("A batch has 1 to {MAX_BATCH} items.")));
    }
    let mut keys = HashSet::new();
    if items.iter().all(|item| keys.insert(item.idempotency_key)) {
        return Ok(());
    }
    Err(ApiError::invalid("Each item of a batch needs an idempotency key of its own."))
}

async fn one(
    state: &AppState,
    caller: &Caller,
    key: KeyId,
    item: SignBatchItem,
    context: UseContext,
) -> SignBatchResult {
    let operation = Operation::Sign { hash: item.hash, digest: item.digest.0 };
    let request = UseRequest { key, idempotency_key: item.idempotency_key, operation, context };
    match state.requests.submit(caller, request).await {
        Ok(UseAnswer::Done(response)) => SignBatchResult::Signed(signature(response)),
        Ok(UseAnswer::Waits(waiting)) => SignBatchResult::Waiting(*waiting),
        Err(error) => {
            let problem = Problem { request_id: Some(caller.request_id), ..ApiError::from(error).into_problem() };
            SignBatchResult::Problem(Box::new(problem))
        }
    }
}
