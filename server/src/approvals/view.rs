//! An approval as people see it.

use std::collections::{HashMap, hash_map::Entry};

use sealcard_api::{
    approvals::{
        Approval, ApprovalDecision, ApprovalFilter, ApprovalFlow, ApprovalKind, ApprovalStage, ApprovalState,
        PrincipalName, Verdict,
    },
    decisions::UseKind,
    ids::{ApprovalId, PrincipalId, ProjectId},
    record::RequestState,
    roles::{PrincipalKind, Roles},
};

use super::{ApprovalError, Approvals, ask::operation_name, decide::Viewer, excluded, flow};
use crate::{
    authn::Caller,
    limits,
    storage::{ApprovalQuery, ApprovalRow, DecisionRow, FlowOf, StorageError},
};

impl Approvals {
    /// An approval that the caller may see.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn show(&self, caller: &Caller, id: ApprovalId) -> Result<Approval, ApprovalError> {
        let row = self.store.approval(id).await?.ok_or(ApprovalError::NotFound)?;
        let viewer = self.viewer(caller, row.project).await?;
        if !viewer.sees(&row) {
            return Err(ApprovalError::NotFound);
        }
        Ok(self.view(row, &viewer).await?)
    }

    /// The approvals that the caller may see, oldest first, and whether there are more.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub async fn list(&self, caller: &Caller, filter: &ApprovalFilter) -> Result<(Vec<Approval>, bool), ApprovalError> {
        let limit = filter.limit.unwrap_or(limits::PAGE_ITEMS) as usize;
        let mut viewers: HashMap<Option<ProjectId>, Viewer> = HashMap::new();
        let mut seen = Vec::new();
        let mut query =
            ApprovalQuery { project: filter.project, all: filter.all, after: None, limit: limits::LISTED_APPROVALS };
        loop {
            let rows = self.store.approvals(query).await?;
            let last = rows.last().map(|row| row.id);
            let whole = rows.len() == limits::LISTED_APPROVALS as usize;
            for row in rows {
                let viewer = match viewers.entry(row.project) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(self.viewer(caller, row.project).await?),
                };
                if !viewer.sees(&row) {
                    continue;
                }
                if seen.len() == limit {
                    return Ok((seen, true));
                }
                let view = self.view(row, viewer).await?;
                if !filter.mine || view.yours_to_decide {
                    seen.push(view);
                }
            }
            match last.filter(|_| whole) {
                Some(last) => query.after = Some(last),
                None => return Ok((seen, false)),
            }
        }
    }

    /// The names of those who could approve these stages, at most 20, without the excluded.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn names_of(
        &self,
        stages: &[String],
        project: Option<ProjectId>,
        (requester, owner): (Option<PrincipalId>, Option<PrincipalId>),
    ) -> Result<Vec<String>, StorageError> {
        let excluded = excluded(requester, owner);
        let mut names = Vec::new();
        for stage in stages {
            for person in self.store.stage_members(stage, project, limits::NAMED_APPROVERS).await? {
                if !excluded.contains(&person.id) && !names.contains(&person.name) {
                    names.push(person.name);
                }
            }
        }
        names.truncate(limits::NAMED_APPROVERS as usize);
        Ok(names)
    }

    /// Who rejected an approval and why, as a sentence; none if nobody did.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rejection(&self, id: ApprovalId) -> Result<Option<String>, StorageError> {
        let decisions = self.store.decisions(id).await?;
        let rejection = decisions.into_iter().find(|decision| decision.verdict == Verdict::Reject);
        Ok(rejection.map(|DecisionRow { name, comment, .. }| match comment {
            Some(comment) => format!("{name} rejected it: {comment}"),
            None => format!("{name} rejected it."),
        }))
    }

    async fn viewer(&self, caller: &Caller, project: Option<ProjectId>) -> Result<Viewer, StorageError> {
        let roles = match project {
            Some(project) => self.store.roles_in_project(caller.principal, project).await?,
            None => Roles::NONE,
        };
        Ok(Viewer::new(caller, caller.groups(), roles))
    }

    async fn view(&self, row: ApprovalRow, viewer: &Viewer) -> Result<Approval, StorageError> {
        let decisions = self.store.decisions(row.id).await?;
        let requester = if row.kind == ApprovalKind::Change { Some(row.asked_by) } else { row.requester };
        let owner = match requester {
            Some(requester) => self.store.owner_of(requester).await?,
            None => None,
        };
        let kept_out = excluded(requester, owner);
        let pending = row.state == ApprovalState::Pending;
        let (yours_to_decide, not_yours) = match viewer.approvable(&row, &decisions, &kept_out) {
            _ if !pending => (false, None),
            Ok(_) => (true, None),
            Err(why) => (false, Some(why)),
        };
        let mut flows = Vec::with_capacity(row.body.flows.len());
        for one in &row.body.flows {
            flows.push(self.flow(&row, one, &decisions, (&kept_out, pending)).await?);
        }
        let deadline = match row.request {
            Some(request) if row.state.is_open() => {
                let request = self.store.request(request).await?;
                let waits = |state| matches!(state, RequestState::Waiting | RequestState::Approved);
                request.filter(|request| waits(request.state)).and_then(|request| request.deadline)
            }
            _ => None,
        };
        let names = match row.key {
            Some(key) => self.store.key_names(key).await?,
            None => None,
        };
        let operation = [UseKind::Sign, UseKind::Decrypt, UseKind::Authenticate]
            .into_iter()
            .find(|operation| row.operation.as_deref() == Some(operation_name(*operation)));
        let asked_by = self.store.principal_name(row.asked_by).await?;
        let asked_by = PrincipalName {
            id: row.asked_by,
            kind: asked_by.as_ref().map_or(PrincipalKind::User, |by| by.kind),
            name: asked_by.map(|by| by.name).unwrap_or_default(),
        };
        let revoked_by = match row.revoked_by {
            Some(by) => self.store.principal_name(by).await?.map(|by| by.name),
            None => None,
        };
        Ok(Approval {
            id: row.id,
            kind: row.kind,
            state: row.state,
            version: row.version,
            created: row.created,
            expires: row.expires,
            deadline,
            asked_by,
            project: names.as_ref().map(|(project, _)| project.clone()),
            key: names.map(|(project, key)| format!("{project}/{key}")),
            key_id: row.key,
            operation,
            asked: row.body.asked,
            terms: row.body.terms,
            change: row.body.change,
            reason: row.body.reason,
            used: row.used,
            flows,
            decisions: decisions.into_iter().map(shown).collect(),
            revoked_by,
            yours_to_decide,
            not_yours,
        })
    }

    async fn flow(
        &self,
        row: &ApprovalRow,
        of: &FlowOf,
        decisions: &[DecisionRow],
        (kept_out, pending): (&flow::Excluded, bool),
    ) -> Result<ApprovalFlow, StorageError> {
        let now = flow::current(of, decisions, kept_out).filter(|_| pending);
        let mut stages = Vec::with_capacity(of.stages.len());
        for stage in &of.stages {
            let approved: Vec<&DecisionRow> = flow::approvers(of, stage, decisions, kept_out).collect();
            let mut waits_for = Vec::new();
            if now.is_some_and(|now| now.by == stage.by) {
                let members = self.store.stage_members(&stage.by, row.project, limits::NAMED_APPROVERS).await?;
                let free = members.into_iter().filter(|person| {
                    !kept_out.contains(&person.id)
                        && !decisions.iter().any(|one| one.flow == of.name && one.stands && one.approver == person.id)
                });
                waits_for = free.map(|person| person.name).collect();
            }
            let approved = approved.into_iter().map(|decision| decision.name.clone()).collect();
            let by = match stage.by.strip_prefix("role:") {
                Some(role) => format!("the role {role}"),
                None => format!("the group {}", stage.by),
            };
            stages.push(ApprovalStage { by, count: stage.count, approved, waits_for });
        }
        Ok(ApprovalFlow { name: of.name.clone(), rule: of.rule.clone(), stages, veto: of.veto.clone() })
    }
}

fn shown(row: DecisionRow) -> ApprovalDecision {
    let by = match row.stage.strip_prefix("role:") {
        Some(role) => format!("the role {role}"),
        None => format!("the group {}", row.stage),
    };
    ApprovalDecision { approver: row.name, verdict: row.verdict, flow: row.flow, by, at: row.at, comment: row.comment }
}
