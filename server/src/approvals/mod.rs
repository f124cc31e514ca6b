//! Approvals: people decide about uses of keys and about changes.
//!
//! ```text
//! a use that waits ──┐
//! a pre-approval ────┼─▶ pending ─▶ approved ─▶ spent          each use is taken in the transaction of its intent
//! break-glass ───────┘      └─▶ rejected | expired | cancelled | revoked
//! ```
//!
//! An approval is never a right by itself: the use is judged anew by the rules of that moment, and each approver's
//! membership is looked at again.

mod ask;
mod change;
mod decide;
mod error;
mod fit;
pub mod flow;
mod flows;
mod sweep;
mod tell;
mod view;
mod wake;

use std::collections::BTreeSet;

use sealcard_api::{
    approvals::{ApprovalKind, ApprovalState},
    ids::{PrincipalId, ProjectId},
    notices::NoticeKind,
};
use sealcard_policy::{
    ApprovalDemand,
    rules::{RuleFlow, RuleSet},
};
use sealcard_record::{
    Draft, Event, Named,
    event::{ApprovalEnded, ApprovalRef, SigningKey},
};

pub use self::{
    ask::NewApproval,
    change::ChangeGate,
    error::ApprovalError,
    fit::{Fitting, Wanted},
    wake::Wake,
};
use crate::{
    authn::Caller,
    config::ApprovalsConfig,
    requests::Rules,
    storage::{ApprovalRow, FlowOf, StageOf, StorageError, Store, WriteTx},
};

/// What people are asked to approve. Cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    store: Store,
    rules: Rules,
    config: ApprovalsConfig,
    /// Wakes whoever waits.
    pub wake: Wake,
}

impl Approvals {
    /// The approvals in `store`.
    #[must_use]
    pub(crate) fn new(store: Store, rules: Rules, config: ApprovalsConfig) -> Self {
        let wake = Wake::new(store.clone());
        Self { store, rules, config, wake }
    }
}

/// How long things take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// A use waits.
    pub wait: i64,
    /// What is not decided expires.
    pub expires: i64,
    /// What is approved must be used.
    pub use_within: i64,
}

/// The times of these flows: the shortest that one of them names, or the server's.
#[must_use]
pub fn times(flows: &[FlowOf], rules: Option<&RuleSet>, config: &ApprovalsConfig) -> Times {
    let named: Vec<&RuleFlow> = flows.iter().filter_map(|flow| rules?.flow(&flow.name)).collect();
    let shortest = |of: fn(&RuleFlow) -> Option<i64>, default: i64| {
        named.iter().filter_map(|flow| of(flow)).min().unwrap_or(default)
    };
    Times {
        wait: shortest(|flow| flow.flow.wait.map(|span| span.seconds()), i64::from(config.wait_seconds)),
        expires: shortest(|flow| flow.flow.expires.map(|span| span.seconds()), i64::from(config.expires_hours) * 3600),
        use_within: shortest(
            |flow| flow.flow.use_within.map(|span| span.seconds()),
            i64::from(config.use_within_minutes) * 60,
        ),
    }
}

/// The flows that these demands belong to, whole: also their stages that are passed.
#[must_use]
pub fn flows_of(demands: &[&ApprovalDemand], rules: Option<&RuleSet>) -> Vec<FlowOf> {
    let names: BTreeSet<&str> = demands.iter().map(|demand| demand.flow.as_str()).collect();
    let flows = names.into_iter().filter_map(|name| Some((name, rules?.flow(name)?)));
    flows.map(|(name, of)| flow_of(name, of, &of.flow.stages)).collect()
}

fn flow_of(name: &str, of: &RuleFlow, stages: &[sealcard_policy::rules::Stage]) -> FlowOf {
    FlowOf {
        name: name.to_owned(),
        rule: format!("the rule {} of {}", of.rule, of.scope),
        stages: flows::stages_of(stages),
        veto: of.flow.veto.iter().map(ToString::to_string).collect(),
    }
}

/// A stage's people as a phrase, from [`StageOf::by`].
#[must_use]
pub fn people(by: &str) -> String {
    match by.strip_prefix("role:") {
        Some(role) => format!("people with the role {role}"),
        None => format!("members of {by}"),
    }
}

/// So many of a stage's people as a phrase, from [`StageOf::by`].
fn some_people(stage: &StageOf) -> String {
    match (stage.by.strip_prefix("role:"), stage.count) {
        (Some(role), 1) => format!("a person with the role {role}"),
        (None, 1) => format!("a member of {}", stage.by),
        (_, count) => format!("{count} {}", people(&stage.by)),
    }
}

/// What entries about an approval say.
fn named(row: &ApprovalRow, signing_key: Option<&SigningKey>, asked_by: &str) -> ApprovalRef {
    ApprovalRef {
        approval: row.id,
        approval_kind: row.kind,
        project: signing_key
            .map(|of| of.project.clone())
            .or_else(|| row.project.map(|id: ProjectId| Named::new(id, ""))),
        key: signing_key.map(|of| of.key.clone()),
        asked_by: Named::new(row.asked_by, asked_by),
    }
}

/// Tells those whose turn it is of an approval of a use that waits.
///
/// # Errors
/// If the database fails.
pub(crate) fn ask_for(
    tx: &mut WriteTx,
    row: &ApprovalRow,
    signing_key: &SigningKey,
    (asked_by, excluded): (&str, &flow::Excluded),
) -> Result<(), StorageError> {
    let decisions = tx.decisions(row.id)?;
    let named = named(row, Some(signing_key), asked_by);
    tell::wanted(tx, row, (&named, NoticeKind::ApprovalWanted), (&decisions, excluded))
}

/// Tells of a use by way of break-glass, if it is the first one of this approval.
///
/// # Errors
/// If the database fails.
pub(crate) fn tell_if_broken(
    tx: &mut WriteTx,
    by: &Fitting,
    signing_key: &SigningKey,
    asked_by: &str,
) -> Result<(), StorageError> {
    match tx.approval(by.id)? {
        Some(row) if row.kind == ApprovalKind::BreakGlass && row.used == 1 => {
            tell::broken(tx, &row, &named(&row, Some(signing_key), asked_by))
        }
        _ => Ok(()),
    }
}

/// What an entry says of an approval that ended otherwise than by a decision.
fn ended(approval: ApprovalRef, (state, why): (ApprovalState, &str), used: u32) -> ApprovalEnded {
    let (demanded, approved_events) = (Vec::new(), Vec::new());
    ApprovalEnded { approval, approval_state: state, why: why.to_owned(), used, demanded, approved_events }
}

/// The entry about an approval of `caller` that ended otherwise than by a decision.
#[must_use]
pub fn ended_entry(
    row: &ApprovalRow,
    state: ApprovalState,
    why: &str,
    signing_key: &SigningKey,
    caller: &Caller,
) -> Draft {
    let approval = named(row, Some(signing_key), &caller.name);
    caller.draft(Event::ApprovalEnded(ended(approval, (state, why), row.used)))
}

/// Those whose approval does not count, as far as is known before a use.
fn excluded(requester: Option<PrincipalId>, owner: Option<PrincipalId>) -> flow::Excluded {
    requester.into_iter().chain(owner).collect()
}
