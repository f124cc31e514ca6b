//! Approvals: what people were asked, what they decided, and whether that allows the uses and changes that rest on it.
//!
//! The rows follow from the entries as all others do. Beside them the fold checks each entry that claims an approval: a
//! use, a decision and a change that was made must be explained by entries before them.

use std::collections::{BTreeMap, BTreeSet};

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{ApprovalId, PrincipalId, RequestId},
    record::{RecordKind, RequestState},
    roles::PrincipalKind,
};

use super::{
    ApprovalDecisionRow, ApprovalRow, Difference, Fold, Row,
    compare::{clean, short_id},
    rows::RowKey,
    standing::{decider_of, is_within},
};
use crate::{
    Actor, Body, Event, Sha256, change_sha256,
    event::{
        ApprovalAsked, ApprovalDecided, ApprovalEnded, ApprovalsForgotten, AskedFlow, Binding, Member, ReviewClosed,
        UseCancelled, UseIntent, UseOutcome, UseWaiting,
    },
};

/// An entry gets its time when it is committed, at most so many seconds after the decision that it tells of.
const COMMIT_SECONDS: i64 = 60;

/// So many faults are kept.
const MAX_FAULTS: usize = 1000;

/// What the fold knows of approvals beside their rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Approvals {
    /// What uses and decisions are compared with, for each approval that has a row.
    pub(super) asked: BTreeMap<ApprovalId, Asked>,
    /// The approvals that the uses in work were allowed by.
    in_work: BTreeMap<RequestId, ApprovalId>,
    /// What the request of the newest entry has changed so far.
    change: OpenChange,
    /// Entries that no earlier entries explain.
    pub(super) faults: Vec<Difference>,
    /// Those for which there was no room.
    pub(super) more_faults: u64,
}

/// What an approval demands.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) flows: Vec<AskedFlow>,
    pub(super) networks: Vec<String>,
    pub(super) tool: Option<String>,
    change_sha256: Option<Sha256>,
}

/// The administrative entries of one request.
#[derive(Debug, Clone, Default)]
struct OpenChange {
    request: Option<RequestId>,
    events: Vec<Event>,
    /// Whose membership or account they change.
    touched: BTreeSet<PrincipalId>,
}

impl Fold {
    /// Notes what an entry changes, for the approval of the change that comes after it.
    pub(super) fn note_change(&mut self, body: &Body) {
        let change = &mut self.approvals.change;
        if change.request != Some(body.request_id) {
            *change = OpenChange { request: Some(body.request_id), ..OpenChange::default() };
        }
        if body.event.kind() == Some(RecordKind::Administration) {
            change.touched.extend(touched(&body.event));
            change.events.push(body.event.clone());
        }
    }

    pub(super) fn use_waits(&mut self, body: &Body, waiting: &UseWaiting) {
        let Some(actor) = &body.actor else { return };
        let id = waiting.approval;
        let before = self.approval(id).cloned();
        if before.as_ref().is_some_and(|row| !row.state.is_open()) {
            self.fault(body, format!("a use waits for the approval {}", short_id(id)), "it is over".to_owned());
            return;
        }
        if waiting.binding.requester != Some(actor.id) {
            self.fault(
                body,
                format!("a use waits for the approval {}", short_id(id)),
                "it is for somebody else".to_owned(),
            );
        }
        let bound = approval_row(&waiting.binding, (id, ApprovalKind::Use, actor.id), waiting.expires);
        let row = ApprovalRow {
            project_id: Some(waiting.signing_key.project.id),
            key_id: Some(waiting.signing_key.key.id),
            request_id: Some(body.request_id),
            used: before.as_ref().map_or(0, |row| row.used),
            ..bound
        };
        if let Some(before) = before
            && !self.is_same_but_for_flows(&before, &row, &waiting.binding)
        {
            // What people decided was about something else.
            for decision in self.children(id.0) {
                self.remove(&decision);
            }
            let why = "it was asked for with other bounds".to_owned();
            self.fault(body, format!("a use waits for the approval {}", short_id(id)), why);
        }
        self.ask(row, &waiting.binding);
    }

    /// Whether an approval that is asked for again is what it was: only its flows and the request may differ.
    fn is_same_but_for_flows(&self, before: &ApprovalRow, row: &ApprovalRow, binding: &Binding) -> bool {
        let of_row = |row: &ApprovalRow| ApprovalRow {
            state: ApprovalState::Pending,
            request_id: None,
            used: 0,
            body_sha256: binding.body_sha256,
            ..row.clone()
        };
        let asked = self.approvals.asked.get(&row.id);
        of_row(before) == of_row(row)
            && asked.is_some_and(|asked| asked.networks == binding.networks && asked.tool == binding.tool)
    }

    pub(super) fn approval_asked(&mut self, body: &Body, asked: &ApprovalAsked) {
        let of = &asked.approval;
        if self.approval(of.approval).is_some() {
            let why = "there is one of this id already".to_owned();
            self.fault(body, format!("the approval {} is asked for", short_id(of.approval)), why);
            return;
        }
        let bound = approval_row(&asked.binding, (of.approval, of.approval_kind, of.asked_by.id), asked.expires);
        // A change that only has to wait needs nobody's decision.
        let waits_alone = of.approval_kind == ApprovalKind::Change && asked.binding.flows.is_empty();
        let state = if waits_alone { ApprovalState::Approved } else { ApprovalState::Pending };
        let (project_id, key_id) = (of.project.as_ref().map(|one| one.id), of.key.as_ref().map(|one| one.id));
        self.ask(ApprovalRow { state, project_id, key_id, ..bound }, &asked.binding);
    }

    fn ask(&mut self, row: ApprovalRow, binding: &Binding) {
        let Binding { flows, networks, tool, change_sha256, .. } = binding.clone();
        self.approvals.asked.insert(row.id, Asked { flows, networks, tool, change_sha256 });
        self.put(Row::Approval(row));
    }

    pub(super) fn approval_decided(&mut self, body: &Body, decided: &ApprovalDecided) {
        let id = decided.approval.approval;
        let name = body.actor.as_ref().map_or("somebody", |actor| actor.name.as_str());
        let what = format!("the decision of {} about the approval {}", clean(name), short_id(id));
        let (Some(row), Some(actor)) = (self.approval(id).cloned(), &body.actor) else {
            return self.fault(body, what, "no entry asks for it".to_owned());
        };
        if let Err(why) = self.may_decide(body, actor, &row, decided) {
            self.fault(body, what.clone(), why);
        }
        for (flow, stage) in self.stages_named(id, &decided.stages) {
            let decision =
                ApprovalDecisionRow { approval_id: id, flow, approver_id: actor.id, stage, verdict: decided.verdict };
            self.put(Row::ApprovalDecision(decision));
        }
        let follows = match decided.verdict {
            Verdict::Reject => ApprovalState::Rejected,
            Verdict::Approve if self.is_complete(&row) => ApprovalState::Approved,
            Verdict::Approve => ApprovalState::Pending,
        };
        if decided.approval_state != follows {
            let (says, follows) = (decided.approval_state.name(), follows.name());
            self.fault(body, what, format!("it makes the approval {says}, while by the entries it is {follows}"));
        }
        if let Some(until) = decided.usable_until
            && !is_life_of(&row, body.time, until)
        {
            let name = body.actor.as_ref().map_or("somebody", |actor| actor.name.as_str());
            let what = format!("the decision of {} about the approval {}", clean(name), short_id(id));
            self.fault(body, what, format!("it makes it last until {until}, longer than it was asked for"));
        }
        let (state, expires) = (decided.approval_state, decided.usable_until.unwrap_or(row.expires));
        self.put(Row::Approval(ApprovalRow { state, expires, ..row }));
    }

    /// Whether somebody may decide so, or why not.
    fn may_decide(
        &self,
        body: &Body,
        actor: &Actor,
        row: &ApprovalRow,
        decided: &ApprovalDecided,
    ) -> Result<(), String> {
        if row.state != ApprovalState::Pending {
            return Err(format!("it was {} by then", row.state.name()));
        }
        if has_expired(row.expires, body.time) {
            return Err("it had expired".to_owned());
        }
        if self.account(actor.id).is_none_or(|principal| principal.kind != PrincipalKind::User) {
            return Err("only people decide".to_owned());
        }
        if self.excluded(decider_of(row)).contains(&actor.id) {
            return Err("nobody decides about what they asked for themselves".to_owned());
        }
        let stages = self.stages_named(row.id, &decided.stages);
        if stages.is_empty() || stages.len() != decided.stages.len() {
            return Err("it was asked for without such a stage".to_owned());
        }
        match stages.iter().find(|(_, by)| !self.belongs_to(actor.id, by, row.project_id)) {
            Some((_, by)) => Err(format!("they were not among those who may: {}", clean(by))),
            None => Ok(()),
        }
    }

    pub(super) fn approval_ended(&mut self, body: &Body, ended: &ApprovalEnded) {
        let id = ended.approval.approval;
        let Some(row) = self.approval(id).cloned() else {
            let what = format!("the approval {} becomes {}", short_id(id), ended.approval_state.name());
            return self.fault(body, what, "no entry asks for it".to_owned());
        };
        if (row.kind, ended.approval_state) == (ApprovalKind::Change, ApprovalState::Spent)
            && let Err(why) = self.allows_change(body, &row, ended)
        {
            let name = clean(&ended.approval.asked_by.name);
            self.fault(body, format!("a change by {name} rests on the approval {}", short_id(id)), why);
        }
        if ended.approval_state == ApprovalState::Spent {
            // What the same request changes after this needs another approval.
            self.approvals.change.events.clear();
            self.approvals.change.touched.clear();
        }
        let revoked_by = match (ended.approval_state, &body.actor) {
            (ApprovalState::Revoked, Some(actor)) => Some(actor.id),
            _ => row.revoked_by,
        };
        self.put(Row::Approval(ApprovalRow { state: ended.approval_state, revoked_by, ..row }));
    }

    /// Whether the change that was made right before is the one that was approved, and by enough people.
    fn allows_change(&self, body: &Body, row: &ApprovalRow, ended: &ApprovalEnded) -> Result<(), String> {
        is_usable(row, body.time)?;
        if body.actor.as_ref().map(|actor| actor.id) != Some(row.asked_by) {
            return Err("somebody else asked for it".to_owned());
        }
        let OpenChange { events, touched, .. } = &self.approvals.change;
        // Those who are taken out, or put in, by this very change count as they did before it.
        self.meets(row, (&ended.demanded, touched), &std::iter::once(row.asked_by).collect())?;
        let names = &ended.approved_events;
        let events = || events.iter().filter(|event| names.iter().any(|name| name == event.name()));
        let expected = self.approvals.asked.get(&row.id).and_then(|asked| asked.change_sha256);
        if expected != Some(change_sha256(row.asked_by, events())) && !events().any(may_be_cut) {
            return Err("another change was approved".to_owned());
        }
        Ok(())
    }

    pub(super) fn review_closed(&mut self, body: &Body, review: &ReviewClosed) {
        let id = review.approval.approval;
        match self.approval_mut(id) {
            Some(row) => row.reviewed = Some(review.closed),
            None => {
                let what = format!("the review of the approval {} is closed", short_id(id));
                self.fault(body, what, "no entry asks for it".to_owned());
            }
        }
    }

    pub(super) fn forget_approvals(&mut self, forgotten: &ApprovalsForgotten) {
        for id in &forgotten.approvals {
            self.approvals.asked.remove(id);
            for decision in self.children(id.0) {
                self.remove(&decision);
            }
            self.remove(&RowKey::Approval(*id));
        }
    }

    pub(super) fn use_cancelled(&mut self, cancelled: &UseCancelled) {
        if let Some(row) = cancelled.approval.and_then(|id| self.approval_mut(id)) {
            row.state = ApprovalState::Cancelled;
        }
    }

    /// A use takes its share of the approval that it names, which must allow it.
    pub(super) fn use_begins(&mut self, body: &Body, intent: &UseIntent) {
        let Some(id) = intent.asked.judged.as_ref().and_then(|judged| judged.approval) else { return };
        if let Err(why) = self.allows_use(body, intent, id) {
            let (key, project) = (clean(&intent.signing_key.key.name), clean(&intent.signing_key.project.name));
            let name = body.actor.as_ref().map_or("somebody", |actor| actor.name.as_str());
            let what = format!("the use of {project}/{key} by {} rests on the approval {}", clean(name), short_id(id));
            self.fault(body, what, why);
        }
        let request = body.request_id;
        if let Some(row) = self.approval_mut(id) {
            row.used = row.used.saturating_add(1);
            if row.max_uses == Some(row.used) {
                row.state = ApprovalState::Spent;
            }
            if row.kind == ApprovalKind::Use {
                row.request_id = Some(request);
            }
            self.approvals.in_work.insert(request, id);
        }
    }

    /// A use that came to nothing gives its share back.
    pub(super) fn use_ends(&mut self, body: &Body, outcome: &UseOutcome) {
        let Some(id) = self.approvals.in_work.remove(&body.request_id) else { return };
        if outcome.state != RequestState::Failed {
            return;
        }
        if let Some(row) = self.approval_mut(id)
            && row.used > 0
        {
            row.used -= 1;
            if row.state == ApprovalState::Spent {
                row.state = ApprovalState::Approved;
            }
        }
    }

    /// Whether an approval allows a use by the entries so far, or why not.
    fn allows_use(&self, body: &Body, intent: &UseIntent, id: ApprovalId) -> Result<(), String> {
        let (Some(row), Some(asked)) = (self.approval(id), self.approvals.asked.get(&id)) else {
            return Err("no entry asks for it".to_owned());
        };
        let actor = body.actor.as_ref().map(|actor| actor.id).ok_or("the entry names nobody")?;
        is_usable(row, body.time)?;
        let is_theirs = row.requester_id == Some(actor)
            || row.group_id.is_some_and(|group| self.rows.contains_key(&RowKey::Member(group, actor)));
        if !is_theirs || row.kind == ApprovalKind::Change {
            return Err("it is for somebody else".to_owned());
        }
        if row.key_id != Some(intent.signing_key.key.id) || row.operation != Some(intent.asked.operation) {
            return Err("it is for another key or operation".to_owned());
        }
        is_within((row, asked), body.peer, intent.asked.claims.as_ref())?;
        let demanded = intent.asked.judged.as_ref().map_or(&[][..], |judged| judged.demanded.as_slice());
        if demanded.is_empty() {
            return Err("the use names no stage that was demanded".to_owned());
        }
        self.meets(row, (demanded, const { &BTreeSet::new() }), &self.excluded(Some(actor)))
    }

    fn approval(&self, id: ApprovalId) -> Option<&ApprovalRow> {
        match self.rows.get(&RowKey::Approval(id)) {
            Some(Row::Approval(row)) => Some(row),
            _ => None,
        }
    }

    fn approval_mut(&mut self, id: ApprovalId) -> Option<&mut ApprovalRow> {
        match self.rows.get_mut(&RowKey::Approval(id)) {
            Some(Row::Approval(row)) => Some(row),
            _ => None,
        }
    }

    fn fault(&mut self, body: &Body, what: String, why: String) {
        if self.approvals.faults.len() < MAX_FAULTS {
            self.approvals.faults.push(Difference::Unapproved { sequence: body.sequence, what, why });
        } else {
            self.approvals.more_faults += 1;
        }
    }
}

/// The row of an approval that was just asked for.
fn approval_row(
    binding: &Binding,
    (id, kind, asked_by): (ApprovalId, ApprovalKind, PrincipalId),
    expires: Timestamp,
) -> ApprovalRow {
    ApprovalRow {
        id,
        kind,
        state: ApprovalState::Pending,
        created: binding.created,
        expires,
        use_seconds: binding.use_seconds,
        asked_by,
        project_id: None,
        key_id: None,
        operation: binding.operation,
        request_id: None,
        requester_id: binding.requester,
        group_id: binding.group,
        host: binding.host.clone(),
        max_uses: binding.max_uses,
        used: 0,
        not_before: binding.not_before,
        reviewed: None,
        revoked_by: None,
        body_sha256: binding.body_sha256,
    }
}

fn is_usable(row: &ApprovalRow, now: Timestamp) -> Result<(), String> {
    if row.state != ApprovalState::Approved {
        return Err(format!("by the entries it is {}", row.state.name()));
    }
    if has_expired(row.expires, now) {
        return Err("it had expired".to_owned());
    }
    match row.not_before {
        Some(begins) if begins > now => Err(format!("it can be used from {begins} on")),
        _ => Ok(()),
    }
}

/// Whether an approval that was given at this time can last until then.
fn is_life_of(row: &ApprovalRow, given: Timestamp, until: Timestamp) -> bool {
    let begins = row.not_before.map_or(given.unix(), |begins| begins.unix().max(given.unix()));
    until.unix() <= begins.saturating_add(row.use_seconds).saturating_add(COMMIT_SECONDS)
}

fn has_expired(expires: Timestamp, now: Timestamp) -> bool {
    expires.unix().saturating_add(COMMIT_SECONDS) < now.unix()
}

/// Whose membership or account an entry changes.
fn touched(event: &Event) -> Option<PrincipalId> {
    match event {
        Event::GroupMemberAdded(act) | Event::GroupMemberRemoved(act) => Some(act.principal.id),
        Event::UserRemoved(act) => Some(act.principal.id),
        Event::ProjectMemberAdded(act) | Event::ProjectMemberRemoved(act) => match &act.member {
            Member::Principal(principal) => Some(principal.id),
            Member::Group(_) => None,
        },
        _ => None,
    }
}

/// Whether the entry of this event may lack a part of what was approved, because it had no room for it.
fn may_be_cut(event: &Event) -> bool {
    const WHOLE: usize = 16 * 1024;
    matches!(event, Event::CertificateMerged(_))
        && serde_json::to_string(event).is_ok_and(|text| text.len() > WHOLE || text.contains('…'))
}
