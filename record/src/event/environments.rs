//! Environments: their secrets and PINs; the database.

use sealcard_api::{
    admin::EnvironmentKind,
    ids::{ComponentId, EnvironmentId},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

/// A sealed store has another master key: from now on every key is stored under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterKeyChanged {
    /// The environment.
    pub environment: Named<EnvironmentId>,
    /// The id of the new master key, 16 hexadecimal digits.
    pub master_key: String,
    /// The id of the earlier one.
    pub before: String,
}

/// No component is stored under an earlier master key any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentsResealed {
    /// The environment.
    pub environment: Named<EnvironmentId>,
    /// The id of the master key under which all are, 16 hexadecimal digits.
    pub master_key: String,
    /// How many components the environment has.
    pub components: u64,
}

/// A key for the record's log is about to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKeyBegun {
    /// The log's name.
    pub origin: String,
    /// The environment whose signer makes it.
    pub environment: Named<EnvironmentId>,
    /// The key's id in its signer.
    pub component: ComponentId,
}

impl Subject for LogKeyBegun {}

/// The record's log has a new key: from now on checkpoints are signed with it, under this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBegun {
    /// The log's name: the first line of its checkpoints.
    pub origin: String,
    /// The environment whose signer has the key.
    pub environment: Named<EnvironmentId>,
    /// The key's id in its signer.
    pub component: ComponentId,
    /// The public keys, as C2SP's signed notes name them.
    pub keys: Vec<String>,
}

impl Subject for LogBegun {}

/// The server's data was moved from a file to a database that servers can share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseMoved {
    /// The machine of the server, whose journals have the uses of before.
    pub host: Uuid,
}

impl Subject for MasterKeyChanged {}

impl Subject for ComponentsResealed {}

impl Subject for DatabaseMoved {}

impl Subject for EnvironmentAdded {}

impl Subject for EnvironmentAct {}

impl Subject for EnvironmentFailure {}
