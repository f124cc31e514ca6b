//! Sinks: where the record goes, and how far it has gone. `/v1/sinks`, for administrators.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How a sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SinkState {
    /// The receiver has all entries.
    UpToDate,
    /// Entries are on their way.
    Delivering,
    /// The last attempt failed. It is tried again.
    Failing,
    /// The receiver wants no more: nothing is sent until an administrator acts.
    Stopped,
}

impl SinkState {
    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "up-to-date",
            Self::Delivering => "delivering",
            Self::Failing => "failing",
            Self::Stopped => "stopped",
        }
    }
}

/// A configured sink. `GET /v1/sinks` gives a [`crate::admin::Page`] of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sink {
    /// The name in the server's configuration.
    pub name: String,
    /// What the receiver understands: `jsonl`, `syslog`, `splunk`, `otlp` or `webhook`.
    pub kind: String,
    /// How an entry is written: `json`, `ocsf` or `cef`.
    pub form: String,
    /// The receiver's address or folder. Absent if it is a secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// How it is.
    pub state: SinkState,
    /// Whether no key is used while it is too far behind.
    pub required: bool,
    /// Whether it is too far behind at present, so that no key is used.
    pub blocks: bool,
    /// Entries up to this number are with the receiver, parked or skipped.
    pub position: u64,
    /// Entries after it.
    pub lag_entries: u64,
    /// How many seconds ago the oldest of them was written.
    pub lag_seconds: u64,
    /// Entries that the receiver refused for what they are.
    pub parked: u64,
    /// When the receiver took something last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_success: Option<Timestamp>,
    /// When an attempt failed last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Attempts that failed since the last success.
    pub failures: u64,
    /// When it is tried again, after a failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt: Option<Timestamp>,
    /// Fields of entries that are not sent.
    pub redacted: Vec<String>,
    /// The keys (`whpk_…`) that the receiver of a webhook checks signatures with.
    pub public_keys: Vec<String>,
}

/// An entry that a receiver refused for what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ParkedEntry {
    /// The entry's number.
    pub entry: u64,
    /// When it was parked.
    pub parked: Timestamp,
    /// What the receiver said.
    pub error: String,
    /// Whether it is about to be tried again.
    pub retried: bool,
}

/// Answer of `GET /v1/sinks/{sink}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SinkDetail {
    /// The sink.
    #[serde(flatten)]
    pub sink: Sink,
    /// Parked entries, at most 1,000.
    pub parked_entries: Vec<ParkedEntry>,
}

/// Body of `POST /v1/sinks/{sink}/retry`: has the sink tried again now, also if it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SinkRetry {
    /// Also its parked entries.
    #[serde(default)]
    pub parked: bool,
}

/// Answer of `POST /v1/sinks/{sink}/retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SinkRetried {
    /// How many parked entries are tried again.
    pub parked: u64,
}

/// Body of `POST /v1/sinks/{sink}/skip`: entries that are never sent by this sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SinkSkip {
    /// All up to this number that were not sent yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<u64>,
    /// Its parked entries.
    #[serde(default)]
    pub parked: bool,
}

/// Answer of `POST /v1/sinks/{sink}/skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SinkSkipped {
    /// The position now.
    pub position: u64,
    /// How many entries before it were skipped.
    pub entries: u64,
    /// How many parked entries were.
    pub parked: u64,
}

/// Answer of `POST /v1/sinks/{sink}/test`: an event that is no entry was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SinkTested {
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The id by which the receiver knows it.
    pub id: String,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}
