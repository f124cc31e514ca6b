//! Which flows there are, and who can approve.

use sealcard_api::{
    algorithm::ComponentRole,
    flows::{Flow, FlowOfBreakGlass, FlowOfUses, FlowStage},
    ids::{KeyId, ProjectId},
};
use sealcard_policy::rules::{ChangeDemand, ChangeKind, Document, RuleFlow, Stage};

use super::{
    ApprovalError, Approvals,
    change::{project_flow, server_flow},
    flow_of, people, times,
};
use crate::{
    authn::{AuthorizationError, Caller},
    config::{ApprovalsConfig, ChangesConfig},
    limits,
    storage::{FactsQuery, FlowOf, ProjectRow, RuleScope, StageOf, StorageError, Target},
};

/// What a flow allows of an approval in advance.
#[derive(Debug, Clone, Copy)]
pub(super) struct InAdvance {
    /// The most uses. 0: none.
    pub(super) uses: u32,
    pub(super) seconds: i64,
    pub(super) unlimited: bool,
}

impl InAdvance {
    pub(super) fn of(rule: &RuleFlow, config: &ApprovalsConfig) -> Self {
        let limits = rule.flow.pre_approval;
        let window = limits.and_then(|limits| limits.window).map(|window| window.seconds());
        Self {
            uses: limits.and_then(|limits| limits.uses).unwrap_or(config.pre_approval_uses),
            seconds: window.unwrap_or_else(|| i64::from(config.pre_approval_hours) * 3600),
            unlimited: limits.is_some_and(|limits| limits.unlimited),
        }
    }
}

impl Approvals {
    /// The flows of the rules that hold for a key, for a caller who may see it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn flows_of_key(
        &self,
        caller: &Caller,
        (key, project): (KeyId, ProjectId),
    ) -> Result<Vec<Flow>, ApprovalError> {
        let query = FactsQuery { token: caller.token, target: Target::Key(key, ComponentRole::Sign) };
        let facts = self.store.facts(query).await?.ok_or(AuthorizationError::UnknownGrant)?;
        let rules = self.rules.load(&self.store, &facts).await?;
        let mut flows = Vec::new();
        for (name, of) in rules.iter().flat_map(|rules| rules.flows()) {
            let flow = flow_of(name, of, &of.flow.stages);
            let times = times(std::slice::from_ref(&flow), rules.as_deref(), &self.config);
            let in_advance = InAdvance::of(of, &self.config);
            let uses = FlowOfUses {
                wait_seconds: times.wait,
                expires_seconds: times.expires,
                use_within_seconds: times.use_within,
                pre_approval_uses: in_advance.uses,
                pre_approval_seconds: in_advance.seconds,
                pre_approval_unlimited: in_advance.unlimited,
                break_glass: match &of.flow.break_glass {
                    Some(short) => Some(FlowOfBreakGlass {
                        stages: self.stages(&stages_of(&short.stages), project).await?,
                        seconds: short.window.seconds(),
                        uses: short.uses,
                    }),
                    None => None,
                },
            };
            flows.push(Flow { uses: Some(uses), ..self.with_people(flow, project).await? });
        }
        Ok(flows)
    }

    /// What changes of a project need, by its rules and by the server's configuration.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn flows_of_changes(
        &self,
        project: &ProjectRow,
        changes: &ChangesConfig,
    ) -> Result<Vec<Flow>, ApprovalError> {
        let mut flows = Vec::new();
        if changes.suspended {
            return Ok(flows);
        }
        let rules = self.store.current_rules_of(RuleScope::Project(project.id)).await?;
        let document = rules.and_then(|rules| Document::parse(&rules.text).ok());
        for kind in ChangeKind::OF_PROJECT {
            match document.as_ref().and_then(|document| document.changes().get(&kind)) {
                Some(ChangeDemand::Delay(delay)) => flows.push(Flow {
                    asked_by: format!("changes of {} of the project {}", kind.name(), project.name),
                    stages: Vec::new(),
                    veto: Vec::new(),
                    delay_seconds: Some(delay.seconds()),
                    uses: None,
                }),
                Some(ChangeDemand::Flow(name)) => {
                    if let Some(flow) = document.as_ref().and_then(|document| document.flow(name.as_str())) {
                        flows.push(self.with_people(project_flow(kind, &project.name, flow), project.id).await?);
                    }
                }
                None => {}
            }
            let Some(demand) = changes.demands.get(&kind) else { continue };
            let delay = (demand.delay_hours > 0).then(|| i64::from(demand.delay_hours) * 3600);
            let flow = match server_flow(kind, demand) {
                Some(flow) => self.with_people(flow, project.id).await?,
                None => Flow {
                    asked_by: format!("changes of {} on this server", kind.name()),
                    stages: Vec::new(),
                    veto: Vec::new(),
                    delay_seconds: None,
                    uses: None,
                },
            };
            flows.push(Flow { delay_seconds: delay, ..flow });
        }
        Ok(flows)
    }

    async fn with_people(&self, flow: FlowOf, project: ProjectId) -> Result<Flow, StorageError> {
        let stages = self.stages(&flow.stages, project).await?;
        Ok(Flow { asked_by: flow.rule, stages, veto: flow.veto, delay_seconds: None, uses: None })
    }

    async fn stages(&self, stages: &[StageOf], project: ProjectId) -> Result<Vec<FlowStage>, StorageError> {
        let mut all = Vec::with_capacity(stages.len());
        for stage in stages {
            let most = limits::LISTED_APPROVERS.max(stage.count);
            let members = self.store.stage_members(&stage.by, Some(project), most).await?;
            let too_few = u32::try_from(members.len()).is_ok_and(|number| number < stage.count);
            let people_now = members.into_iter().take(limits::LISTED_APPROVERS as usize).map(|person| person.name);
            all.push(FlowStage { by: people(&stage.by), count: stage.count, people: people_now.collect(), too_few });
        }
        Ok(all)
    }
}

/// Stages as they are kept.
pub(super) fn stages_of(stages: &[Stage]) -> Vec<StageOf> {
    stages.iter().map(|stage| StageOf { by: stage.by.id(), count: stage.count }).collect()
}
