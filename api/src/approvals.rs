//! Approvals: `GET` and `POST /v1/approvals`, `GET` and `DELETE /v1/approvals/{approval}`,
//! `POST /v1/approvals/decisions`; and what a use of a key is answered that waits for one (status 202).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    algorithm::HashAlgorithm,
    context::UseContext,
    decisions::UseKind,
    ids::{ApprovalId, KeyId, PrincipalId, ProjectId, RequestId},
    roles::PrincipalKind,
};

/// The most approvals that one call decides about.
pub const MAX_DECISIONS: usize = 100;

/// The answer to a use of a key that waits for people: status 202. Wait with `GET /v1/requests/{request}?wait=`; once
/// its state is `approved`, send the use again, with the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitingUse {
    /// The request that waits.
    pub request_id: RequestId,
    /// The approval that it waits for.
    pub approval: ApprovalId,
    /// What is missing, such as `the approval of 2 members of approvers`.
    pub wants: Vec<String>,
    /// Names of people who can give it now, at most 20.
    pub approvers: Vec<String>,
    /// Until when it waits. Then nobody is signed for; an approval that comes later serves the next attempt.
    pub deadline: Timestamp,
    /// Until when it can be approved.
    pub expires: Timestamp,
}

/// What an approval is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalKind {
    /// One use of a key that was asked for.
    Use,
    /// Uses that will be asked for.
    PreApproval,
    /// Uses in an emergency.
    BreakGlass,
    /// A change of members, rules, keys or the like.
    Change,
}

impl ApprovalKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Use, Self::PreApproval, Self::BreakGlass, Self::Change];

    /// The name as JSON, commands and the database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::PreApproval => "pre-approval",
            Self::BreakGlass => "break-glass",
            Self::Change => "change",
        }
    }
}

/// How an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// People have to decide.
    Pending,
    /// All stages are passed; it can be used.
    Approved,
    /// Somebody refused.
    Rejected,
    /// It was not decided, or not used, in time.
    Expired,
    /// Its requester gave it up.
    Cancelled,
    /// It was approved, and then taken back.
    Revoked,
    /// All its uses are used.
    Spent,
}

impl ApprovalState {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Approved, Self::Rejected, Self::Expired, Self::Cancelled, Self::Revoked, Self::Spent];

    /// The name as JSON, commands and the database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Revoked => "revoked",
            Self::Spent => "spent",
        }
    }

    /// Whether something can still come of it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }
}

/// A principal, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrincipalName {
    /// The id.
    pub id: PrincipalId,
    /// The name.
    pub name: String,
    /// Person or program.
    pub kind: PrincipalKind,
}

/// An approval, with all that a person needs to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    /// The id.
    pub id: ApprovalId,
    /// What it is for.
    pub kind: ApprovalKind,
    /// How it stands.
    pub state: ApprovalState,
    /// Grows with each change: what a decision names, so that nobody decides about something else than they saw.
    pub version: u32,
    /// When it was asked for.
    pub created: Timestamp,
    /// Until when it can be decided or, once approved, used.
    pub expires: Timestamp,
    /// Until when the requester waits. Absent: nobody waits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline: Option<Timestamp>,
    /// Who asked for it.
    pub asked_by: PrincipalName,
    /// The project. Absent: a change of the server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<String>,
    /// The key: `PROJECT/NAME`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The key's id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_id: Option<KeyId>,
    /// What is to be done with the key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<UseKind>,
    /// What the request says: for a use that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked: Option<AskedUse>,
    /// What may be done: for a pre-approval and break-glass.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub terms: Option<Terms>,
    /// What changes: for a change, one line each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub change: Vec<String>,
    /// Why, in the words of whoever asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Uses so far.
    pub used: u32,
    /// The flows that it must pass, all of them.
    pub flows: Vec<ApprovalFlow>,
    /// What people decided, oldest first.
    pub decisions: Vec<ApprovalDecision>,
    /// The name of the person who took it back after it was approved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_by: Option<String>,
    /// Whether the caller can decide about it now.
    pub yours_to_decide: bool,
    /// Why the caller can't, if there is more to say than that others must.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub not_yours: Option<String>,
}

/// What a request says that asks for a use of a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskedUse {
    /// The requester's address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<IpAddr>,
    /// How the requester logged in, such as `password` or `service-token`.
    pub login_method: String,
    /// When the requester logged in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub login: Option<Timestamp>,
    /// What the workstation claims.
    #[serde(default)]
    pub claims: UseContext,
    /// What made the digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash: Option<HashAlgorithm>,
    /// The digest, lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// The account that a login with ssh is for, escaped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_user: Option<String>,
    /// The namespace of a signature of ssh, escaped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ssh_namespace: Option<String>,
}

/// What a pre-approval allows: all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// The user or service account that may use the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub requester: Option<String>,
    /// The group whose members may use the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub group: Option<String>,
    /// How often. Absent: as often as they like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// From when on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Networks that the client must be in: one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(schema_with = schemas::networks))]
    pub networks: Vec<String>,
    /// The name that the workstation must claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::HostName>))]
    pub host: Option<String>,
    /// The executable that must have asked, as the workstation claims: a path, or 64 hexadecimal digits of its SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::ProcessText>))]
    pub tool: Option<String>,
}

impl Terms {
    /// Checks that the texts are such as can be compared with what is claimed.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn check(&self) -> Result<(), String> {
        self.requester.as_deref().map_or(Ok(()), crate::rules::Name::check)?;
        self.group.as_deref().map_or(Ok(()), crate::rules::Name::check)?;
        self.host.as_deref().map_or(Ok(()), crate::rules::HostName::check)?;
        self.tool.as_deref().map_or(Ok(()), |tool| crate::rules::ProcessText::check(tool, "tool"))?;
        self.networks.iter().try_for_each(|network| crate::rules::NetworkText::check(network))?;
        if self.networks.len() > MAX_NETWORKS {
            return Err(format!("\"networks\" must have at most {MAX_NETWORKS} items."));
        }
        Ok(())
    }
}

/// The most networks of [`Terms`].
pub const MAX_NETWORKS: usize = 20;

/// A flow, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalFlow {
    /// Its name, such as `project/tags`.
    pub name: String,
    /// The rule that asks for it, such as `the rule tags of project tools`.
    pub rule: String,
    /// Its stages, in their order.
    pub stages: Vec<ApprovalStage>,
    /// Groups whose members may also reject.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub veto: Vec<String>,
}

/// A stage of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalStage {
    /// Who may approve, such as `the group approvers`.
    pub by: String,
    /// How many of them must.
    pub count: u32,
    /// Names of those who did and still may.
    pub approved: Vec<String>,
    /// Names of those who can now, at most 20. Empty before the stage's turn and after it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waits_for: Vec<String>,
}

/// What somebody says of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Approve,
    /// No: nothing comes of it then.
    Reject,
}

impl Verdict {
    /// The name as JSON, commands and the database write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// What somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalDecision {
    /// Who.
    pub approver: String,
    /// What.
    pub verdict: Verdict,
    /// In which flow, such as `project/tags`.
    pub flow: String,
    /// For which stage, such as `the group approvers`.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the approver's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub comment: Option<String>,
}

/// Answer of `GET /v1/approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalList {
    /// The approvals that the caller may see, oldest first.
    pub approvals: Vec<Approval>,
    /// Whether there are more than were given.
    pub more: bool,
}

/// Body of `POST /v1/approvals/decisions`: one verdict about several approvals, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DecideRequest {
    /// What is decided.
    pub verdict: Verdict,
    /// The approvals, at least one and at most [`MAX_DECISIONS`], none twice.
    #[serde(deserialize_with = "crate::encoding::objects")]
    #[cfg_attr(feature = "openapi", schema(schema_with = schemas::decided))]
    pub approvals: Vec<Decided>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Justification>))]
    pub comment: Option<String>,
}

/// An approval as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The approval.
    pub id: ApprovalId,
    /// Its version then.
    pub version: u32,
}

/// What can be asked for in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum InAdvance {
    /// Uses that will be asked for.
    PreApproval,
    /// Uses in an emergency.
    BreakGlass,
}

impl From<InAdvance> for ApprovalKind {
    fn from(kind: InAdvance) -> Self {
        match kind {
            InAdvance::PreApproval => Self::PreApproval,
            InAdvance::BreakGlass => Self::BreakGlass,
        }
    }
}

/// Body of `POST /v1/approvals`: a pre-approval, or break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewApproval {
    /// Which of both.
    pub kind: InAdvance,
    /// The key.
    pub key: KeyId,
    /// What may be done with it.
    pub operation: UseKind,
    /// Under which terms. For break-glass only host, tool and networks may be given: the rest is the flow's.
    #[serde(default)]
    pub terms: Terms,
    /// For how many seconds it can be used, from `not_before` or the last approval on. Absent: the flow's limit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<u32>,
    /// Why.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Justification))]
    pub reason: String,
}

/// Body of `POST /v1/approvals/{approval}/review`: what came of looking into a break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CloseReview {
    /// What it came to.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Justification))]
    pub finding: String,
}

/// Approvals of a project or of all that the caller may see: parameters of `GET /v1/approvals`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApprovalFilter {
    /// Only those that the caller can decide now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mine: bool,
    /// Only those of this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// Also those of which nothing can come any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// So many at most. Absent: 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

#[cfg(feature = "openapi")]
mod schemas {
    use utoipa::openapi::{Ref, schema::Array};

    use super::{MAX_DECISIONS, MAX_NETWORKS};
    use crate::rules::schemas::list;

    pub(super) fn networks() -> Array {
        list(Ref::from_schema_name("NetworkText"), 0, MAX_NETWORKS)
    }

    pub(super) fn decided() -> Array {
        list(Ref::from_schema_name("Decided"), 1, MAX_DECISIONS)
    }
}
