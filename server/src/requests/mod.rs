//! One signing request, from its arrival to its answer.
//!
//! ```text
//! 1 receive   facts, as far as they are known; a place in the signer's queue
//! 2 decide    in one transaction: the idempotency key is compared, policy is asked, the answer is recorded
//!             ├ denied  → answered
//!             ├ earlier → the earlier request's answer, or wait for it
//!             └ allowed → the intent is durable
//! 3 use       the signer is asked
//! 4 verify    the signature is checked with the public key
//! 5 finish    the outcome is durable
//! 6 answer
//! ```
//!
//! Nothing that a key made leaves before its outcome is in the record. What ends between 2 and 5 becomes `unknown`: at the
//! next start, or at once when the signer does not answer.

mod decide;
mod error;
mod events;
mod execute;
mod facts;
mod orphans;
mod request;
pub mod state;
mod verify;
mod wait;

use std::{sync::Arc, time::Instant};

use sealcard_api::{ids::RequestId, record::RequestState};

use self::{
    decide::{Decided, decide},
    execute::Use,
    wait::REPETITION_WAIT,
};
pub use self::{
    error::RequestError,
    facts::policy_facts,
    request::{Output, UseRequest, UseResponse},
    wait::{CancelError, Running},
};
use crate::{
    authn::Caller,
    failpoint,
    signers::{Signer, Signers, Turn},
    storage::{Arrival, Facts, RequestRow, Store},
};

/// What signing requests need of the server. Cheap to clone.
#[derive(Clone)]
pub struct Requests {
    /// The record and the keys.
    pub store: Store,
    /// The signers.
    pub signers: Arc<Signers>,
    /// The requests that this process works on.
    pub running: Running,
}

impl Requests {
    /// With no request in work.
    #[must_use]
    pub fn new(store: Store, signers: Arc<Signers>) -> Self {
        Self { store, signers, running: Running::default() }
    }

    /// Authorizes, records and performs one use of a key.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn submit(&self, caller: &Caller, request: UseRequest) -> Result<UseResponse, RequestError> {
        let deadline = Instant::now() + REPETITION_WAIT;
        loop {
            // 1 Receive. The facts may be out of date: the transaction judges again.
            let facts = self.store.cached_facts(request.query(caller)).await?;
            let permit = self.permit(caller, facts.as_ref()).await;
            // What has begun is brought to its end even when the caller hangs up.
            let (this, attempt) = (self.clone(), (caller.clone(), request.clone()));
            let work = tokio::spawn(async move { this.decide_and_use(attempt.0, attempt.1, facts, permit).await });
            // A panic's text could hold anything.
            let work = work.await.map_err(|_| RequestError::Fault("the work failed inside the server".to_owned()))?;
            match work? {
                // 6 Answer.
                Attempt::Done(response) => return Ok(response),
                // A repetition waits for the first request, and then is decided anew.
                Attempt::EarlierOneRuns(id) => self.wait_for(id, deadline).await?,
            }
        }
    }

    /// Steps 2 to 5.
    async fn decide_and_use(
        &self,
        caller: Caller,
        request: UseRequest,
        cached: Option<Facts>,
        permit: Permit,
    ) -> Result<Attempt, RequestError> {
        // Known before the intent is, so that a repetition that finds the intent can wait for it.
        let _running = self.running.begin(caller.request_id);
        failpoint::hit("server::before_intent");
        // 2 Decide.
        let (arrived, query) = (request.arrived(&caller, self.store.node()), request.query(&caller));
        let (busy, host) = (matches!(permit, Permit::Busy), self.store.host());
        let asked = (caller.clone(), request.clone());
        let judge = move |facts: Option<&Facts>, arrival: &Arrival| {
            let (caller, request) = &asked;
            decide(caller, request, facts, arrival, busy, host)
        };
        let allowed = match self.store.begin_request(arrived, query, cached, judge).await? {
            Decided::Begin(allowed) => *allowed,
            Decided::Earlier(row) => return earlier_answer(row),
            Decided::Refused(error) => return Err(self.explain(error, &request).await?),
        };
        failpoint::hit("server::after_intent");
        // 3 Use, 4 verify, 5 finish.
        let response = self.execute(Use { caller, request, allowed }, permit).await?;
        Ok(Attempt::Done(response))
    }

    /// The place in the signer's queue, before anything is recorded as begun.
    async fn permit(&self, caller: &Caller, facts: Option<&Facts>) -> Permit {
        let key = facts.and_then(|facts| facts.key.as_ref());
        match key.and_then(|key| self.signers.get(key.environment)) {
            None => Permit::NoSigner,
            Some(signer) => match signer.turn(caller.principal).await {
                Some(turn) => Permit::Granted(signer, turn),
                None => Permit::Busy,
            },
        }
    }
}

/// What came of an attempt.
enum Attempt {
    Done(UseResponse),
    /// The same request began before, and has no outcome yet.
    EarlierOneRuns(RequestId),
}

/// A place in a signer's queue.
enum Permit {
    Granted(Arc<Signer>, Turn),
    /// It did not come in time.
    Busy,
    /// The key, or its environment, has no signer here.
    NoSigner,
}

/// The answer of an earlier request with the same idempotency key.
fn earlier_answer(earlier: RequestRow) -> Result<Attempt, RequestError> {
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
