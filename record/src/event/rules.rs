//! Rules for the uses of keys, and templates for them.

use sealcard_api::ids::{EnvironmentId, KeyId, ProjectId};
use serde::{Deserialize, Serialize};

use super::{SigningKey, Subject};
use crate::{Named, Sha256};

/// What rules belong to. In JSON the field `environment`, or `project`, or `project` and `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RulesOf {
    /// One key.
    Key(SigningKey),
    /// All keys of a project.
    Project {
        /// The project.
        project: Named<ProjectId>,
    },
    /// All keys of an environment.
    Environment {
        /// The environment.
        environment: Named<EnvironmentId>,
    },
}

/// Rules have a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesChange {
    /// What they belong to.
    #[serde(flatten)]
    pub of: RulesOf,
    /// The version, which is in force from now on.
    pub version: u64,
    /// The version that was in force before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<u64>,
    /// The older version whose text it has again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reverted_to: Option<u64>,
    /// SHA-256 of the text.
    pub sha256: Sha256,
    /// Why, in the words of the actor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// A template has a new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateChange {
    /// The template's name.
    pub template: String,
    /// The version, which is in force from now on.
    pub version: u64,
    /// The version that was in force before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<u64>,
    /// The older version whose text it has again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reverted_to: Option<u64>,
    /// SHA-256 of the text.
    pub sha256: Sha256,
    /// Why, in the words of the actor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

impl Subject for RulesChange {
    fn project(&self) -> Option<&Named<ProjectId>> {
        match &self.of {
            RulesOf::Key(SigningKey { project, .. }) | RulesOf::Project { project } => Some(project),
            RulesOf::Environment { .. } => None,
        }
    }

    fn key(&self) -> Option<&Named<KeyId>> {
        match &self.of {
            RulesOf::Key(signing_key) => Some(&signing_key.key),
            RulesOf::Project { .. } | RulesOf::Environment { .. } => None,
        }
    }
}

impl Subject for TemplateChange {}
