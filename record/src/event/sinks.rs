//! Sinks, by which the record leaves the server.

use serde::{Deserialize, Serialize};

use super::Subject;

/// An administrator had a sink tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkRetry {
    /// Its name in the server's configuration.
    pub sink: String,
    /// How many parked entries are tried again too.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub parked: u64,
}

/// An administrator decided that entries are never sent by a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkSkip {
    /// Its name in the server's configuration.
    pub sink: String,
    /// The number of the entry that it had come to.
    pub position: u64,
    /// The last of the entries that are skipped. Absent: only parked ones are.
    #[serde(rename = "until_entry", skip_serializing_if = "Option::is_none", default)]
    pub until: Option<u64>,
    /// How many parked entries are skipped.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub parked: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Subject for SinkRetry {}

impl Subject for SinkSkip {}
