//! The server's record: `GET /v1/record`.

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    ids::{KeyId, PrincipalId, ProjectId, RequestId},
};

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
    /// Someone logged in, refreshed, logged out, or failed to.
    Authentication,
    /// Users, groups, projects, environments, keys or grants were changed.
    Administration,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Intent, Self::Outcome, Self::Denied, Self::Authentication, Self::Administration];

    /// The name as JSON and the database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Denied => "denied",
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

/// One entry. Entries form a chain: each holds the SHA-256 of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordEntry {
    /// 1, 2, 3, … without gaps.
    pub sequence: u64,
    /// When it was written.
    pub time: Timestamp,
    /// What it tells.
    pub kind: RecordKind,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// Who asked, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<PrincipalId>,
    /// The project concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<ProjectId>,
    /// The key concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyId>,
    /// The state of the use, in intents and outcomes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<RequestState>,
    /// The exact bytes that were hashed, as text: a JSON object with everything above and the details of the kind.
    pub body: String,
    /// SHA-256 of the previous entry's hash (32 zero bytes for the first) and this body, lower-case hexadecimal.
    pub hash: String,
}

/// Answer of `GET /v1/record/verify`: the chain, and every use in the record against the signers' journals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordVerification {
    /// How many entries were read.
    pub entries: u64,
    /// The newest entry's hash.
    pub head: String,
    /// What is wrong, one sentence each; empty if all is well.
    pub findings: Vec<String>,
}
