//! Rows of the tables of approvals.

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{ApprovalId, GroupId, KeyId, PrincipalId, ProjectId, RequestId},
};
use serde::{Deserialize, Serialize};

use crate::{Sha256, event::Operation};

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRow {
    /// The id.
    pub id: ApprovalId,
    /// What it is for.
    pub kind: ApprovalKind,
    /// How it stands.
    pub state: ApprovalState,
    /// When it was asked for.
    pub created: Timestamp,
    /// Until when it can be decided or, once approved, used.
    pub expires: Timestamp,
    /// For how many seconds it can be used once approved.
    pub use_seconds: i64,
    /// Who asked for it.
    pub asked_by: PrincipalId,
    /// The project. None: a change of the server.
    pub project_id: Option<ProjectId>,
    /// The key.
    pub key_id: Option<KeyId>,
    /// What may be done with the key.
    pub operation: Option<Operation>,
    /// The request that waits, or waited, for it.
    pub request_id: Option<RequestId>,
    /// Who may use it.
    pub requester_id: Option<PrincipalId>,
    /// The group whose members may use it.
    pub group_id: Option<GroupId>,
    /// The name that the workstation must claim.
    pub host: Option<String>,
    /// How often it can be used. None: as often as they like.
    pub max_uses: Option<u32>,
    /// How often it was used.
    pub used: u32,
    /// From when on.
    pub not_before: Option<Timestamp>,
    /// When the review of break-glass was closed.
    pub reviewed: Option<Timestamp>,
    /// Who took it back after it was approved.
    pub revoked_by: Option<PrincipalId>,
    /// Of the rest: its flows, terms and what it is about.
    pub body_sha256: Sha256,
}

/// What somebody decided about an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalDecisionRow {
    /// The approval.
    pub approval_id: ApprovalId,
    /// In which flow.
    pub flow: String,
    /// Who.
    pub approver_id: PrincipalId,
    /// For which stage: a group's name, or `role:` and a role's.
    pub stage: String,
    /// What.
    pub verdict: Verdict,
}
