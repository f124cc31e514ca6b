//! The server's record. Its entries are defined in `sealcard-record`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What an entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RecordKind {
    /// A key is about to be used. Durable before the signer is asked.
    Intent,
    /// What came of an intent. Durable before the answer leaves.
    Outcome,
    /// A use was denied.
    Denied,
    /// Something waits for people, or people decided.
    Approval,
    /// Someone logged in, refreshed, logged out, or failed to.
    Authentication,
    /// Users, groups, projects, environments, keys or grants were changed.
    Administration,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Intent, Self::Outcome, Self::Denied, Self::Approval, Self::Authentication, Self::Administration];

    /// The name as JSON and the database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Denied => "denied",
            Self::Approval => "approval",
            Self::Authentication => "authentication",
            Self::Administration => "administration",
        }
    }
}

/// The state of a signing request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// It has arrived and is not yet decided.
    Received,
    /// It may not be done.
    Denied,
    /// It waits for what policy demands.
    Waiting,
    /// What policy demands is there; it is about to be decided again.
    Approved,
    /// The signer has been or is about to be asked.
    Signing,
    /// Done; for a decryption or authentication too.
    Signed,
    /// The signer refused or failed; no signature came of it.
    Failed,
    /// The server stopped in between: the key may have been used.
    Unknown,
    /// An approver refused it.
    Rejected,
    /// What policy demands did not come in time.
    Expired,
    /// Its requester gave it up.
    Cancelled,
}

impl RequestState {
    /// All states.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Denied,
        Self::Waiting,
        Self::Approved,
        Self::Signing,
        Self::Signed,
        Self::Failed,
        Self::Unknown,
        Self::Rejected,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The name as JSON and the database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Denied => "denied",
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Signing => "signing",
            Self::Signed => "signed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing follows, unless the request is repeated.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Received | Self::Waiting | Self::Approved | Self::Signing)
    }
}

/// How a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VerificationState {
    /// It reads and compares.
    Running,
    /// It is done: there is a report.
    Finished,
    /// It could not be done: there is an error.
    Failed,
}

/// A verification of the record: `POST /v1/record/verification` starts one, unless one runs already;
/// `GET /v1/record/verification` says how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordVerification {
    /// How it stands.
    pub state: VerificationState,
    /// When it was started.
    pub started: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<Timestamp>,
    /// How many entries of the record were read so far.
    pub entries: u64,
    /// How many there are.
    pub total: u64,
    /// What it came to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub report: Option<RecordReport>,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// What a verification came to: the log, and every use in the record against the signers' journals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordReport {
    /// How many entries there were.
    pub entries: u64,
    /// The root of the log of these entries, lower-case hexadecimal.
    pub root: String,
    /// Entries of a newer release: their places in the log were checked, what they say was not.
    pub unknown: u64,
    /// What is wrong, one sentence each; empty if all is well.
    pub findings: Vec<String>,
    /// Findings beyond those.
    pub more_findings: u64,
}
