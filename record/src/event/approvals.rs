//! Approvals: uses that wait, and what people decide.

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{ApprovalId, ComponentId, GroupId, KeyId, PrincipalId, ProjectId},
    record::RequestState,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Asked, Operation, SigningKey, Subject};
use crate::{Named, Sha256};

/// What an approval is bound to and what it demands: all that its row in the database must have, and all that a use or
/// change of it is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// When it was asked for first.
    pub created: Timestamp,
    /// For how many seconds it can be used once approved.
    pub use_seconds: i64,
    /// What may be done with the key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<Operation>,
    /// Who may use it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requester: Option<PrincipalId>,
    /// The group whose members may use it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<GroupId>,
    /// The name that the workstation must claim.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<String>,
    /// How often it can be used. Absent: as often as they like.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_uses: Option<u32>,
    /// From when on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_before: Option<Timestamp>,
    /// Networks that the client must be in: one of them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub networks: Vec<String>,
    /// The executable that must have asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<String>,
    /// SHA-256 of what changes, as [`crate::change_sha256`] computes it: for a change.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change_sha256: Option<Sha256>,
    /// The flows that it must pass.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flows: Vec<AskedFlow>,
    /// Of the row's column `body`, which has the same and more.
    pub body_sha256: Sha256,
}

/// A flow, as it was when its approval was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedFlow {
    /// The name, such as `project/tags`.
    pub name: String,
    /// The stages, in their order.
    pub stages: Vec<AskedStage>,
    /// Groups whose members may also reject.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub veto: Vec<String>,
}

/// A stage of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedStage {
    /// Who may approve: a group's name, or `role:` and a role's.
    pub by: String,
    /// How many of them must.
    pub count: u32,
}

/// A stage that the rules of the moment demanded when an approval was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemandedStage {
    /// The flow's name.
    pub flow: String,
    /// Who must have approved: see [`AskedStage::by`].
    pub by: String,
    /// How many of them.
    pub count: u32,
}

/// A use waits for people. The signer was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseWaiting {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The component key that would do it.
    pub component: ComponentId,
    /// What is to be done.
    #[serde(flatten)]
    pub asked: Asked,
    /// The server's machine, if several share the database.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Uuid>,
    /// The approval that it waits for.
    pub approval: ApprovalId,
    /// What is missing, each as a phrase for a person.
    pub wants: Vec<String>,
    /// Until when it waits.
    pub deadline: Timestamp,
    /// Until when the approval can be decided.
    pub expires: Timestamp,
    /// What the approval is bound to from now on.
    pub binding: Box<Binding>,
}

/// A use waited until its deadline: nobody is signed for any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseExpired {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The approval that it waited for.
    pub approval: ApprovalId,
}

/// What an approval is, as every entry about it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRef {
    /// The id.
    pub approval: ApprovalId,
    /// What it is for.
    pub approval_kind: ApprovalKind,
    /// The project. Absent: a change of the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<Named<ProjectId>>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Named<KeyId>>,
    /// Who asked for it.
    pub asked_by: Named<PrincipalId>,
}

/// A pre-approval, break-glass or the approval of a change was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAsked {
    /// The approval.
    #[serde(flatten)]
    pub approval: ApprovalRef,
    /// What it allows or changes, each as a phrase for a person.
    pub terms: Vec<String>,
    /// Who must approve, each as a phrase for a person.
    pub wants: Vec<String>,
    /// Why, in the words of the actor.
    pub reason: String,
    /// Until when it can be decided.
    pub expires: Timestamp,
    /// What it is bound to.
    pub binding: Binding,
}

/// Somebody approved or rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalDecided {
    /// The approval.
    #[serde(flatten)]
    pub approval: ApprovalRef,
    /// The version that was decided about.
    pub version: u32,
    /// What was decided.
    pub verdict: Verdict,
    /// The stages that it counts for, such as `project/tags/approvers`.
    pub stages: Vec<String>,
    /// Why, in the words of the actor.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<String>,
    /// How the approval stands now.
    pub approval_state: ApprovalState,
    /// Until when it can be used, once approved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usable_until: Option<Timestamp>,
}

/// Nothing can come of an approval any more, and nobody rejected it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalEnded {
    /// The approval.
    #[serde(flatten)]
    pub approval: ApprovalRef,
    /// How it ended.
    pub approval_state: ApprovalState,
    /// Why, as a phrase for a person.
    pub why: String,
    /// How often it was used.
    pub used: u32,
    /// The stages that were demanded: of a change that was made.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub demanded: Vec<DemandedStage>,
    /// The names of the events that were approved: of a change that was made. Their entries come right before.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approved_events: Vec<String>,
}

/// Approvals of which nothing can come any more were deleted from the database, because they are old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalsForgotten {
    /// Which.
    pub approvals: Vec<ApprovalId>,
}

impl Subject for ApprovalsForgotten {}

/// Somebody looked into what break-glass was used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewClosed {
    /// The approval.
    #[serde(flatten)]
    pub approval: ApprovalRef,
    /// What the review came to, in the words of the actor.
    pub finding: String,
    /// When it was closed.
    pub closed: Timestamp,
}

macro_rules! subject_of_use {
    ($payload:ty, $state:ident) => {
        impl Subject for $payload {
            fn project(&self) -> Option<&Named<ProjectId>> {
                Some(&self.signing_key.project)
            }

            fn key(&self) -> Option<&Named<KeyId>> {
                Some(&self.signing_key.key)
            }

            fn state(&self) -> Option<RequestState> {
                Some(RequestState::$state)
            }
        }
    };
}

subject_of_use!(UseWaiting, Waiting);
subject_of_use!(UseExpired, Expired);

macro_rules! subject_of_approval {
    ($($payload:ty),+) => {
        $(impl Subject for $payload {
            fn principal(&self) -> Option<&Named<PrincipalId>> {
                Some(&self.approval.asked_by)
            }

            fn project(&self) -> Option<&Named<ProjectId>> {
                self.approval.project.as_ref()
            }

            fn key(&self) -> Option<&Named<KeyId>> {
                self.approval.key.as_ref()
            }
        })+
    };
}

subject_of_approval!(ApprovalAsked, ApprovalDecided, ApprovalEnded, ReviewClosed);
