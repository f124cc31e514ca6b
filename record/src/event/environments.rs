//! Environments: their secrets and PINs.

use sealcard_api::{admin::EnvironmentKind, ids::EnvironmentId};
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::Named;

/// There is a new environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentAdded {
    /// The environment.
    pub environment: Named<EnvironmentId>,
    /// What it is.
    pub environment_kind: EnvironmentKind,
}

/// Something was done with an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentAct {
    /// The environment.
    pub environment: Named<EnvironmentId>,
}

/// Something with an environment failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFailure {
    /// The environment.
    pub environment: Named<EnvironmentId>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Subject for EnvironmentAdded {}

impl Subject for EnvironmentAct {}

impl Subject for EnvironmentFailure {}
