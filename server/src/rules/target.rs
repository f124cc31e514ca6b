//! What rules belong to, as callers name it.

use sealcard_api::{
    ids::ProjectId,
    key_rules::{RulesKind, RulesPlace},
};
use sealcard_policy::Action;
use sealcard_record::{Named, event::RulesOf};

use crate::storage::{EnvironmentRow, KeyRow, ProjectRow, RuleOwner, RuleScope};

/// What rules belong to, with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(RulesOf);

impl Target {
    pub(super) fn scope(&self) -> RuleScope {
        match &self.0 {
            RulesOf::Key(signing_key) => RuleScope::Key(signing_key.key.id),
            RulesOf::Project { project } => RuleScope::Project(project.id),
            RulesOf::Environment { environment } => RuleScope::Environment(environment.id),
        }
    }

    /// Whether they hold for the key.
    #[must_use]
    pub fn covers(&self, key: &KeyRow) -> bool {
        match self.scope() {
            RuleScope::Environment(id) => id == key.environment_id,
            RuleScope::Project(id) => id == key.project_id,
            RuleScope::Key(id) => id == key.id,
        }
    }

    pub(super) fn owner(&self) -> RuleOwner {
        match &self.0 {
            RulesOf::Key(signing_key) => {
                RuleOwner::Key(format!("{}/{}", signing_key.project.name, signing_key.key.name))
            }
            RulesOf::Project { project } => RuleOwner::Project(project.name.clone()),
            RulesOf::Environment { environment } => RuleOwner::Environment(environment.name.clone()),
        }
    }

    pub(super) fn record(&self) -> RulesOf {
        self.0.clone()
    }

    /// The project in which somebody needs a role to change them.
    pub(super) fn project(&self) -> Option<ProjectId> {
        match &self.0 {
            RulesOf::Key(signing_key) => Some(signing_key.project.id),
            RulesOf::Project { project } => Some(project.id),
            RulesOf::Environment { .. } => None,
        }
    }

    /// What somebody needs to be allowed to change them.
    pub(super) const fn manage(&self) -> &'static [Action] {
        match self.0 {
            RulesOf::Key(_) | RulesOf::Project { .. } => &[Action::ManageRules],
            RulesOf::Environment { .. } => &[Action::ManageServerRules],
        }
    }

    /// As it is shown.
    pub(super) fn place(&self) -> RulesPlace {
        place(self.owner())
    }

    /// How a command names it.
    pub(super) fn argument(&self) -> String {
        match self.owner() {
            RuleOwner::Environment(name) => format!("--environment {name}"),
            RuleOwner::Project(name) | RuleOwner::Key(name) | RuleOwner::Template(name) => name,
        }
    }
}

/// As it is shown.
pub(super) fn place(owner: RuleOwner) -> RulesPlace {
    let (kind, name) = match owner {
        RuleOwner::Environment(name) => (RulesKind::Environment, name),
        RuleOwner::Project(name) => (RulesKind::Project, name),
        RuleOwner::Key(name) | RuleOwner::Template(name) => (RulesKind::Key, name),
    };
    RulesPlace { kind, name }
}

impl From<&KeyRow> for Target {
    fn from(row: &KeyRow) -> Self {
        Self(RulesOf::Key(row.signing_key()))
    }
}

impl From<&ProjectRow> for Target {
    fn from(row: &ProjectRow) -> Self {
        Self(RulesOf::Project { project: row.named() })
    }
}

impl From<&EnvironmentRow> for Target {
    fn from(row: &EnvironmentRow) -> Self {
        Self(RulesOf::Environment { environment: Named::new(row.id, &row.name) })
    }
}
