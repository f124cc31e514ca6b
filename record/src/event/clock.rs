//! The server's clock.

use sealcard_api::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Subject, authentication::is_false};

/// A server's clock jumped, so what depends on the time waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockJumped {
    /// By how many seconds it went ahead, or back if negative.
    pub seconds: i64,
    /// The run of the server whose clock it is.
    pub node: Uuid,
    /// The server's machine, if several share the database.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Uuid>,
    /// Whether it was found when the server started, by the times in the record.
    #[serde(skip_serializing_if = "is_false", default)]
    pub at_start: bool,
}

/// A person said that the servers' clocks are right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockConfirmed {
    /// When the jump was found.
    pub since: Timestamp,
    /// By how many seconds the clock went ahead then, or back if negative.
    pub seconds: i64,
}

impl Subject for ClockJumped {}

impl Subject for ClockConfirmed {}
