//! Step 2 of a request: may it be done? Called inside the transaction that records the answer, so nothing here waits or
//! writes.

use sealcard_api::{Timestamp, record::RequestState};
use sealcard_policy::{Action, Role};
use sealcard_record::{
    Event,
    event::{DenialCause, UseIntent},
};
use sealcard_signer_protocol::{Operation, StoredKey, check};
use uuid::Uuid;

use super::{
    RequestError, Requests, UseRequest, events,
    facts::{component_role, policy_operation},
    state::{self, Input},
};
use crate::{
    authn::{Caller, policy_facts},
    storage::{Arrival, Facts, RequestRow, Snapshot, StorageError, Verdict},
};

/// What was decided.
pub(super) enum Decided {
    /// It is allowed, and its intent is recorded with the decision.
    Begin(Box<Allowed>),
    /// An earlier request with the same idempotency key answers it.
    Earlier(RequestRow),
    /// It is denied or refused, which is recorded with the decision.
    Refused(RequestError),
}

/// An allowed request.
pub(super) struct Allowed {
    pub(super) intent: UseIntent,
    /// The component that does it.
    pub(super) component: StoredKey,
    /// Whether the caller looks after the server or the project, and may know why a signer does not start.
    pub(super) caller_may_know: bool,
}

/// Why a use is not allowed.
pub(super) struct Denial {
    pub(super) cause: DenialCause,
    pub(super) reasons: Vec<String>,
}

/// Why policy denies it now, from these facts. None if it allows it.
pub(super) fn denial(operation: &Operation, facts: Option<&Facts>, now: Timestamp) -> Option<Denial> {
    let Some(facts) = facts else {
        return Some(Denial { cause: DenialCause::Grant, reasons: vec![RequestError::UnknownGrant.to_string()] });
    };
    let decision = sealcard_policy::decide(&policy_facts(facts, now), Action::UseKey(policy_operation(operation)));
    (!decision.allowed()).then(|| Denial { cause: events::cause(&decision), reasons: decision.reasons() })
}

/// Decides from what the transaction sees. `without_permit`: the signer was not asked for one, or has no place for one
/// more use.
pub(super) fn decide(
    caller: &Caller,
    request: &UseRequest,
    Snapshot { facts, arrival, now }: Snapshot<'_>,
    without_permit: bool,
    host: Option<Uuid>,
) -> Verdict<Decided> {
    let refuse = |input, cause, reasons, error| {
        let entry = events::denied(caller, request, facts, host, cause, reasons);
        Verdict {
            next: state::next(RequestState::Received, input).map(|state| (state, entry)),
            value: Decided::Refused(error),
        }
    };
    let deny = |cause, error: RequestError| refuse(Input::Deny, cause, vec![error.to_string()], error);
    let Some(known) = facts else { return deny(DenialCause::Grant, RequestError::UnknownGrant) };
    let policy = policy_facts(known, now);
    let decision = sealcard_policy::decide(&policy, Action::UseKey(policy_operation(&request.operation)));
    if !decision.allowed() {
        let cause = events::cause(&decision);
        return refuse(Input::Deny, cause, decision.reasons(), RequestError::Denied { decision, detail: None });
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
        Arrival::Repeated(row) => return Verdict { next: None, value: Decided::Earlier(row.clone()) },
        Arrival::New => {}
    }
    if without_permit {
        let error = RequestError::Busy;
        return refuse(Input::Refuse, DenialCause::Busy, vec![error.to_string()], error);
    }
    let entry = caller.draft(Event::UseIntent(intent.clone()));
    let next = state::next(RequestState::Received, Input::Allow).map(|state| (state, entry));
    let caller_may_know = policy.principal.administers() || policy.roles.contains(Role::Owner);
    let allowed = Allowed { intent, component: component.key.clone(), caller_may_know };
    Verdict { next, value: Decided::Begin(Box::new(allowed)) }
}

impl Requests {
    /// Adds the key's state to a denial that is about it.
    pub(super) async fn explain(
        &self,
        error: RequestError,
        request: &UseRequest,
        now: Timestamp,
    ) -> Result<RequestError, StorageError> {
        match error {
            RequestError::Denied { decision, .. } if decision.is_about_the_key() => {
                let key = self.store.key(request.key).await?;
                let role = component_role(&request.operation);
                let detail = key.and_then(|key| key.obstacle_to(role, now));
                Ok(RequestError::Denied { decision, detail })
            }
            other => Ok(other),
        }
    }
}
