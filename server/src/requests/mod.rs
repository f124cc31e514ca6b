//! One signing request, from its arrival to its answer.
//!
//! ```text
//! 1 receive   facts, as far as they are known; a permit of the signer's limiter
//! 2 decide    in one transaction: the idempotency key is compared, policy is asked, the answer is recorded
//!             ├ denied  → answered
//!             ├ earlier → the earlier request's answer, or wait for it
//!             └ allowed → the intent is durable
//! 3 use       the signer is asked
//! 4 verify    the signature is checked with the public key
//! 5 finish    the outcome is durable
//! 6 answer    late, if a key's decryptions fail or too many requests wait
//! ```
//!
//! Nothing that a key made leaves before its outcome is in the record. What ends between 2 and 5 becomes `unknown`: at the
//! next start, or at once when the signer does not answer.

mod error;
mod events;
mod execute;
mod facts;
mod orphans;
pub mod state;
mod verify;
mod wait;

use std::{sync::Arc, time::Instant};

use aws_lc_rs::digest::{SHA256, digest};
use sealcard_api::{
    Timestamp,
    ids::{KeyId, RequestId},
    record::RequestState,
};
use sealcard_policy::Action;
use sealcard_record::{
    Event,
    event::{DenialCause, UseIntent},
};
use sealcard_signer_protocol::{Input, Operation, Plaintext, StoredKey, check};
use tokio::time::sleep;
use uuid::Uuid;

pub use error::RequestError;
pub use facts::policy_facts;
pub use wait::{CancelError, Running};

use self::{
    execute::Use,
    facts::{component_role, policy_operation},
    wait::REPETITION_WAIT,
};
use crate::{
    authn::Caller,
    failpoint,
    limiter::Busy,
    signers::{Signer, Signers, UsePermit},
    storage::{Arrival, Facts, FactsQuery, NewRequest, RequestRow, StorageError, Store, Target, Verdict},
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

/// A request to use a key.
#[derive(Debug, Clone)]
pub struct UseRequest {
    /// The signing key.
    pub key: KeyId,
    /// One for each use, however often the request is repeated.
    pub idempotency_key: Uuid,
    /// What is to be done.
    pub operation: Operation,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct UseResponse {
    /// The request that used the key: for a repetition the first one.
    pub request_id: RequestId,
    /// What the key made.
    pub output: Output,
}

/// What a key made.
#[derive(Debug, Clone)]
pub enum Output {
    /// A signature.
    Signature(Vec<u8>),
    /// A decrypted secret.
    Plaintext(Plaintext),
}

impl UseResponse {
    /// The bytes that the key made. The allocator wipes them when they are freed.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self.output {
            Output::Signature(signature) => signature,
            Output::Plaintext(mut plaintext) => std::mem::take(&mut plaintext.0),
        }
    }
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
            let facts = self.store.cached_facts(query(caller, &request)).await?;
            let permit = self.permit(caller, &request.operation, facts.as_ref()).await;
            // What has begun is brought to its end even when the caller hangs up.
            let (this, attempt) = (self.clone(), (caller.clone(), request.clone()));
            let work = tokio::spawn(async move { this.decide_and_use(attempt.0, attempt.1, facts, permit).await });
            // A panic's text could hold anything.
            let work = work.await.map_err(|_| RequestError::Fault("the work failed inside the server".to_owned()))?;
            match work {
                // 6 Answer.
                Ok(Attempt::Done(response)) => return Ok(response),
                Err(error) => {
                    // The outcome is recorded and the permit given back: nobody else waits meanwhile.
                    sleep(error.answered_after()).await;
                    return Err(error);
                }
                // A repetition waits for the first request, and then is decided anew.
                Ok(Attempt::EarlierOneRuns(id)) => self.wait_for(id, deadline).await?,
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
        let busy = matches!(permit, Permit::Busy);
        let host = self.store.host();
        let arrived = self.arrived(&caller, &request);
        let judge = {
            let (caller, request) = (caller.clone(), request.clone());
            move |facts: Option<&Facts>, arrival: &Arrival| decide(&caller, &request, facts, arrival, busy, host)
        };
        let begun = self.store.begin_request(arrived, query(&caller, &request), cached, judge).await?;
        let (intent, component) = match (begun.value, begun.arrival) {
            (Ok(Some(allowed)), _) => allowed,
            (Ok(None), Arrival::Repeated(earlier)) => return earlier_answer(earlier),
            (Ok(None), _) => return Err(RequestError::Fault("the request was neither new nor known".to_owned())),
            (Err(error), _) => return Err(self.explain(error, &request).await?),
        };
        failpoint::hit("server::after_intent");
        // 3 Use, 4 verify, 5 finish.
        let caller_may_know = caller.administers() || begun.facts.is_some_and(|facts| owns(&facts));
        let output = self.execute(Use { caller, request, intent, component, caller_may_know }, permit).await?;
        Ok(Attempt::Done(output))
    }

    fn arrived(&self, caller: &Caller, request: &UseRequest) -> NewRequest {
        NewRequest {
            id: caller.request_id,
            principal: caller.principal,
            grant: caller.grant,
            idempotency_key: request.idempotency_key,
            key: request.key,
            operation: request.operation.name(),
            input_sha256: idempotent_input(&request.operation),
            node: self.store.node(),
        }
    }

    /// The signer's permit, before anything is recorded as begun.
    async fn permit(&self, caller: &Caller, operation: &Operation, facts: Option<&Facts>) -> Permit {
        let key = facts.and_then(|facts| facts.key.as_ref());
        let component = key.and_then(|key| Some((key.environment, key.component.as_ref()?.key.algorithm)));
        let signer = component.and_then(|(environment, algorithm)| Some((self.signers.get(environment)?, algorithm)));
        let Some((signer, algorithm)) = signer else { return Permit::NoSigner };
        match signer.permit(caller.principal, (algorithm, operation.name())).await {
            Ok(permit) => Permit::Granted(signer, permit),
            Err(Busy) => Permit::Busy,
        }
    }

    /// Adds the key's state to a denial that is about it.
    async fn explain(&self, error: RequestError, request: &UseRequest) -> Result<RequestError, StorageError> {
        match error {
            RequestError::Denied { decision, .. } if decision.is_about_the_key() => {
                let key = self.store.key(request.key).await?;
                let role = component_role(&request.operation);
                let detail = key.and_then(|key| key.obstacle_to(role, Timestamp::now()));
                Ok(RequestError::Denied { decision, detail })
            }
            other => Ok(other),
        }
    }
}

/// What came of an attempt.
enum Attempt {
    Done(UseResponse),
    /// The same request began before, and has no outcome yet.
    EarlierOneRuns(RequestId),
}

/// Whether a signer can take the use.
enum Permit {
    Granted(Arc<Signer>, UsePermit),
    /// Not now.
    Busy,
    /// The key, or its environment, has no signer here.
    NoSigner,
}

/// The intent of an allowed request and the component that does it; nothing if an earlier request answers it.
type Decided = Result<Option<(UseIntent, StoredKey)>, RequestError>;

fn query(caller: &Caller, request: &UseRequest) -> FactsQuery {
    let target = Target::Key(request.key, component_role(&request.operation));
    FactsQuery { token: caller.token, target }
}

/// Step 2, inside the transaction: nothing here waits or writes.
fn decide(
    caller: &Caller,
    request: &UseRequest,
    facts: Option<&Facts>,
    arrival: &Arrival,
    busy: bool,
    host: Option<Uuid>,
) -> Verdict<Decided> {
    let refuse = |input, cause, reasons, error| {
        let entry = events::denied(caller, request, facts, host, cause, reasons);
        Verdict { next: state::next(RequestState::Received, input).map(|state| (state, entry)), value: Err(error) }
    };
    let deny = |cause, error: RequestError| refuse(state::Input::Deny, cause, vec![error.to_string()], error);
    let Some(known) = facts else { return deny(DenialCause::Grant, RequestError::UnknownGrant) };
    let policy = policy_facts(known, Timestamp::now());
    let decision = sealcard_policy::decide(&policy, Action::UseKey(policy_operation(&request.operation)));
    if !decision.allowed() {
        let cause = events::cause(&decision);
        return refuse(state::Input::Deny, cause, decision.reasons(), RequestError::Denied { decision, detail: None });
    }
    let component = known.key.as_ref().and_then(|key| key.component.as_ref());
    let (Some(intent), Some(component)) = (events::intent(request, known, host), component) else {
        return deny(DenialCause::Policy, RequestError::Fault("policy allowed the use of no key".to_owned()));
    };
    if let Err(error) = check(&component.key, &request.operation) {
        return deny(DenialCause::Input, RequestError::Unfit(error.to_string()));
    }
    match arrival {
        Arrival::Mismatched => return deny(DenialCause::IdempotencyKey, RequestError::Mismatch),
        Arrival::Repeated(_) => return Verdict { next: None, value: Ok(None) },
        Arrival::New => {}
    }
    if busy {
        let error = RequestError::Busy;
        return refuse(state::Input::Refuse, DenialCause::Busy, vec![error.to_string()], error);
    }
    let entry = caller.draft(Event::UseIntent(intent.clone()));
    let next = state::next(RequestState::Received, state::Input::Allow).map(|state| (state, entry));
    Verdict { next, value: Ok(Some((intent, component.key.clone()))) }
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

fn owns(facts: &Facts) -> bool {
    facts.roles.contains(sealcard_policy::Role::Owner)
}

/// What an idempotency key is bound to besides key and operation: the input and, where there is one, its hash algorithm.
fn idempotent_input(operation: &Operation) -> [u8; 32] {
    let mut bound = Vec::with_capacity(128);
    let input = operation.input();
    if let Input::Digest(hash, _) = input {
        bound.extend_from_slice(hash.name().as_bytes());
        bound.push(0);
    }
    bound.extend_from_slice(input.bytes());
    sha256(&bound)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
