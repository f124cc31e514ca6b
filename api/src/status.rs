//! How the server is: `/v1/status`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Timestamp,
    admin::{EnvironmentKind, EnvironmentState},
    clock::ClockState,
    ids::{EnvironmentId, KeyId},
    record::RecordVerification,
};

/// Keys that end within so many days need attention, and those that ended within as many.
pub const ENDING_KEYS_DAYS: i64 = 30;

/// What an administrator needs to know of the server. States and counts are those of the server that answers; others
/// that share its database have their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerStatus {
    /// What needs a person, one sentence each. Empty if nothing does.
    pub attention: Vec<String>,
    /// The id that was made at `init`.
    pub server_id: Uuid,
    /// The run of the server that answers.
    pub node: Uuid,
    /// Its version.
    pub version: String,
    /// When it was started.
    pub started: Timestamp,
    /// Its clock.
    pub clock: ClockState,
    /// The servers that share the database. Empty if it is a file of this server alone.
    pub servers: Vec<SharingServer>,
    /// All environments, oldest first.
    pub environments: Vec<EnvironmentStatus>,
    /// The record.
    pub record: RecordStatus,
    /// The witnesses that cosign the record's log, in the order of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub witnesses: Vec<WitnessStatus>,
    /// Signing requests that need a look.
    pub requests: RequestCounts,
    /// Keys that end soon or ended not long ago, the earliest end first.
    pub ending_keys: Vec<EndingKey>,
    /// The certificates by which workstations know the server.
    pub certificates: Vec<CertificateStatus>,
}

/// A server that shares the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SharingServer {
    /// Its machine's name.
    pub name: String,
    /// The id in its data folder.
    pub host: Uuid,
    /// Its release.
    pub version: String,
    /// When it was heard of last.
    pub seen: Timestamp,
    /// Whether it runs, as far as the others know.
    pub live: bool,
    /// Whether it is the one that answers.
    pub here: bool,
}

/// An environment and its signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvironmentStatus {
    /// The id.
    pub id: EnvironmentId,
    /// The name.
    pub name: String,
    /// How keys are kept.
    pub kind: EnvironmentKind,
    /// The signer's state.
    pub state: EnvironmentState,
    /// Why it is not ready and what to do, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// How often the signer's keeper was started again, or was tried to be, since the server was started.
    pub keeper_restarts: u64,
    /// How often its worker was started again.
    pub worker_restarts: u64,
    /// Uses of keys that the signer has now.
    pub uses_in_progress: u64,
    /// Uses of keys that wait for it.
    pub uses_waiting: u64,
    /// Keys that can be used if the environment is ready.
    pub keys: u64,
    /// When the first of them ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_key_end: Option<Timestamp>,
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordStatus {
    /// How many entries there are.
    pub entries: u64,
    /// When the newest one was written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub newest: Option<Timestamp>,
    /// How many entries the checkpoint covers that is given out. Absent if no log is published.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published: Option<u64>,
    /// The verification that runs, or the last one since the server was started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verification: Option<RecordVerification>,
}

/// Whether a witness cosigns the record's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WitnessState {
    /// It has cosigned the newest checkpoint.
    Current,
    /// It is being asked for the newest one.
    Behind,
    /// The last attempt failed. It is asked again.
    Failing,
    /// It has cosigned another log than the server has.
    Forked,
}

/// A witness of the record's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WitnessStatus {
    /// The name of its keys.
    pub name: String,
    /// Where it takes checkpoints.
    pub url: String,
    /// Whether it cosigns.
    pub state: WitnessState,
    /// How many entries the newest checkpoint covers that it has cosigned.
    pub size: u64,
    /// When it cosigned last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_success: Option<Timestamp>,
    /// Attempts that failed since then.
    pub failures: u64,
    /// Why the last one failed and what to do, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt: Option<Timestamp>,
}

/// How many signing requests need a look, on all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestCounts {
    /// Those that wait for people.
    pub waiting: u64,
    /// Those of which it is not known whether the key was used, as long as finished requests are kept.
    pub unknown: u64,
}

/// A key that ends soon or ended not long ago, and is not disabled or revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EndingKey {
    /// The id.
    pub id: KeyId,
    /// `PROJECT/NAME`.
    pub name: String,
    /// Its end.
    pub expires: Timestamp,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CertificateUse {
    /// The server shows it.
    Server,
    /// It issues the server's: that of the data folder.
    Authority,
}

impl CertificateUse {
    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Authority => "authority",
        }
    }
}

/// A certificate and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateStatus {
    /// What it is for.
    #[serde(rename = "use")]
    pub used_as: CertificateUse,
    /// Its end.
    pub expires: Timestamp,
}
