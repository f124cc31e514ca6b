//! How far a flow is: a pure function of its stages and of what people decided.

use std::collections::BTreeSet;

use sealcard_api::{approvals::Verdict, ids::PrincipalId};

use crate::storage::{DecisionRow, FlowOf, StageOf};

/// Those whose approval does not count: the requester, and the owner of the service account that asks.
pub type Excluded = BTreeSet<PrincipalId>;

/// Who approved a stage, and still may.
pub fn approvers<'a>(
    flow: &'a FlowOf,
    stage: &'a StageOf,
    decisions: &'a [DecisionRow],
    excluded: &'a Excluded,
) -> impl Iterator<Item = &'a DecisionRow> {
    decisions.iter().filter(move |decision| {
        decision.verdict == Verdict::Approve
            && decision.stands
            && decision.flow == flow.name
            && decision.stage == stage.by
            && !excluded.contains(&decision.approver)
    })
}

/// Whether so many have approved a stage as must. One person has one decision in a flow, so nobody counts twice.
#[must_use]
pub fn passed(flow: &FlowOf, stage: &StageOf, decisions: &[DecisionRow], excluded: &Excluded) -> bool {
    approvers(flow, stage, decisions, excluded).count() >= usize::try_from(stage.count).unwrap_or(usize::MAX)
}

/// The stage whose turn it is: the first that is not passed. None if all are.
#[must_use]
pub fn current<'a>(flow: &'a FlowOf, decisions: &[DecisionRow], excluded: &Excluded) -> Option<&'a StageOf> {
    flow.stages.iter().find(|stage| !passed(flow, stage, decisions, excluded))
}

/// Whether all stages of all flows are passed.
#[must_use]
pub fn complete(flows: &[FlowOf], decisions: &[DecisionRow], excluded: &Excluded) -> bool {
    flows.iter().all(|flow| current(flow, decisions, excluded).is_none())
}

/// The stages for which somebody who is in `member_of` may approve now, each with its flow: in each flow the stage
/// whose turn it is, unless they approved an earlier one.
#[must_use]
pub fn approvable<'a>(
    flows: &'a [FlowOf],
    decisions: &[DecisionRow],
    excluded: &Excluded,
    (approver, member_of): (PrincipalId, &BTreeSet<String>),
) -> Vec<(&'a FlowOf, &'a StageOf)> {
    let counts = |flow: &FlowOf| {
        let stages = flow.stages.iter();
        stages.flat_map(|stage| approvers(flow, stage, decisions, excluded)).any(|one| one.approver == approver)
    };
    let now = flows.iter().filter_map(|flow| Some((flow, current(flow, decisions, excluded)?)));
    now.filter(|(flow, stage)| member_of.contains(&stage.by) && !counts(flow)).collect()
}

/// The flows in which somebody who is in `member_of` may reject: at any stage, also before its turn.
#[must_use]
pub fn rejectable<'a>(flows: &'a [FlowOf], member_of: &BTreeSet<String>) -> Vec<(&'a FlowOf, String)> {
    let of = |flow: &'a FlowOf| {
        let stages = flow.stages.iter().map(|stage| &stage.by);
        stages.chain(&flow.veto).find(|by| member_of.contains(*by)).map(|by| (flow, by.clone()))
    };
    flows.iter().filter_map(of).collect()
}

/// The stages that are passed, by the names that policy knows them by.
pub fn met(flows: &[FlowOf], decisions: &[DecisionRow], excluded: &Excluded) -> BTreeSet<String> {
    let stages = flows.iter().flat_map(|flow| flow.stages.iter().map(move |stage| (flow, stage)));
    let passed = stages.filter(|(flow, stage)| passed(flow, stage, decisions, excluded));
    passed.map(|(flow, stage)| format!("{}/{}", flow.name, stage.by)).collect()
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
