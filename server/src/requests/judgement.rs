//! Policy's judgement of one use, with all that it was made from.

use std::{collections::BTreeSet, sync::Arc};

use sealcard_policy::{Decision, Facts as PolicyFacts, decide_use, rules::RuleSet};
use sealcard_record::event::DenialCause;

use super::{
    RequestError, UseRequest, events,
    facts::{judged_facts, policy_operation},
};
use crate::{
    approvals::Wanted,
    authn::Caller,
    storage::{ApprovedUse, Facts},
};

/// A decision before quotas are counted.
pub(super) struct Judgement {
    facts: PolicyFacts,
    rules: Option<Arc<RuleSet>>,
    decision: Decision,
}

/// Why a use is not allowed.
pub(super) struct Denial {
    pub(super) cause: DenialCause,
    pub(super) reasons: Vec<String>,
}

impl Judgement {
    /// Judges the use by these facts and rules.
    pub(super) fn new(caller: &Caller, request: &UseRequest, facts: &Facts, rules: Option<Arc<RuleSet>>) -> Self {
        let facts = judged_facts(caller, request, facts, caller.received);
        let decision = decide_use(&facts, policy_operation(&request.operation), rules.as_deref(), &BTreeSet::new());
        Self { facts, rules, decision }
    }

    /// The decision, if it would be the same from these facts and rules. To compare costs less than to judge.
    pub(super) fn still_holds(&self, facts: &PolicyFacts, rules: Option<&Arc<RuleSet>>) -> Option<&Decision> {
        let same_rules = match (&self.rules, rules) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        (same_rules && self.facts == *facts).then_some(&self.decision)
    }

    /// Whether the use lacks nothing but approvals.
    pub(super) fn awaits(&self) -> bool {
        !self.decision.awaited().is_empty()
    }

    pub(super) fn allowed(&self) -> bool {
        self.decision.allowed()
    }

    /// Judges anew with what is approved, if that is enough.
    pub(super) fn try_approvals(
        &mut self,
        caller: &Caller,
        request: &UseRequest,
        facts: &Facts,
        offers: Vec<ApprovedUse>,
    ) {
        let wanted = Wanted::new(caller, request, facts, None);
        let operation = policy_operation(&request.operation);
        for fitting in wanted.fitting(offers, &self.decision.awaited(), self.rules.as_deref()) {
            let mut judged = self.facts.clone();
            judged.request.approvals = fitting.met;
            let decision = decide_use(&judged, operation, self.rules.as_deref(), &BTreeSet::new());
            if decision.allowed() {
                (self.facts, self.decision) = (judged, decision);
                return;
            }
        }
    }

    /// Why policy denies the use. None if it allows it, as far as can be told before quotas are counted, or lets it wait.
    pub(super) fn denial(&self) -> Option<Denial> {
        let decision = &self.decision;
        (!decision.allowed() && !self.awaits())
            .then(|| Denial { cause: events::cause(decision), reasons: decision.reasons() })
    }
}

impl Denial {
    /// There is no such grant, so there are no facts.
    pub(super) fn of_unknown_grant() -> Self {
        Self { cause: DenialCause::Grant, reasons: vec![RequestError::UnknownGrant.to_string()] }
    }
}
