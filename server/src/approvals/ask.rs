//! Asking for approval in advance, and breaking the glass.

use std::collections::BTreeSet;

use sealcard_api::{
    Timestamp,
    algorithm::ComponentRole,
    approvals::{ApprovalKind, ApprovalState, Terms, Verdict},
    decisions::UseKind,
    ids::{ApprovalId, GroupId, KeyId, PrincipalId},
    notices::NoticeKind,
    roles::ProjectRole,
};
use sealcard_policy::{
    Action,
    rules::{RuleFlow, RuleSet, network_contains},
};
use sealcard_record::{Event, event::ApprovalAsked};

use super::{
    ApprovalError, Approvals,
    decide::{Viewer, reference, settle, short},
    excluded, flow, flow_of,
    flows::InAdvance,
    some_people, tell,
};
use crate::{
    authn::{AuthorizationError, Caller},
    config::ApprovalsConfig,
    storage::{ApprovalBody, ApprovalRow, Facts, FactsQuery, FlowOf, NewDecision, Target, WriteTx},
};

type Result<T> = std::result::Result<T, ApprovalError>;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Pre-approval or break-glass.
    pub kind: ApprovalKind,
    /// The key.
    pub key: KeyId,
    /// What may be done with it.
    pub operation: UseKind,
    /// Under which terms.
    pub terms: Terms,
    /// For how long.
    pub seconds: Option<u32>,
    /// Why.
    pub reason: String,
}

/// What flows allow of an approval in advance.
struct Allowed {
    flows: Vec<FlowOf>,
    /// None: as many as they like.
    uses: Option<u32>,
    seconds: i64,
}

impl Approvals {
    /// Asks for uses of a key in advance. It is approved at once if the caller's own approval is enough.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn ask(&self, caller: &Caller, new: NewApproval) -> Result<ApprovalId> {
        let role = match new.operation {
            UseKind::Sign => ComponentRole::Sign,
            UseKind::Decrypt => ComponentRole::Decrypt,
            UseKind::Authenticate => ComponentRole::Authenticate,
        };
        let query = FactsQuery { token: caller.token, target: Target::Key(new.key, role) };
        let facts = self.store.facts(query).await?.ok_or(AuthorizationError::UnknownGrant)?;
        let rules = self.rules.load(&self.store, &facts).await?;
        let (author, config) = (caller.clone(), self.config);
        let id = self
            .store
            .write(move |tx| {
                let facts = tx.facts(&query, None)?.ok_or(AuthorizationError::UnknownGrant)?;
                author.authorization(&[Action::LookAfterOneself]).check(tx, None)?;
                ask(tx, &author, (&facts, rules.as_deref(), &config), new)
            })
            .await?;
        self.wake.look_now();
        Ok(id)
    }
}

fn invalid(text: impl Into<String>) -> ApprovalError {
    ApprovalError::Invalid(text.into())
}

fn ask(
    tx: &mut WriteTx,
    caller: &Caller,
    (facts, rules, config): (&Facts, Option<&RuleSet>, &ApprovalsConfig),
    new: NewApproval,
) -> Result<ApprovalId> {
    let project = facts.project.as_ref().filter(|_| facts.key.is_some()).ok_or(ApprovalError::NotFound)?;
    let viewer = Viewer::new(caller, &facts.principal.groups, facts.roles);
    let named: Vec<(&String, &RuleFlow)> = rules.iter().flat_map(|rules| rules.flows()).collect();
    let mentions =
        |stages: &[sealcard_policy::rules::Stage]| stages.iter().any(|stage| viewer.member_of.contains(&stage.by.id()));
    if viewer.roles.is_empty() && !viewer.reads_all && !named.iter().any(|(_, of)| mentions(&of.flow.stages)) {
        return Err(ApprovalError::NotFound);
    }
    if named.is_empty() {
        return Err(invalid("No rule of this key asks for approval, so there is nothing to approve."));
    }
    let (requester, group) = beneficiaries(tx, caller, &new)?;
    let allowed = match new.kind {
        ApprovalKind::PreApproval => in_advance(&named, &new, config)?,
        ApprovalKind::BreakGlass => break_glass(&named)?,
        ApprovalKind::Use | ApprovalKind::Change => {
            return Err(invalid("Only pre-approval and break-glass can be asked for."));
        }
    };
    if new.kind == ApprovalKind::BreakGlass
        && let Some(open) = tx.open_review(project.id.0)?
    {
        let (id, created) = (short(open.id), open.created);
        return Err(ApprovalError::Conflict(if open.state.is_open() && open.expires > tx.now() {
            format!("Break-glass {id} of {created} can still be approved or used: sealcard requests show {id}")
        } else {
            format!(
                "Break-glass {id} of {created} was used and not reviewed. Somebody other than its requester must close the \
                 review first: sealcard requests review {id} --finding TEXT"
            )
        }));
    }
    let may_decide = !flow::rejectable(&allowed.flows, &viewer.member_of).is_empty();
    let uses_it = requester == Some(caller.principal) && viewer.roles.contains(ProjectRole::KeyUser);
    if !may_decide && !uses_it && !viewer.roles.contains(ProjectRole::Owner) {
        let text = "Only owners of the project, people who may approve, and the key's users for themselves can ask.";
        return Err(ApprovalError::NotYours(text.to_owned()));
    }
    let now = tx.now();
    let terms = Terms { uses: allowed.uses, ..checked(new.terms, now)? };
    let pending = i64::from(config.expires_hours) * 3600;
    let row = ApprovalRow {
        id: ApprovalId::new(),
        kind: new.kind,
        state: ApprovalState::Pending,
        version: 1,
        created: now,
        expires: Timestamp::from_unix(now.unix().saturating_add(pending)),
        use_seconds: allowed.seconds,
        asked_by: caller.principal,
        project: Some(project.id),
        key: Some(new.key),
        operation: Some(operation_name(new.operation).to_owned()),
        request: None,
        requester,
        group,
        host: terms.host.clone(),
        max_uses: allowed.uses,
        used: 0,
        not_before: terms.not_before,
        reviewed: None,
        revoked_by: None,
        body: ApprovalBody {
            terms: Some(terms.clone()),
            reason: Some(new.reason.clone()),
            flows: allowed.flows,
            ..ApprovalBody::default()
        },
    };
    tx.add_approval(&row)?;
    let approval = reference(tx, &row)?;
    let stages = row.body.flows.iter().flat_map(|flow| &flow.stages);
    let wants = stages.map(some_people).collect();
    if !approves_alone(&viewer, &row, requester) {
        let owner = match requester {
            Some(requester) => tx.owner_of(requester)?,
            None => None,
        };
        tell::wanted(tx, &row, (&approval, NoticeKind::ApprovalWanted), (&[], &excluded(requester, owner)))?;
    }
    let binding = row.binding()?;
    tx.append_record(caller.draft(Event::ApprovalAsked(ApprovalAsked {
        approval,
        terms: described(&terms, row.use_seconds),
        wants,
        reason: new.reason,
        expires: row.expires,
        binding,
    })));
    approve_own(tx, caller, &viewer, &row)?;
    Ok(row.id)
}

/// Whether the approval of whoever asks is all that is wanted.
fn approves_alone(viewer: &Viewer, row: &ApprovalRow, requester: Option<PrincipalId>) -> bool {
    let one = |flow: &FlowOf| {
        let mut stages = flow.stages.iter();
        let stage = stages.next().filter(|stage| stage.count == 1 && viewer.member_of.contains(&stage.by));
        stage.is_some() && stages.next().is_none()
    };
    row.kind == ApprovalKind::PreApproval && requester != Some(viewer.id) && row.body.flows.iter().all(one)
}

/// Whoever asks for somebody else approves by that, as far as it is theirs.
fn approve_own(tx: &mut WriteTx, caller: &Caller, viewer: &Viewer, row: &ApprovalRow) -> Result<()> {
    let owner = match row.requester {
        Some(requester) => tx.owner_of(requester)?,
        None => None,
    };
    let excluded = excluded(row.requester, owner);
    if row.kind == ApprovalKind::BreakGlass {
        return Ok(());
    }
    let Ok(stages) = viewer.approvable(row, &[], &excluded) else { return Ok(()) };
    let stages: Vec<(String, String)> =
        stages.into_iter().map(|(flow, stage)| (flow.name.clone(), stage.by.clone())).collect();
    for (flow, stage) in &stages {
        let (flow, stage, verdict) = (flow.clone(), stage.clone(), Verdict::Approve);
        tx.add_decision(row.id, &NewDecision { flow, stage, approver: caller.principal, verdict, comment: None })?;
    }
    let names = stages.iter().map(|(flow, stage)| format!("{flow}/{stage}")).collect();
    settle(tx, caller, (row, &excluded, &[]), (Verdict::Approve, names, None))
}

/// Who may use it: a principal, or the members of a group.
fn beneficiaries(
    tx: &mut WriteTx,
    caller: &Caller,
    new: &NewApproval,
) -> Result<(Option<PrincipalId>, Option<GroupId>)> {
    match (&new.terms.requester, &new.terms.group) {
        (None, None) => Ok((Some(caller.principal), None)),
        _ if new.kind == ApprovalKind::BreakGlass => {
            Err(invalid("Break-glass is for whoever asks for it: name neither a user nor a group."))
        }
        (Some(name), None) => {
            let found = tx.principal_named(name)?;
            let found = found.ok_or_else(|| invalid(format!("There is no user or service account named {name}.")))?;
            Ok((Some(found.id), None))
        }
        (None, Some(name)) => {
            let found = tx.group_named(name)?;
            Ok((None, Some(found.ok_or_else(|| invalid(format!("There is no group named {name}.")))?)))
        }
        (Some(_), Some(_)) => Err(invalid("Name a user or service account, or a group, and not both.")),
    }
}

fn in_advance(named: &[(&String, &RuleFlow)], new: &NewApproval, config: &ApprovalsConfig) -> Result<Allowed> {
    let limits: Vec<InAdvance> = named.iter().map(|(_, of)| InAdvance::of(of, config)).collect();
    let most_uses = limits.iter().map(|limits| limits.uses).min().unwrap_or_default();
    let most_seconds = limits.iter().map(|limits| limits.seconds).min().unwrap_or_default();
    let unlimited = limits.iter().all(|limits| limits.unlimited);
    if most_uses == 0 {
        return Err(invalid("The rules of this key allow no approval in advance."));
    }
    let uses = match new.terms.uses {
        None if unlimited => None,
        None => {
            return Err(invalid(format!(
                "The rules of this key allow no approval for any number of uses: name one, at most {most_uses}."
            )));
        }
        Some(0) => return Err(invalid("An approval is for at least one use.")),
        Some(uses) if uses > most_uses => {
            return Err(invalid(format!("The rules of this key allow at most {most_uses} uses in advance.")));
        }
        Some(uses) => Some(uses),
    };
    let seconds = new.seconds.map_or(most_seconds, i64::from);
    if !(60..=most_seconds).contains(&seconds) {
        let hours = most_seconds / 3600;
        return Err(invalid(format!(
            "The rules of this key allow an approval in advance for at least a minute and at most {hours} hours."
        )));
    }
    let flows = named.iter().map(|(name, of)| flow_of(name, of, &of.flow.stages)).collect();
    Ok(Allowed { flows, uses, seconds })
}

fn break_glass(named: &[(&String, &RuleFlow)]) -> Result<Allowed> {
    let mut flows = Vec::with_capacity(named.len());
    let (mut uses, mut seconds) = (u32::MAX, i64::MAX);
    for (name, of) in named {
        let short = of.flow.break_glass.as_ref().ok_or_else(|| {
            invalid(format!("The rule {} of {} has no way for emergencies (break-glass).", of.rule, of.scope))
        })?;
        flows.push(flow_of(name, of, &short.stages));
        (uses, seconds) = (uses.min(short.uses), seconds.min(short.window.seconds()));
    }
    Ok(Allowed { flows, uses: Some(uses), seconds })
}

fn checked(terms: Terms, now: Timestamp) -> Result<Terms> {
    for network in &terms.networks {
        let any = std::net::IpAddr::from([0, 0, 0, 0]);
        if network_contains(network, any).is_none() {
            return Err(invalid(format!(
                "{network:?} is no network: write 10.20.0.0/16, 2001:db8::/32 or an address."
            )));
        }
    }
    if terms.not_before.is_some_and(|begins| begins < now) {
        return Err(invalid("The time from which on it can be used is over already."));
    }
    Ok(terms)
}

pub(super) fn operation_name(operation: UseKind) -> &'static str {
    match operation {
        UseKind::Sign => "sign",
        UseKind::Decrypt => "decrypt",
        UseKind::Authenticate => "authenticate",
    }
}

/// The terms, each as a phrase.
fn described(terms: &Terms, seconds: i64) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(terms.requester.iter().map(|name| format!("for {name}")));
    all.extend(terms.group.iter().map(|name| format!("for members of {name}")));
    all.push(terms.uses.map_or("any number of uses".to_owned(), |uses| format!("{uses} uses")));
    all.push(format!("for {seconds} seconds once approved"));
    all.extend(terms.not_before.iter().map(|time| format!("from {time} on")));
    let networks: BTreeSet<&String> = terms.networks.iter().collect();
    all.extend(networks.into_iter().map(|network| format!("from {network}")));
    all.extend(terms.host.iter().map(|host| format!("on the host {host}")));
    all.extend(terms.tool.iter().map(|tool| format!("with the tool {tool}")));
    all
}
