//! What came of one attempt to answer a request.

use sealcard_api::{ids::RequestId, record::RequestState};

use super::{
    error::RequestError,
    request::{Output, UseResponse},
    waiting::Waits,
};
use crate::storage::RequestRow;

/// What came of an attempt.
pub(super) enum Attempt {
    Done(UseResponse),
    /// It waits for people.
    Waits(Waits),
    /// The same request began before, and has no outcome yet.
    EarlierOneRuns(RequestId),
}

/// The answer of an earlier request with the same idempotency key.
pub(super) fn earlier_answer(earlier: RequestRow) -> Result<Attempt, RequestError> {
    let RequestRow { id, state, signature, .. } = earlier;
    match (state, signature) {
        (RequestState::Signed, Some(signature)) => {
            Ok(Attempt::Done(UseResponse { request_id: id, output: Output::Signature(signature) }))
        }
        (RequestState::Unknown, _) => Err(RequestError::OutcomeUnknown),
        (state, _) if !state.is_final() => Ok(Attempt::EarlierOneRuns(id)),
        (state, _) => Err(RequestError::Fault(format!("an earlier request is {}", state.name()))),
    }
}
