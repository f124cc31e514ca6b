//! A request that waits for people: what it asks of them, and until when.

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, AskedUse},
    ids::{ApprovalId, ProjectId, RequestId},
    record::RequestState,
};
use sealcard_policy::{ApprovalDemand, Decision, rules::RuleSet};
use sealcard_record::{
    Draft, Event,
    event::{Binding, DenialCause, UseIntent, UseWaiting},
};

use super::{
    RequestError,
    decide::{Decided, Decider},
    events,
    facts::policy_operation,
    state::{self, Input},
};
use crate::{
    approvals::{self, Fitting, Wanted, flow, times},
    storage::{
        ApprovalBody, ApprovalRow, Arrival, Facts, FlowOf, RequestRow, Snapshot, StorageError, TooManyWaiting, Verdict,
        WaitLimits,
    },
};

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    /// The request, by the id that it has now.
    pub(super) request: RequestId,
    /// The approval that it waits for.
    pub(super) approval: ApprovalId,
    /// What is missing, as phrases.
    pub(super) wants: Vec<String>,
    /// The stages whose turn it is.
    pub(super) stages: Vec<String>,
    pub(super) project: Option<ProjectId>,
    pub(super) deadline: Timestamp,
    pub(super) expires: Timestamp,
}

impl Decider {
    /// The use, as approvals look at it.
    pub(super) fn wanted(&self, facts: &Facts, arrival: &Arrival) -> Wanted<'_> {
        let own = match arrival {
            Arrival::Waiting(row) => row.approval,
            Arrival::New | Arrival::Repeated(_) | Arrival::Mismatched => None,
        };
        Wanted::new(&self.caller, &self.request, facts, own)
    }

    /// Lets the request wait, or wait on.
    pub(super) fn wait(
        &self,
        snapshot: &mut Snapshot<'_>,
        facts: &Facts,
        (decision, rules): (&Decision, Option<&RuleSet>),
        intent: UseIntent,
    ) -> Result<Verdict<Decided>, StorageError> {
        let awaited = decision.awaited();
        let flows = approvals::flows_of(&awaited, rules);
        let own = match snapshot.arrival {
            Arrival::Waiting(row) => own_approval(snapshot, row)?.map(|own| (row.clone(), own)),
            Arrival::New | Arrival::Repeated(_) | Arrival::Mismatched => None,
        };
        if let Some((row, own)) = own {
            return self.wait_on(snapshot, facts, (&row, own), (decision, flows), intent);
        }
        let now = snapshot.now;
        let times = times(&flows, rules, &self.approvals);
        let deadline = after(now, times.wait);
        let approval = ApprovalRow {
            id: ApprovalId::new(),
            kind: ApprovalKind::Use,
            state: ApprovalState::Pending,
            version: 1,
            created: now,
            expires: after(now, times.expires.max(times.wait)),
            use_seconds: times.use_within,
            asked_by: self.caller.principal,
            project: facts.project.as_ref().map(|project| project.id),
            key: Some(self.request.key),
            operation: Some(policy_operation(&self.request.operation).name().to_owned()),
            request: Some(self.caller.request_id),
            requester: Some(self.caller.principal),
            group: None,
            host: self.request.context.host.clone(),
            max_uses: Some(1),
            used: 0,
            not_before: None,
            reviewed: None,
            revoked_by: None,
            body: ApprovalBody {
                asked: Some(self.asked_use(facts, &intent)),
                reason: self.request.context.justification.clone(),
                flows,
                ..ApprovalBody::default()
            },
        };
        let limits =
            WaitLimits { principal: self.approvals.waiting_per_principal, project: self.approvals.waiting_per_project };
        match snapshot.wait_for(&approval, deadline, limits)? {
            Ok(earlier) => {
                for one in earlier {
                    let why = "a later request of the same kind took its place";
                    let entry =
                        approvals::ended_entry(&one, ApprovalState::Expired, why, &intent.signing_key, &self.caller);
                    snapshot.append_record(entry);
                }
            }
            Err(too_many) => {
                let too_many = match too_many {
                    TooManyWaiting::OfPrincipal(limit) => RequestError::TooManyWaiting { limit, of_project: false },
                    TooManyWaiting::OfProject(limit) => RequestError::TooManyWaiting { limit, of_project: true },
                };
                let cause = (RequestState::Received, Input::Refuse, DenialCause::Busy);
                return Ok(self.refuse(Some(facts), None, cause, too_many));
            }
        }
        let excluded = self.wanted(facts, snapshot.arrival).excluded();
        approvals::ask_for(snapshot.transaction(), &approval, &intent.signing_key, (&self.caller.name, &excluded))?;
        let wants = awaited.iter().map(ToString::to_string).collect();
        let first = approval.body.flows.iter().filter_map(|flow| flow.stages.first());
        let stages = first.map(|stage| stage.by.clone()).collect();
        let waits = waits(self.caller.request_id, &approval, (wants, stages), deadline);
        let entry = self.waiting(facts, decision, (&waits, approval.binding()?), intent);
        let next = state::next(RequestState::Received, Input::Demand).map(|state| (state, entry));
        Ok(Verdict { next, value: Decided::Waits(waits) })
    }

    /// The request waits already: for the same, or for what rules want by now.
    fn wait_on(
        &self,
        snapshot: &mut Snapshot<'_>,
        facts: &Facts,
        (row, own): (&RequestRow, ApprovalRow),
        (decision, flows): (&Decision, Vec<FlowOf>),
        intent: UseIntent,
    ) -> Result<Verdict<Decided>, StorageError> {
        let deadline = row.deadline.unwrap_or(own.expires);
        let decisions = snapshot.decisions(own.id)?;
        let excluded = self.wanted(facts, snapshot.arrival).excluded();
        let missing = |demand: &&ApprovalDemand| {
            let of = flows.iter().find(|flow| flow.name == demand.flow);
            let stage = of.and_then(|flow| Some((flow, flow.stages.iter().find(|stage| stage.by == demand.by.id())?)));
            stage.is_none_or(|(flow, stage)| !flow::passed(flow, stage, &decisions, &excluded))
        };
        let awaited = decision.awaited();
        let wants: Vec<String> = awaited.into_iter().filter(missing).map(ToString::to_string).collect();
        let now = flows.iter().filter_map(|flow| flow::current(flow, &decisions, &excluded));
        let stages = now.map(|stage| stage.by.clone()).collect();
        let asked = (wants, stages);
        let again = row.state == RequestState::Approved || own.body.flows != flows;
        if !again {
            let value = Decided::Waits(waits(row.id, &own, asked, deadline));
            return Ok(Verdict { next: None, value });
        }
        let body = ApprovalBody { flows, ..own.body.clone() };
        snapshot.ask_again(own.id, &body)?;
        let own = ApprovalRow { body, ..own };
        let request = if row.state == RequestState::Approved { self.caller.request_id } else { row.id };
        snapshot.set_request(own.id, request)?;
        approvals::ask_for(snapshot.transaction(), &own, &intent.signing_key, (&self.caller.name, &excluded))?;
        let waits = waits(request, &own, asked, deadline);
        let entry = self.waiting(facts, decision, (&waits, own.binding()?), intent);
        if row.state == RequestState::Approved {
            let next = state::next(row.state, Input::Demand).map(|state| (state, entry));
            return Ok(Verdict { next, value: Decided::Waits(waits) });
        }
        // The rules have other stages by now, and the request waits on for those.
        snapshot.append_record(entry);
        Ok(Verdict { next: None, value: Decided::Waits(waits) })
    }

    /// The entry of a request that waits.
    fn waiting(
        &self,
        facts: &Facts,
        decision: &Decision,
        (waits, binding): (&Waits, Binding),
        intent: UseIntent,
    ) -> Draft {
        let UseIntent { signing_key, component, mut asked, host } = intent;
        asked.judged = events::judged(facts, decision, &std::collections::BTreeSet::new(), None);
        let (approval, wants, deadline) = (waits.approval, waits.wants.clone(), waits.deadline);
        let (expires, binding) = (waits.expires, Box::new(binding));
        let waiting = UseWaiting { signing_key, component, asked, host, approval, wants, deadline, expires, binding };
        self.caller.in_request(waits.request).draft(Event::UseWaiting(waiting))
    }

    /// What the request waited for itself is not needed any more, if something else allowed it.
    pub(super) fn end_own_approval(
        &self,
        snapshot: &mut Snapshot<'_>,
        by: Option<&Fitting>,
        intent: &UseIntent,
    ) -> Result<(), StorageError> {
        let Arrival::Waiting(row) = snapshot.arrival else { return Ok(()) };
        let Some(own) = row.approval.filter(|own| by.is_none_or(|by| by.id != *own)) else { return Ok(()) };
        if let Some(own) = snapshot.approval(own)?
            && own.state.is_open()
        {
            snapshot.end_approval(&own, ApprovalState::Cancelled)?;
            let why = "the use was allowed without it";
            let state = ApprovalState::Cancelled;
            let entry = approvals::ended_entry(&own, state, why, &intent.signing_key, &self.caller);
            snapshot.append_record(entry);
        }
        Ok(())
    }

    fn asked_use(&self, facts: &Facts, intent: &UseIntent) -> AskedUse {
        let asked = &intent.asked;
        AskedUse {
            address: Some(self.caller.peer.ip().to_canonical()),
            login_method: if facts.grant.by_service_token { "service-token" } else { "password" }.to_owned(),
            login: Some(facts.grant.issued),
            claims: self.request.context.clone(),
            hash: asked.hash,
            digest: asked.digest.as_ref().map(|digest| data_encoding::HEXLOWER.encode(&digest.0)),
            ssh_user: asked.ssh_user.clone(),
            ssh_namespace: asked.ssh_namespace.clone(),
        }
    }
}

fn waits(
    request: RequestId,
    own: &ApprovalRow,
    (wants, stages): (Vec<String>, Vec<String>),
    deadline: Timestamp,
) -> Waits {
    Waits { request, approval: own.id, wants, stages, project: own.project, deadline, expires: own.expires }
}

/// The approval that the request waits for, if it can still be decided or used.
fn own_approval(snapshot: &mut Snapshot<'_>, row: &RequestRow) -> Result<Option<ApprovalRow>, StorageError> {
    let Some(id) = row.approval else { return Ok(None) };
    Ok(snapshot.approval(id)?.filter(|own| own.state.is_open() && own.expires > snapshot.now))
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_unix(now.unix().saturating_add(seconds))
}
