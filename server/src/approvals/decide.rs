//! Approving, rejecting, withdrawing, revoking.

use std::collections::BTreeSet;

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, Decided, Verdict},
    ids::{ApprovalId, KeyId, PrincipalId},
    notices::NoticeKind,
    record::RequestState,
    roles::{PrincipalKind, ProjectRole, Roles},
};
use sealcard_policy::Action;
use sealcard_record::{
    Event, Named,
    event::{ApprovalDecided, ApprovalRef, ReviewClosed, SigningKey},
};

use super::{ApprovalError, Approvals, ended, excluded, flow, people, tell};
use crate::{
    authn::{AuthorizationError, Caller},
    requests::state::{self, Input},
    storage::{
        ApprovalChange, ApprovalRow, DecisionRow, FactsQuery, FlowOf, NewDecision, PrincipalNameRow, StageOf, Target,
        WriteTx,
    },
};

type Result<T> = std::result::Result<T, ApprovalError>;

/// Somebody who looks at an approval, as the transaction sees them.
pub(super) struct Viewer {
    pub(super) id: PrincipalId,
    pub(super) kind: PrincipalKind,
    /// Groups by name, and roles in the approval's project after `role:`.
    pub(super) member_of: BTreeSet<String>,
    pub(super) roles: Roles,
    /// Whether the viewer reads everything.
    pub(super) reads_all: bool,
    /// Whether the viewer may stop keys in an emergency.
    pub(super) stops_keys: bool,
}

impl Viewer {
    /// The caller, with these roles in the approval's project.
    pub(super) fn new(caller: &Caller, groups: &[String], roles: Roles) -> Self {
        let held = ProjectRole::ALL.into_iter().filter(|role| roles.contains(*role));
        let member_of = groups.iter().cloned().chain(held.map(|role| format!("role:{role}"))).collect();
        let (id, kind, reads_all) = (caller.principal, caller.kind, caller.reads_everything());
        let stops_keys = caller.may_on_server(Action::StopKeys).is_ok();
        Self { id, kind, member_of, roles, reads_all, stops_keys }
    }

    /// Whether it is theirs, or they may have to decide or to answer for it.
    pub(super) fn sees(&self, row: &ApprovalRow) -> bool {
        row.asked_by == self.id
            || row.requester == Some(self.id)
            || self.reads_all
            || [ProjectRole::Owner, ProjectRole::Auditor, ProjectRole::Approver]
                .into_iter()
                .any(|role| self.roles.contains(role))
            || !flow::rejectable(&row.body.flows, &self.member_of).is_empty()
    }

    /// Why they can't decide anything about it, whatever the verdict.
    fn is_kept_out(&self, row: &ApprovalRow, excluded: &flow::Excluded) -> Option<&'static str> {
        if self.kind != PrincipalKind::User {
            return Some("Only people approve: a service account can't.");
        }
        if !excluded.contains(&self.id) {
            return None;
        }
        let asked = row.requester == Some(self.id) || row.asked_by == self.id;
        Some(if asked {
            "You asked for this yourself: somebody else must decide."
        } else {
            "You own the service account that asks: somebody else must decide."
        })
    }

    /// The stages for which they can approve now, or why there is none.
    pub(super) fn approvable<'a>(
        &self,
        row: &'a ApprovalRow,
        decisions: &[DecisionRow],
        excluded: &flow::Excluded,
    ) -> std::result::Result<Vec<(&'a FlowOf, &'a StageOf)>, String> {
        if let Some(why) = self.is_kept_out(row, excluded) {
            return Err(why.to_owned());
        }
        let flows = &row.body.flows;
        let stages = flow::approvable(flows, decisions, excluded, (self.id, &self.member_of));
        if !stages.is_empty() {
            return Ok(stages);
        }
        let standing = flows
            .iter()
            .flat_map(|flow| flow.stages.iter().flat_map(|stage| flow::approvers(flow, stage, decisions, excluded)));
        if standing.into_iter().any(|decision| decision.approver == self.id) {
            return Err("You have approved it already: others must decide.".to_owned());
        }
        let waits_for: BTreeSet<String> = flows
            .iter()
            .filter_map(|flow| flow::current(flow, decisions, excluded))
            .map(|stage| people(&stage.by))
            .collect();
        let waits_for = waits_for.into_iter().collect::<Vec<_>>().join(" or ");
        let later = flows.iter().any(|flow| {
            let now = flow::current(flow, decisions, excluded).map(|stage| &stage.by);
            let after = flow.stages.iter().skip_while(|stage| Some(&stage.by) != now).skip(1);
            after.into_iter().any(|stage| self.member_of.contains(&stage.by))
        });
        Err(if later {
            format!("It is not your turn yet: first {waits_for} must approve.")
        } else {
            format!("Only {waits_for} can approve it now.")
        })
    }
}

/// A row with what entries and rules need to know of it.
pub(super) struct Seen {
    pub(super) row: ApprovalRow,
    pub(super) viewer: Viewer,
    pub(super) excluded: flow::Excluded,
}

pub(super) fn short(id: ApprovalId) -> String {
    let text = id.0.simple().to_string();
    text.get(24..).unwrap_or(&text).to_owned()
}

impl Approvals {
    /// Decides about approvals, all or none.
    ///
    /// # Errors
    /// See [`ApprovalError`]. Nothing was decided then.
    pub async fn decide(
        &self,
        caller: &Caller,
        verdict: Verdict,
        about: Vec<Decided>,
        comment: Option<String>,
    ) -> Result<()> {
        let author = caller.clone();
        self.store
            .write(move |tx| -> Result<()> {
                for one in about {
                    decide_one(tx, &author, (verdict, one), comment.as_ref())?;
                }
                Ok(())
            })
            .await?;
        self.wake.look_now();
        Ok(())
    }

    /// Takes an approval back: what is not decided its asker withdraws, what is approved those revoke who may decide or
    /// look after it. Returns how it stands then.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn end(&self, caller: &Caller, id: ApprovalId) -> Result<ApprovalState> {
        let author = caller.clone();
        let state = self.store.write(move |tx| end_one(tx, &author, id)).await?;
        self.wake.look_now();
        Ok(state)
    }
}

impl Approvals {
    /// Closes the review of break-glass: for those who may approve it, owners and auditors of the project, and security
    /// officers, but not for whoever asked for it.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn close_review(&self, caller: &Caller, id: ApprovalId, finding: String) -> Result<()> {
        let author = caller.clone();
        self.store
            .write(move |tx| {
                let Seen { row, viewer, excluded } = see(tx, &author, id)?;
                if let Some(why) = viewer.is_kept_out(&row, &excluded) {
                    return Err(ApprovalError::NotYours(why.to_owned()));
                }
                if row.kind != ApprovalKind::BreakGlass {
                    return Err(ApprovalError::Invalid("Only break-glass is reviewed.".to_owned()));
                }
                let over = !matches!(row.state, ApprovalState::Pending | ApprovalState::Approved);
                if !over && row.expires > tx.now() {
                    let text = "It can still be used: revoke it first, or wait until it has expired.";
                    return Err(ApprovalError::Conflict(text.to_owned()));
                }
                if !tx.close_review(id)? {
                    return Err(ApprovalError::Conflict("Its review is closed already.".to_owned()));
                }
                let (approval, closed) = (reference(tx, &row)?, tx.now());
                tx.append_record(author.draft(Event::ReviewClosed(ReviewClosed { approval, finding, closed })));
                Ok(())
            })
            .await
    }
}

/// The approval as the caller may see it.
pub(super) fn see(tx: &mut WriteTx, caller: &Caller, id: ApprovalId) -> Result<Seen> {
    let row = tx.approval(id)?.ok_or(ApprovalError::NotFound)?;
    let target = row.project.map_or(Target::Server, Target::Project);
    caller.authorization(&[Action::LookAfterOneself]).check(tx, row.project)?;
    let facts = tx.facts(&FactsQuery { token: caller.token, target }, None)?;
    let facts = facts.ok_or(AuthorizationError::UnknownGrant)?;
    let viewer = Viewer::new(caller, &facts.principal.groups, facts.roles);
    if !viewer.sees(&row) {
        return Err(ApprovalError::NotFound);
    }
    // A change is made by whoever asked for it.
    let requester = if row.kind == ApprovalKind::Change { Some(row.asked_by) } else { row.requester };
    let owner = match requester {
        Some(requester) => tx.owner_of(requester)?,
        None => None,
    };
    Ok(Seen { row, viewer, excluded: excluded(requester, owner) })
}

fn decide_one(
    tx: &mut WriteTx,
    caller: &Caller,
    (verdict, about): (Verdict, Decided),
    comment: Option<&String>,
) -> Result<()> {
    let Seen { row, viewer, excluded } = see(tx, caller, about.id)?;
    if row.version != about.version {
        return Err(ApprovalError::Changed(short(row.id)));
    }
    if row.state != ApprovalState::Pending || row.expires <= tx.now() {
        let state = if row.state == ApprovalState::Pending { ApprovalState::Expired } else { row.state };
        return Err(ApprovalError::Over(short(row.id), state));
    }
    let before = tx.decisions(row.id)?;
    let stages: Vec<(String, String)> = match verdict {
        Verdict::Approve => {
            let stages = viewer.approvable(&row, &before, &excluded).map_err(ApprovalError::NotYours)?;
            stages.into_iter().map(|(flow, stage)| (flow.name.clone(), stage.by.clone())).collect()
        }
        Verdict::Reject => {
            if let Some(why) = viewer.is_kept_out(&row, &excluded) {
                return Err(ApprovalError::NotYours(why.to_owned()));
            }
            let flows = flow::rejectable(&row.body.flows, &viewer.member_of);
            flows.into_iter().map(|(flow, by)| (flow.name.clone(), by)).collect()
        }
    };
    if stages.is_empty() {
        return Err(ApprovalError::NotYours("Only those who may approve it can reject it.".to_owned()));
    }
    for (flow, stage) in &stages {
        let (flow, stage, comment) = (flow.clone(), stage.clone(), comment.cloned());
        tx.add_decision(row.id, &NewDecision { flow, stage, approver: caller.principal, verdict, comment })?;
    }
    let names = stages.iter().map(|(flow, stage)| format!("{flow}/{stage}")).collect();
    settle(tx, caller, (&row, &excluded, &before), (verdict, names, comment.cloned()))
}

/// What becomes of an approval after a decision was written, and the entry about it.
pub(super) fn settle(
    tx: &mut WriteTx,
    caller: &Caller,
    (row, excluded, before): (&ApprovalRow, &flow::Excluded, &[DecisionRow]),
    (verdict, stages, comment): (Verdict, Vec<String>, Option<String>),
) -> Result<()> {
    let decisions = tx.decisions(row.id)?;
    let state = match verdict {
        Verdict::Reject => ApprovalState::Rejected,
        Verdict::Approve if flow::complete(&row.body.flows, &decisions, excluded) => ApprovalState::Approved,
        Verdict::Approve => ApprovalState::Pending,
    };
    let begins = row.not_before.map_or(tx.now(), |begins| begins.max(tx.now()));
    let expires = match state {
        ApprovalState::Approved => Timestamp::from_unix(begins.unix().saturating_add(row.use_seconds)),
        _ => row.expires,
    };
    if !tx.change_approval(row.id, row.version, ApprovalChange { state, expires })? {
        return Err(ApprovalError::Changed(short(row.id)));
    }
    let approval = reference(tx, row)?;
    match state {
        ApprovalState::Pending => {
            let kind = NoticeKind::ApprovalWanted;
            if next_turn(row, (before, &decisions), excluded) {
                tell::wanted(tx, row, (&approval, kind), (&decisions, excluded))?;
            }
        }
        state => tell::outcome(tx, row, &approval, (state, &caller.name, comment.as_deref()))?,
    }
    let entry = caller.draft(Event::ApprovalDecided(ApprovalDecided {
        approval,
        version: row.version,
        verdict,
        stages,
        comment,
        approval_state: state,
        usable_until: (state == ApprovalState::Approved).then_some(expires),
    }));
    match state {
        ApprovalState::Approved => tx.let_waiting_go_on(row)?,
        ApprovalState::Rejected => {
            let next = state::next(RequestState::Waiting, Input::Reject).unwrap_or(RequestState::Rejected);
            if let Some(request) = row.request
                && tx.end_waiting(request, next, entry.clone())?
            {
                return Ok(());
            }
        }
        _ => {}
    }
    tx.append_record(entry);
    Ok(())
}

/// Whether another stage's turn has come.
fn next_turn(row: &ApprovalRow, (before, now): (&[DecisionRow], &[DecisionRow]), excluded: &flow::Excluded) -> bool {
    let turns = |decisions: &[DecisionRow]| -> Vec<Option<String>> {
        let flows = row.body.flows.iter();
        flows.map(|flow| flow::current(flow, decisions, excluded).map(|stage| stage.by.clone())).collect()
    };
    turns(before) != turns(now)
}

fn end_one(tx: &mut WriteTx, caller: &Caller, id: ApprovalId) -> Result<ApprovalState> {
    let Seen { row, viewer, .. } = see(tx, caller, id)?;
    let own = row.asked_by == caller.principal || row.requester == Some(caller.principal);
    let may_revoke = own
        || viewer.stops_keys
        || viewer.roles.contains(ProjectRole::Owner)
        || !flow::rejectable(&row.body.flows, &viewer.member_of).is_empty();
    let (state, why) = match row.state {
        ApprovalState::Pending if own => (ApprovalState::Cancelled, "withdrawn by who asked for it"),
        ApprovalState::Pending => {
            let text = "Only who asked for it can withdraw it. Reject it instead.";
            return Err(ApprovalError::NotYours(text.to_owned()));
        }
        ApprovalState::Approved if may_revoke => (ApprovalState::Revoked, "revoked"),
        ApprovalState::Approved => {
            let text = "Only who asked for it, who may approve it, and owners of the project can revoke it.";
            return Err(ApprovalError::NotYours(text.to_owned()));
        }
        over => return Err(ApprovalError::Over(short(row.id), over)),
    };
    let changed = if state == ApprovalState::Revoked {
        tx.revoke_approval(row.id, row.version, caller.principal)?
    } else {
        tx.change_approval(row.id, row.version, ApprovalChange { state, expires: row.expires })?
    };
    if !changed {
        return Err(ApprovalError::Changed(short(row.id)));
    }
    let approval = reference(tx, &row)?;
    if state == ApprovalState::Revoked {
        tell::outcome(tx, &row, &approval, (state, &caller.name, None))?;
    }
    let ended = ended(approval, (state, why), row.used);
    let entry = caller.draft(Event::ApprovalEnded(ended));
    if let Some(request) = row.request
        && tx.end_waiting(request, RequestState::Cancelled, entry.clone())?
    {
        return Ok(state);
    }
    tx.append_record(entry);
    Ok(state)
}

/// What entries about an approval say, with the names of this moment.
pub(super) fn reference(tx: &mut WriteTx, row: &ApprovalRow) -> Result<ApprovalRef> {
    let names = match row.key {
        Some(key) => tx.key_names(key)?,
        None => None,
    };
    let asked_by = tx.principal_name(row.asked_by)?;
    let signing_key = names.zip(row.project).zip(row.key).map(|((names, project), key): (_, KeyId)| SigningKey {
        project: Named::new(project, names.0),
        key: Named::new(key, names.1),
    });
    let name = asked_by.map(|PrincipalNameRow { name, .. }| name).unwrap_or_default();
    Ok(super::named(row, signing_key.as_ref(), &name))
}
