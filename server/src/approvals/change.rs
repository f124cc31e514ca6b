//! Changes that need a second person, or time.
//!
//! The gate stands below every way to make a change: it looks at the entries that a transaction is about to record. So
//! whatever is recorded as somebody's act passes here, whether it came by HTTP, from the console or otherwise. What
//! stops here is undone, and an approval is asked for in its place; the same change made again passes once it is
//! approved.

use std::collections::BTreeSet;

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState},
    ids::{ApprovalId, GroupId, PrincipalId, ProjectId},
    notices::NoticeKind,
};
use sealcard_policy::rules::{ChangeDemand, ChangeKind, Document, Flow};
use sealcard_record::{
    Actor, Draft, Event, MADE_ANEW, Named, Sha256, change_sha256,
    event::{ApprovalAsked, ApprovalEnded, DemandedStage, RulesOf, Via},
};
use serde_json::Value;

use super::{decide::short, excluded, flow, flows::stages_of, named, some_people, tell};
use crate::{
    config::{ApprovalsConfig, ChangeDemandConfig, ChangesConfig},
    storage::{
        ApprovalBody, ApprovalChange, ApprovalRow, DecisionRow, FlowOf, Gate, RuleScope, StageOf, Stopped,
        StorageError, WriteTx,
    },
};

/// The flow that a demand of the server's configuration is.
const SERVER: &str = "server/changes";

/// The gate.
pub struct ChangeGate {
    /// How long approvals last.
    pub approvals: ApprovalsConfig,
    /// What the server demands.
    pub changes: ChangesConfig,
}

/// What is changed by an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    kind: ChangeKind,
    /// The projects that it concerns. Empty: the server.
    projects: Vec<ProjectId>,
}

/// What a change needs.
#[derive(Debug, Default)]
struct Needs {
    flows: Vec<FlowOf>,
    delay: i64,
    project: Option<Named<ProjectId>>,
}

impl Gate for ChangeGate {
    fn judge(&self, tx: &mut WriteTx, entries: &[Draft]) -> Result<Option<Stopped>, StorageError> {
        if self.changes.suspended {
            return Ok(None);
        }
        let Some(actor) = entries.iter().find_map(|entry| entry.actor.clone()) else { return Ok(None) };
        let mut needs = Needs::default();
        let mut changes = Vec::new();
        for entry in entries {
            let Some(change) = change_of(tx, &entry.event)? else { continue };
            self.add(tx, &mut needs, &change, entries)?;
            changes.push(entry);
        }
        if needs.flows.is_empty() && needs.delay == 0 {
            return Ok(None);
        }
        let sha256 = change_sha256(actor.id, changes.iter().map(|entry| &entry.event));
        match tx.change_asked_for(actor.id, sha256)? {
            Some(row) if row.state == ApprovalState::Approved && self.suffices(tx, &row, &needs, entries)? => {
                self.pass(tx, &row, (&actor, &needs), &changes)?;
                Ok(None)
            }
            Some(row) => Ok(Some(Stopped { error: waits(&row, &needs, tx.now()), instead: Box::new(|_| Ok(())) })),
            None => Ok(Some(self.ask(tx, (&actor, sha256, needs), &changes))),
        }
    }
}

impl ChangeGate {
    fn add(&self, tx: &mut WriteTx, needs: &mut Needs, change: &Change, entries: &[Draft]) -> Result<(), StorageError> {
        if let Some(demand) = self.changes.demands.get(&change.kind) {
            if let Some(flow) = server_flow(change.kind, demand) {
                needs.add_flow(flow);
            }
            needs.delay = needs.delay.max(i64::from(demand.delay_hours) * 3600);
        }
        for project in &change.projects {
            let Some(text) = rules_before(tx, *project, entries)? else { continue };
            // Rules that this release can't read deny every use; they must not stop their own repair.
            let Ok(document) = Document::parse(&text) else { continue };
            let kind = if matches!(change.kind, ChangeKind::Groups) { ChangeKind::Members } else { change.kind };
            let name = tx.project_name(*project)?.unwrap_or_default();
            match document.changes().get(&kind) {
                None => continue,
                Some(ChangeDemand::Delay(delay)) => needs.delay = needs.delay.max(delay.seconds()),
                Some(ChangeDemand::Flow(flow)) => {
                    let Some(flow) = document.flow(flow.as_str()) else { continue };
                    needs.add_flow(project_flow(kind, &name, flow));
                }
            }
            needs.project.get_or_insert_with(|| Named::new(*project, name));
        }
        Ok(())
    }

    /// Whether what was approved is enough for what is needed now.
    fn suffices(
        &self,
        tx: &mut WriteTx,
        row: &ApprovalRow,
        needs: &Needs,
        entries: &[Draft],
    ) -> Result<bool, StorageError> {
        let now = tx.now();
        let begins = row.not_before.unwrap_or(row.created);
        if row.expires <= now || begins > now || now.unix() - row.created.unix() < needs.delay {
            return Ok(false);
        }
        let touched: BTreeSet<PrincipalId> = entries.iter().filter_map(|entry| touched(&entry.event)).collect();
        // Who is taken out, or put in, by this very change counts as they did before it.
        let decisions: Vec<DecisionRow> = tx
            .decisions(row.id)?
            .into_iter()
            .map(|one| DecisionRow { stands: one.stands != touched.contains(&one.approver), ..one })
            .collect();
        Ok(flow::complete(&needs.flows, &decisions, &excluded(Some(row.asked_by), None)))
    }

    /// The change is made: the approval is used up.
    fn pass(
        &self,
        tx: &mut WriteTx,
        row: &ApprovalRow,
        (actor, needs): (&Actor, &Needs),
        changes: &[&Draft],
    ) -> Result<(), StorageError> {
        let change = ApprovalChange { state: ApprovalState::Spent, expires: row.expires };
        if !tx.change_approval(row.id, row.version, change)? {
            return Err(StorageError::Busy);
        }
        let mut reference = named(row, None, &actor.name);
        reference.project.clone_from(&needs.project);
        tell::changed(tx, row, &reference, NoticeKind::ChangeMade)?;
        let approved_events: BTreeSet<&str> = changes.iter().map(|entry| entry.event.name()).collect();
        let ended = ApprovalEnded {
            approval: reference,
            approval_state: ApprovalState::Spent,
            why: "the change was made".to_owned(),
            used: 1,
            demanded: needs.demanded(),
            approved_events: approved_events.into_iter().map(str::to_owned).collect(),
        };
        tx.append_record(in_request_of(changes, Event::ApprovalEnded(ended)).by(actor.clone()));
        Ok(())
    }

    fn ask(&self, tx: &WriteTx, (actor, sha256, needs): (&Actor, Sha256, Needs), changes: &[&Draft]) -> Stopped {
        let now = tx.now();
        let later = |seconds: i64| Timestamp::from_unix(now.unix().saturating_add(seconds));
        let use_seconds = i64::from(self.approvals.use_within_minutes) * 60;
        let waits_alone = needs.flows.is_empty();
        let begins = later(needs.delay);
        let change: Vec<String> = changes.iter().flat_map(|entry| lines(&entry.event)).chain(tx.described()).collect();
        let row = ApprovalRow {
            id: ApprovalId::new(),
            kind: ApprovalKind::Change,
            state: if waits_alone { ApprovalState::Approved } else { ApprovalState::Pending },
            version: 1,
            created: now,
            expires: if waits_alone {
                Timestamp::from_unix(begins.unix().saturating_add(use_seconds.max(24 * 3600)))
            } else {
                later(needs.delay + i64::from(self.approvals.expires_hours) * 3600)
            },
            use_seconds,
            asked_by: actor.id,
            project: needs.project.as_ref().map(|project| project.id),
            key: None,
            operation: None,
            request: None,
            requester: None,
            group: None,
            host: None,
            max_uses: Some(1),
            used: 0,
            not_before: (needs.delay > 0).then_some(begins),
            reviewed: None,
            revoked_by: None,
            body: ApprovalBody {
                change: change.clone(),
                change_sha256: Some(sha256),
                flows: needs.flows.clone(),
                ..ApprovalBody::default()
            },
        };
        let error = waits(&row, &needs, now);
        let (actor, first) = (actor.clone(), changes.first().map(|entry| (*entry).clone()));
        let instead = move |tx: &mut WriteTx| -> Result<(), StorageError> {
            tx.add_approval(&row)?;
            let mut reference = named(&row, None, &actor.name);
            reference.project.clone_from(&needs.project);
            if row.state == ApprovalState::Pending {
                let kept_out = excluded(Some(actor.id), None);
                tell::wanted(tx, &row, (&reference, NoticeKind::ChangeWanted), (&[], &kept_out))?;
            } else {
                tell::changed(tx, &row, &reference, NoticeKind::ChangeWanted)?;
            }
            let stages = row.body.flows.iter().flat_map(|flow| &flow.stages);
            let wants = stages.map(some_people).collect();
            let asked = ApprovalAsked {
                approval: reference,
                terms: change.into_iter().take(20).collect(),
                wants,
                reason: String::new(),
                expires: row.expires,
                binding: row.binding()?,
            };
            let changes: Vec<&Draft> = first.iter().collect();
            tx.append_record(in_request_of(&changes, Event::ApprovalAsked(asked)).by(actor));
            Ok(())
        };
        Stopped { error, instead: Box::new(instead) }
    }
}

/// An event of the request that these entries are of.
fn in_request_of(changes: &[&Draft], event: Event) -> Draft {
    match changes.first() {
        Some(Draft { request_id, peer: Some(peer), .. }) => Draft::new(*request_id, event).from_peer(*peer),
        Some(Draft { request_id, .. }) => Draft::new(*request_id, event),
        None => Draft::of_server(event),
    }
}

impl Needs {
    fn demanded(&self) -> Vec<DemandedStage> {
        let stages = self.flows.iter().flat_map(|flow| flow.stages.iter().map(move |stage| (flow, stage)));
        let demanded = stages.map(|(flow, stage)| DemandedStage {
            flow: flow.name.clone(),
            by: stage.by.clone(),
            count: stage.count,
        });
        demanded.collect()
    }

    fn add_flow(&mut self, flow: FlowOf) {
        if !self.flows.contains(&flow) {
            self.flows.push(flow);
        }
    }
}

/// The flow of changes of a kind that the server's configuration demands, if it names a group.
pub(super) fn server_flow(kind: ChangeKind, demand: &ChangeDemandConfig) -> Option<FlowOf> {
    let stages = vec![StageOf { by: demand.group.clone()?, count: demand.count.max(1) }];
    let rule = format!("changes of {} on this server", kind.name());
    Some(FlowOf { name: SERVER.to_owned(), rule, stages, veto: Vec::new() })
}

/// The flow of changes of a kind that the rules of a project demand.
pub(super) fn project_flow(kind: ChangeKind, project: &str, flow: &Flow) -> FlowOf {
    FlowOf {
        name: format!("{project}/changes/{}", kind.name()),
        rule: format!("changes of {} of the project {project}", kind.name()),
        stages: stages_of(&flow.stages),
        veto: flow.veto.iter().map(ToString::to_string).collect(),
    }
}

/// What the maker of a change is told that has to wait.
fn waits(row: &ApprovalRow, needs: &Needs, now: Timestamp) -> StorageError {
    let id = short(row.id);
    let begins = row.not_before.filter(|begins| *begins > now);
    let stages = needs.flows.iter().flat_map(|flow| &flow.stages);
    let wants: Vec<String> = stages.map(some_people).collect();
    let text = match (row.state, begins) {
        (ApprovalState::Rejected, _) => format!("The change was rejected: sealcard requests show {id} says why."),
        (_, Some(begins)) if wants.is_empty() => format!(
            "The change takes effect at {begins} at the earliest, and the owners were told. Make it again then, or \
             withdraw it: sealcard requests withdraw {id}"
        ),
        (_, begins) => {
            let then = begins.map_or(String::new(), |begins| format!(" and not before {begins}"));
            format!(
                "The change was not made: it needs the approval of {}. They run: sealcard approve {id}. Make it again \
                 after that{then}.",
                wants.join(" and ")
            )
        }
    };
    StorageError::NeedsApproval { approval: row.id, text }
}

/// What an entry changes, if people can be asked about it. Each event that there will be must be named here.
fn change_of(tx: &mut WriteTx, event: &Event) -> Result<Option<Change>, StorageError> {
    let of = |kind, project: ProjectId| Some(Change { kind, projects: vec![project] });
    let server = |kind| Some(Change { kind, projects: Vec::new() });
    Ok(match event {
        Event::ProjectMemberAdded(act) | Event::ProjectMemberRemoved(act) => of(ChangeKind::Members, act.project.id),
        Event::GroupMemberAdded(act) | Event::GroupMemberRemoved(act) => {
            Some(Change { kind: ChangeKind::Groups, projects: projects_of(tx, act.group.id, &act.group.name)? })
        }
        Event::GroupAdded(_) | Event::GroupChanged(_) => server(ChangeKind::Groups),
        Event::GroupRemoved(act) => {
            Some(Change { kind: ChangeKind::Groups, projects: projects_of(tx, act.group.id, &act.group.name)? })
        }
        Event::RulesApplied(change) | Event::RulesReverted(change) | Event::RulesRemoved(change) => match &change.of {
            RulesOf::Key(key) => of(ChangeKind::Rules, key.project.id),
            RulesOf::Project { project } => of(ChangeKind::Rules, project.id),
            RulesOf::Environment { .. } => server(ChangeKind::Environments),
        },
        Event::TemplateApplied(_)
        | Event::TemplateReverted(_)
        | Event::TemplateWithdrawn(_)
        | Event::TemplateRestored(_) => server(ChangeKind::Templates),
        Event::KeyBegun(begun) => of(ChangeKind::Keys, begun.signing_key.project.id),
        Event::KeyEnabled(act) => of(ChangeKind::Keys, act.signing_key.project.id),
        Event::KeyRenamed(act) => of(ChangeKind::Keys, act.signing_key.project.id),
        Event::KeyDestroyBegun(act) => of(ChangeKind::Keys, act.signing_key.project.id),
        Event::CertificateMerged(act) => of(ChangeKind::Keys, act.signing_key.project.id),
        Event::ProjectChanged(act) => of(ChangeKind::Projects, act.project.id),
        Event::ProjectRemoved(act) => of(ChangeKind::Projects, act.project.id),
        Event::ProjectAdded(added) if added.via != Some(Via::Init) => server(ChangeKind::Projects),
        Event::UserAdded(added) if added.via != Some(Via::Init) => server(ChangeKind::Users),
        Event::UserChanged(changed) if changed.password => server(ChangeKind::Passwords),
        Event::UserChanged(_) | Event::UserRemoved(_) => server(ChangeKind::Users),
        Event::PasswordReset(_) => server(ChangeKind::Passwords),
        Event::ServiceAccountAdded(_)
        | Event::ServiceAccountChanged(_)
        | Event::ServiceAccountRemoved(_)
        | Event::ServiceTokenAdded(_) => server(ChangeKind::ServiceAccounts),
        // To stop something is never delayed: a key, a token, a grant.
        Event::KeyDisabled(_) | Event::ServiceTokenRevoked(_) | Event::GrantRevoked(_) => None,
        // Uses, decisions and logins have rules of their own.
        Event::UseIntent(_)
        | Event::UseOutcome(_)
        | Event::UseDenied(_)
        | Event::UseDeniedBurst(_)
        | Event::RequestRefused(_)
        | Event::UseCancelled(_)
        | Event::UseWaiting(_)
        | Event::UseExpired(_)
        | Event::ApprovalAsked(_)
        | Event::ApprovalDecided(_)
        | Event::ApprovalEnded(_)
        | Event::ReviewClosed(_)
        | Event::ApprovalsForgotten(_)
        | Event::Login(_)
        | Event::LoginFailed(_)
        | Event::PasswordChangeRequired(_)
        | Event::PasswordChanged(_)
        | Event::PasswordChangeFailed(_)
        | Event::GrantRefreshed(_)
        | Event::Logout(_) => None,
        // Before there is anybody, and the server's own acts.
        Event::ProjectAdded(_)
        | Event::UserAdded(_)
        | Event::EnvironmentAdded(_)
        | Event::Unseal(_)
        | Event::UnsealWithSecret(_)
        | Event::UnsealFailed(_)
        | Event::PinAttempt(_)
        | Event::PinGood(_)
        | Event::PinRefused(_)
        | Event::PinNotJudged(_)
        | Event::PinMended(_)
        | Event::MasterKeyChanged(_)
        | Event::ComponentsResealed(_)
        | Event::DatabaseMoved(_)
        | Event::LogBegun(_)
        | Event::LogKeyBegun(_)
        | Event::ClockJumped(_)
        | Event::ClockConfirmed(_)
        | Event::NoticeChannelEnabled(_)
        | Event::SinkRetried(_)
        | Event::SinkSkipped(_)
        | Event::RevocationRead(_) => None,
        // What follows from work that passed when it began.
        Event::KeyCertify(_)
        | Event::KeyFailed(_)
        | Event::KeyCreated(_)
        | Event::KeyImported(_)
        | Event::KeyAdopted(_)
        | Event::KeyExtended(_)
        | Event::KeyRevoked(_)
        | Event::KeyDestroyed(_)
        | Event::KeyDestroyFailed(_)
        | Event::KeyDiscardBegun(_)
        | Event::KeyDiscarded(_) => None,
        Event::Unknown => None,
    })
}

/// The projects in which a group has a role, or whose rules name it.
fn projects_of(tx: &mut WriteTx, group: GroupId, name: &str) -> Result<Vec<ProjectId>, StorageError> {
    tx.projects_of_group(group, name)
}

/// Whose membership or account an entry changes.
fn touched(event: &Event) -> Option<PrincipalId> {
    match event {
        Event::GroupMemberAdded(act) | Event::GroupMemberRemoved(act) => Some(act.principal.id),
        Event::UserRemoved(act) => Some(act.principal.id),
        Event::ProjectMemberAdded(act) | Event::ProjectMemberRemoved(act) => match &act.member {
            sealcard_record::event::Member::Principal(principal) => Some(principal.id),
            sealcard_record::event::Member::Group(_) => None,
        },
        _ => None,
    }
}

/// The rules of a project as they were before the transaction.
fn rules_before(tx: &mut WriteTx, project: ProjectId, entries: &[Draft]) -> Result<Option<String>, StorageError> {
    let changed = entries.iter().find_map(|entry| match &entry.event {
        Event::RulesApplied(change) | Event::RulesReverted(change) | Event::RulesRemoved(change) => {
            let own = matches!(&change.of, RulesOf::Project { project: of } if of.id == project);
            own.then_some(change.before)
        }
        _ => None,
    });
    let scope = RuleScope::Project(project);
    let row = match changed {
        Some(None) => None,
        Some(Some(before)) => tx.rules_of_version(scope, before.cast_signed())?,
        None => tx.rules(scope)?,
    };
    Ok(row.map(|row| row.text).filter(|text| !text.is_empty()))
}

/// An entry for people, a line for each thing that it says.
fn lines(event: &Event) -> Vec<String> {
    let mut all = vec![event.name().replace('-', " ")];
    if let Ok(Value::Object(fields)) = serde_json::to_value(event) {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "event" && !MADE_ANEW.contains(&name.as_str())) {
            let text = match value {
                Value::Object(named) => named.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
                Value::String(text) => text.clone(),
                Value::Null => continue,
                other => other.to_string(),
            };
            if !text.is_empty() {
                all.push(format!("{}: {text}", name.replace('_', " ")));
            }
        }
    }
    all
}
