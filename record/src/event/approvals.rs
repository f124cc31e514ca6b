//! Approvals: uses that wait, and what people decide.

use sealcard_api::{
    Timestamp,
    approvals::{ApprovalKind, ApprovalState, Verdict},
    ids::{ApprovalId, ComponentId, KeyId, PrincipalId, ProjectId},
    record::RequestState,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Asked, SigningKey, Subject};
use crate::Named;

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
}

/// Somebody looked into what break-glass was used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewClosed {
    /// The approval.
    #[serde(flatten)]
    pub approval: ApprovalRef,
    /// What the review came to, in the words of the actor.
    pub finding: String,
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
