//! Steps 3 to 5 of a request: the signer is asked, its answer is verified, the outcome is recorded.

use std::sync::Arc;

use sealcard_api::record::RequestState;
use sealcard_signer_protocol::{Operation, RequestBody, ResponseBody, SignerError};

use super::{
    Output, RequestError, Requests, UseRequest, UseResponse,
    decide::Allowed,
    events,
    metrics::{Stage, Stopwatch},
    state::{self, Input},
    verify,
};
use crate::{
    authn::Caller,
    failpoint,
    signers::{Signer, UseError, UsePermit, stated},
};

/// A use of a key that is allowed, and whose intent is in the record.
pub(super) struct Use {
    pub(super) caller: Caller,
    pub(super) request: UseRequest,
    pub(super) allowed: Allowed,
}

impl Requests {
    /// Uses the key and records the outcome. The output is returned only after the outcome is durable.
    pub(super) async fn execute(
        &self,
        use_: Use,
        signer: Option<(Arc<Signer>, UsePermit)>,
        mut stopwatch: Stopwatch,
    ) -> Result<UseResponse, RequestError> {
        // 3 Use.
        let answer = match signer {
            Some((signer, permit)) => signer.use_key(use_.message(), permit).await,
            None => Err(UseError::NotAsked),
        };
        let journal = answer.as_ref().ok().and_then(|used| used.journal);
        stopwatch.lap(Stage::Use);
        failpoint::hit("server::after_signer");
        // 4 Verify.
        let (input, result) = judge_answer(&use_, answer.map(|used| used.body));
        stopwatch.lap(Stage::Verify);
        // 5 Finish.
        self.finish(&use_, input, &result, journal).await?;
        stopwatch.lap(Stage::Finish);
        failpoint::hit("server::after_outcome");
        Ok(UseResponse { request_id: use_.caller.request_id, output: result? })
    }

    async fn finish(
        &self,
        use_: &Use,
        input: Input,
        result: &Result<Output, RequestError>,
        journal: Option<u64>,
    ) -> Result<(), RequestError> {
        let state = state::next(RequestState::Signing, input).unwrap_or(RequestState::Unknown);
        let signature = match result {
            Ok(Output::Signature(signature)) => Some(signature.clone()),
            _ => None,
        };
        let counts = result.is_ok() && matches!(use_.request.operation, Operation::Sign { .. });
        let counted = counts.then_some(use_.request.key);
        let outcome = events::outcome(&use_.caller, &use_.allowed.intent, state, result, journal);
        self.store.finish_request(signature, counted, outcome).await?;
        if state == RequestState::Unknown {
            self.metrics.outcome_is_unknown();
        }
        Ok(())
    }
}

impl Use {
    fn message(&self) -> RequestBody {
        RequestBody::Use {
            key: self.allowed.component.clone(),
            operation: self.request.operation.clone(),
            stated: stated(self.caller.request_id, Some(&self.caller.actor())),
        }
    }
}

/// The outcome that an answer of the signer means. A signature that does not verify is discarded (promise 8).
fn judge_answer(use_: &Use, answer: Result<ResponseBody, UseError>) -> (Input, Result<Output, RequestError>) {
    let error = match answer {
        Ok(ResponseBody::Signature(signature)) => {
            match verify::verify(&use_.allowed.component, &use_.request.operation, &signature) {
                Ok(()) => return (Input::Succeed, Ok(Output::Signature(signature))),
                Err(error) => RequestError::Fault(error.to_string()),
            }
        }
        Ok(ResponseBody::Plaintext(plaintext)) if matches!(use_.request.operation, Operation::Decrypt { .. }) => {
            return (Input::Succeed, Ok(Output::Plaintext(plaintext)));
        }
        Ok(_) => RequestError::Fault("the signer answered something else than was asked".to_owned()),
        Err(UseError::Refused(
            SignerError::Sealed | SignerError::Locked | SignerError::PinRefused { .. } | SignerError::PinNotTried(_),
        )) => RequestError::Sealed,
        Err(UseError::DecryptionFailed { delay }) => RequestError::DecryptionFailed { delay },
        Err(UseError::Refused(error @ (SignerError::Invalid(_) | SignerError::Unsupported(_)))) => {
            RequestError::Unfit(error.to_string())
        }
        Err(UseError::Refused(error)) if error.may_have_used_the_key() => {
            return (Input::Lose, Err(RequestError::Token(error.to_string())));
        }
        Err(UseError::Refused(
            error @ (SignerError::Token { .. } | SignerError::TokenAbsent(_) | SignerError::NotOnToken(_)),
        )) => RequestError::Token(error.to_string()),
        Err(UseError::Refused(error @ SignerError::JournalFull(_))) => RequestError::DiskFull(error.to_string()),
        Err(UseError::Refused(error)) => RequestError::Fault(error.to_string()),
        Err(UseError::NotAsked) => RequestError::SignerUnavailable,
        Err(UseError::NotStarted(why)) => {
            RequestError::NotStarted { why, caller_may_know: use_.allowed.caller_may_know }
        }
        Err(error @ UseError::TooLong) => RequestError::Unfit(error.to_string()),
        Err(UseError::Unavailable) => return (Input::Lose, Err(RequestError::SignerUnavailable)),
    };
    (Input::Fail, Err(error))
}
