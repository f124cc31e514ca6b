//! One signing request, from its arrival to its answer.
//!
//! ```text
//! 1 receive   the requester's budgets; facts, as far as they are known; a permit of the signer's limiter
//! 2 decide    in one transaction: the idempotency key is compared, policy is asked, the answer is recorded
//!             ├ denied  → answered
//!             ├ waiting → answered; people decide, and the request comes again
//!             ├ earlier → the earlier request's answer, or wait for it
//!             └ allowed → the intent is durable
//! 3 use       the signer is asked
//! 4 verify    the signature is checked with the public key
//! 5 finish    the outcome is durable
//! 6 answer    late, if a key's decryptions fail or too many requests wait
//! ```
//!
//! Nothing that a key made leaves before its outcome is in the record. What ends between 2 and 5 becomes `unknown`: at
//! the next start, or at once when the signer does not answer.

mod attempt;
mod budgets;
mod can;
mod decide;
mod error;
mod events;
mod execute;
mod facts;
mod judgement;
mod metrics;
mod orphans;
mod permit;
mod refusals;
mod request;
mod rules;
mod seen;
pub mod state;
mod verify;
mod wait;
mod waiting;

use std::{sync::Arc, time::Instant};

use self::{
    attempt::{Attempt, earlier_answer},
    budgets::Budgets,
    decide::{Decided, Decider},
    execute::Use,
    metrics::{Metrics, Stage, Stopwatch},
    permit::Permit,
    refusals::Refusals,
    seen::Seen,
};
pub use self::{
    can::{PossibleUse, Prospect},
    error::RequestError,
    request::{Output, UseAnswer, UseRequest, UseResponse},
    wait::{CancelError, Running},
};
pub(crate) use self::{refusals::Refused, rules::Rules};
use crate::{
    approvals::Approvals,
    authn::Caller,
    config::{ApprovalsConfig, Limits},
    failpoint, limits,
    signers::Signers,
    sinks::Requirement,
    storage::{Snapshot, Store},
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
    /// What people are asked to approve.
    pub approvals: Approvals,
    budgets: Budgets,
    refusals: Refusals,
    rules: Rules,
    /// Sinks without which no key is used.
    required: Requirement,
    /// How long requests wait for approval.
    waits: ApprovalsConfig,
    metrics: Metrics,
}

impl Requests {
    /// With no request in work.
    #[must_use]
    pub fn new(
        store: Store,
        signers: Arc<Signers>,
        limits: &Limits,
        approvals: ApprovalsConfig,
        required: Requirement,
    ) -> Self {
        let rules = Rules::default();
        Self {
            approvals: Approvals::new(store.clone(), rules.clone(), approvals),
            store,
            signers,
            running: Running::default(),
            budgets: Budgets::new(limits),
            refusals: Refusals::default(),
            rules,
            required,
            waits: approvals,
            metrics: Metrics::default(),
        }
    }

    /// Authorizes, records and performs one use of a key.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn submit(&self, caller: &Caller, request: UseRequest) -> Result<UseAnswer, RequestError> {
        let mut counted = self.metrics.arrival(request.operation.name());
        let result = self.answer(caller, request).await;
        counted.is(&result, caller.request_id);
        result
    }

    async fn answer(&self, caller: &Caller, request: UseRequest) -> Result<UseAnswer, RequestError> {
        self.budgets.begin_use(caller.principal, Instant::now())?;
        let deadline = Instant::now() + limits::REPETITION_WAIT;
        loop {
            // 1 Receive. The facts may be out of date: the transaction judges again.
            let mut stopwatch = self.metrics.stopwatch();
            let seen = self.see(caller, &request).await?;
            let denial = seen.denial();
            stopwatch.lap(Stage::Receive);
            self.budgets.admit(caller, denial.as_ref(), Instant::now())?;
            let allowed = seen.allowed();
            let permit = self.permit(caller, &request.operation, seen.facts.as_ref(), allowed).await;
            stopwatch.lap(Stage::Wait);
            // What has begun is brought to its end even when the caller hangs up.
            let (this, by, request) = (self.clone(), caller.clone(), request.clone());
            let work = tokio::spawn(async move { this.decide_and_use(by, request, (seen, permit), stopwatch).await });
            // A panic's text could hold anything.
            let work = work.await.map_err(|_| RequestError::Fault("the work failed inside the server".to_owned()))?;
            match work {
                // 6 Answer.
                Ok(Attempt::Done(response)) => return Ok(UseAnswer::Done(response)),
                Ok(Attempt::Waits(waits)) => {
                    return Ok(UseAnswer::Waits(Box::new(self.waiting_use(caller, waits).await?)));
                }
                Err(error) => {
                    // The outcome is recorded and the permit given back: nobody else waits meanwhile.
                    tokio::time::sleep(error.answered_after()).await;
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
        (seen, permit): (Seen, Permit),
        mut stopwatch: Stopwatch,
    ) -> Result<Attempt, RequestError> {
        // Known before the intent is, so that a repetition that finds the intent can wait for it.
        let _running = self.running.begin(caller.request_id);
        failpoint::hit("server::before_intent");
        // 2 Decide.
        let (arrived, query) = (request.arrived(&caller, self.store.node()), request.query(&caller));
        // Without a permit because step 1 read facts that denied the use: if the transaction's facts allow it, the
        // answer is "busy", and a retry gets a permit.
        let (without_permit, host) = (matches!(permit, Permit::Busy | Permit::NotAllowed), self.store.host());
        let (budgets, rules, cached, seen) = (self.budgets.clone(), self.rules.clone(), seen.facts, seen.judgement);
        let (approvals, required, by, what) = (self.waits, self.required.clone(), caller.clone(), request.clone());
        let decider = Decider { caller: by, request: what, rules, seen, without_permit, required, host, approvals };
        let judge = move |seen: Snapshot<'_>| budgets.charge(&decider.caller, decider.decide(seen)?, Instant::now());
        let decided = self.store.begin_request(arrived, query, cached, judge).await?;
        stopwatch.lap(Stage::Decide);
        let allowed = match decided {
            Decided::Begin(allowed) => *allowed,
            Decided::Earlier(row) => return earlier_answer(row),
            Decided::Waits(waits) => return Ok(Attempt::Waits(waits)),
            Decided::Refused(error) => return Err(self.explain(error, &request, caller.received).await?),
        };
        failpoint::hit("server::after_intent");
        // 3 Use, 4 verify, 5 finish.
        let signer = match permit {
            Permit::Granted(signer, permit) => Some((signer, permit)),
            Permit::Busy | Permit::NotAllowed | Permit::NoSigner => None,
        };
        let response = self.execute(Use { caller, request, allowed }, signer, stopwatch).await?;
        Ok(Attempt::Done(response))
    }
}
