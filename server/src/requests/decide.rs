//! Step 2 of a request: may it be done? Called inside the transaction that records the answer, so nothing here waits or
//! writes.

use std::collections::BTreeSet;

use sealcard_api::{Timestamp, record::RequestState};
use sealcard_policy::{Decision, Role};
use sealcard_record::{
    Event,
    event::{DenialCause, Judged, UseIntent},
};
use sealcard_signer_protocol::{StoredKey, check};
use uuid::Uuid;

use super::{
    RequestError, Requests, UseRequest, events,
    facts::{component_role, judged_facts, policy_operation},
    judgement::Judgement,
    rules::{NotCompiled, Rules, quota_uses},
    state::{self, Input},
    waiting::Waits,
};
use crate::{
    approvals,
    authn::Caller,
    config::ApprovalsConfig,
    sinks::Requirement,
    storage::{Arrival, Facts, RequestRow, Snapshot, StorageError, Verdict},
};

/// What was decided.
pub(super) enum Decided {
    /// It is allowed, and its intent is recorded with the decision.
    Begin(Box<Allowed>),
    /// An earlier request with the same idempotency key answers it.
    Earlier(RequestRow),
    /// It waits for people, which is recorded with the decision.
    Waits(Waits),
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

/// What a request is decided with, apart from what the transaction sees.
pub(super) struct Decider {
    pub(super) caller: Caller,
    pub(super) request: UseRequest,
    pub(super) rules: Rules,
    /// What step 1 saw.
    pub(super) seen: Option<Judgement>,
    /// The signer was not asked for a permit, or has no place for one more use.
    pub(super) without_permit: bool,
    /// Sinks without which no key is used.
    pub(super) required: Requirement,
    pub(super) host: Option<Uuid>,
    /// Approvals, where a flow says nothing else.
    pub(super) approvals: ApprovalsConfig,
}

impl Decider {
    /// Decides from what the transaction sees.
    pub(super) fn decide(&self, mut snapshot: Snapshot<'_>) -> Result<Verdict<Decided>, StorageError> {
        let Snapshot { facts, arrival, now, .. } = snapshot;
        let before = match arrival {
            Arrival::Waiting(row) => row.state,
            Arrival::New | Arrival::Repeated(_) | Arrival::Mismatched => RequestState::Received,
        };
        let deny = |cause, error: RequestError| Ok(self.refuse(facts, None, (before, Input::Deny, cause), error));
        let Some(known) = facts else { return deny(DenialCause::Grant, RequestError::UnknownGrant) };
        let rules = match self.rules.get(known) {
            Ok(rules) => rules,
            Err(NotCompiled) => Some(self.rules.compile(known, &snapshot.rule_texts()?)),
        };
        let mut judged = judged_facts(&self.caller, &self.request, known, now);
        let operation = policy_operation(&self.request.operation);
        let judge = |judged: &sealcard_policy::Facts, exhausted: &BTreeSet<&str>| {
            sealcard_policy::decide_use(judged, operation, rules.as_deref(), exhausted)
        };
        let denied = |decision: Decision, exhausted: &BTreeSet<&str>| {
            let cause = events::cause(&decision);
            let record = events::judged(known, &decision, exhausted, None);
            self.refuse(facts, record, (before, Input::Deny, cause), RequestError::Denied { decision, detail: None })
        };
        let seen = self.seen.as_ref().and_then(|seen| seen.still_holds(&judged, rules.as_ref()));
        let mut decision = seen.cloned().unwrap_or_else(|| judge(&judged, &BTreeSet::new()));
        let mut approved = None;
        if !decision.awaited().is_empty() {
            let wanted = self.wanted(known, arrival);
            let offers = snapshot.approved_uses(self.caller.principal, (self.request.key, operation.name()))?;
            for fitting in wanted.fitting(offers, &decision.awaited(), rules.as_deref()) {
                judged.request.approvals = fitting.met.clone();
                let with = judge(&judged, &BTreeSet::new());
                if with.allowed() {
                    (decision, approved) = (with, Some(fitting));
                    break;
                }
            }
        }
        let waits = !decision.awaited().is_empty();
        if !decision.allowed() && !waits {
            return Ok(denied(decision, &BTreeSet::new()));
        }
        let component = known.key.as_ref().and_then(|key| key.component.as_ref());
        let (Some(mut intent), Some(component)) = (events::intent(&self.request, known, self.host), component) else {
            return deny(DenialCause::Policy, RequestError::Fault("policy allowed the use of no key".to_owned()));
        };
        if let Err(error) = check(&component.key, &self.request.operation) {
            return deny(DenialCause::Input, RequestError::Unfit(error.to_string()));
        }
        match arrival {
            Arrival::Mismatched => return deny(DenialCause::IdempotencyKey, RequestError::Mismatch),
            Arrival::Repeated(row) => return Ok(Verdict { next: None, value: Decided::Earlier(row.clone()) }),
            Arrival::New | Arrival::Waiting(_) => {}
        }
        if waits {
            return self.wait(&mut snapshot, known, (&decision, rules.as_deref()), intent);
        }
        let caller_may_know =
            !judged.principal.effective_system_roles().is_empty() || judged.roles.contains(Role::Owner);
        let obstacle = match self.required.check(now) {
            Some(behind) => Some((DenialCause::Sink, RequestError::SinkBehind { behind, caller_may_know })),
            None => self.without_permit.then_some((DenialCause::Busy, RequestError::Busy)),
        };
        if let Some((cause, error)) = obstacle {
            return Ok(match arrival {
                // It waits on, and comes again.
                Arrival::Waiting(_) => Verdict { next: None, value: Decided::Refused(error) },
                _ => self.refuse(facts, None, (before, Input::Refuse, cause), error),
            });
        }
        if let Some(fitting) = &approved
            && !snapshot.spend_approval(fitting.id)?
        {
            // Another server took the last use. The next attempt sees that.
            return Ok(Verdict { next: None, value: Decided::Refused(RequestError::Busy) });
        }
        if let Some(rules) = &rules {
            // Last, because only a use that begins counts.
            let quotas = quota_uses(rules, known, now);
            let uses: Vec<_> = quotas.iter().map(|(_, one)| one.clone()).collect();
            let exhausted = snapshot.take_from_quotas(&uses)?;
            if !exhausted.is_empty() {
                if let Some(fitting) = &approved {
                    snapshot.give_approval_back(fitting.id)?;
                }
                let exhausted =
                    exhausted.into_iter().filter_map(|index| Some(quotas.get(index)?.0.name.as_str())).collect();
                return Ok(denied(judge(&judged, &exhausted), &exhausted));
            }
        }
        self.end_own_approval(&mut snapshot, approved.as_ref(), &intent)?;
        if let Some(fitting) = &approved {
            snapshot.transaction().name_spender(fitting.id, self.caller.request_id)?;
            approvals::tell_if_broken(snapshot.transaction(), fitting, &intent.signing_key, &self.caller.name)?;
        }
        intent.asked.judged = events::judged(known, &decision, &BTreeSet::new(), approved.as_ref());
        let entry = self.caller.draft(Event::UseIntent(intent.clone()));
        let approved_before = if before == RequestState::Waiting { state::next(before, Input::Approve) } else { None };
        let next = state::next(approved_before.unwrap_or(before), Input::Allow).map(|state| (state, entry));
        let allowed = Allowed { intent, component: component.key.clone(), caller_may_know };
        Ok(Verdict { next, value: Decided::Begin(Box::new(allowed)) })
    }

    pub(super) fn refuse(
        &self,
        facts: Option<&Facts>,
        judged: Option<Judged>,
        (before, input, cause): (RequestState, Input, DenialCause),
        error: RequestError,
    ) -> Verdict<Decided> {
        let reasons = match &error {
            RequestError::Denied { decision, .. } => decision.reasons(),
            other => vec![other.to_string()],
        };
        let entry = events::denied(&self.caller, &self.request, facts, (self.host, judged), (cause, reasons));
        let next = state::next(before, input).map(|state| (state, entry));
        Verdict { next, value: Decided::Refused(error) }
    }
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
