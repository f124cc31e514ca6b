//! Rows of the database's tables, as far as they follow from the record.

use sealcard_api::{
    Fingerprint, Timestamp,
    admin::EnvironmentKind,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ApprovalId, ComponentId, EnvironmentId, GrantId, GroupId, KeyId, PrincipalId, ProjectId, ServiceTokenId},
    keys::RevocationReason,
    roles::{PrincipalKind, ProjectRole},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ApprovalDecisionRow, ApprovalRow};
use crate::{HashPrefix, Sha256};

/// A user or service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRow {
    /// The id.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name; the last one if it was removed.
    pub name: String,
    /// Of the stored hash of the password.
    pub password_sha256: Option<HashPrefix>,
    /// From when on a one-time password is refused.
    pub one_time_until: Option<Timestamp>,
    /// Where notices go.
    pub email: Option<String>,
    /// A system role.
    pub administrator: bool,
    /// A system role.
    pub security_officer: bool,
    /// A system role.
    pub auditor: bool,
    /// Whether its grants are refused.
    pub disabled: bool,
    /// The user who answers for a service account.
    pub owner_id: Option<PrincipalId>,
    /// Whether it was removed.
    pub removed: bool,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRow {
    /// The id.
    pub id: GroupId,
    /// The name.
    pub name: String,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupMemberRow {
    /// The group.
    pub group_id: GroupId,
    /// The member.
    pub principal_id: PrincipalId,
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRow {
    /// The id.
    pub id: ProjectId,
    /// The name; the last one if it was removed.
    pub name: String,
    /// Whether a key user may have no other role.
    pub strict_separation: bool,
    /// Whether it was removed.
    pub removed: bool,
}

/// A role of a principal in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectPrincipalRow {
    /// The project.
    pub project_id: ProjectId,
    /// The principal.
    pub principal_id: PrincipalId,
    /// The role.
    pub role: ProjectRole,
}

/// A role of a group in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectGroupRow {
    /// The project.
    pub project_id: ProjectId,
    /// The group.
    pub group_id: GroupId,
    /// The role.
    pub role: ProjectRole,
}

/// A service account's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTokenRow {
    /// The id.
    pub id: ServiceTokenId,
    /// The service account.
    pub principal_id: PrincipalId,
    /// What it is for.
    pub label: String,
    /// Of the token.
    pub token_sha256: HashPrefix,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRow {
    /// The id.
    pub id: GrantId,
    /// Its holder.
    pub principal_id: PrincipalId,
    /// The service account's token that it was issued for.
    pub service_token_id: Option<ServiceTokenId>,
    /// What its holder called it.
    pub label: String,
    /// When it was issued.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Until when it can be refreshed.
    pub refreshable_until: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A token of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantTokenRow {
    /// Of the token.
    pub token_sha256: HashPrefix,
    /// The grant.
    pub grant_id: GrantId,
    /// From when on it is refused, apart from the grant's own end.
    pub retired: Option<Timestamp>,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRow {
    /// The id.
    pub id: EnvironmentId,
    /// The name.
    pub name: String,
    /// How its keys are kept.
    pub kind: EnvironmentKind,
}

/// How the attempt to log in to a token with the configured PIN stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinState {
    /// A server tries it, or stopped meanwhile.
    Trying,
    /// The token accepted it, or did not judge it.
    Good,
    /// The token refused it.
    Refused,
}

/// An attempt to log in to a token with the configured PIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinAttemptRow {
    /// The token's environment.
    pub environment_id: EnvironmentId,
    /// How it stands.
    pub state: PinState,
}

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyRow {
    /// The id.
    pub id: KeyId,
    /// The project.
    pub project_id: ProjectId,
    /// The environment.
    pub environment_id: EnvironmentId,
    /// The name.
    pub name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The first user id.
    pub user_id: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The 40 bits of its card's serial number.
    pub serial: u64,
    /// Of the armored certificate.
    pub certificate_sha256: Sha256,
    /// Whether its use is stopped.
    pub disabled: bool,
    /// Whether its private halves were destroyed, or were to be.
    pub destroyed: bool,
    /// Whether its certificate says that it is revoked.
    pub revoked: bool,
    /// Why.
    pub revocation_reason: Option<RevocationReason>,
    /// The same for a person.
    pub revocation_message: Option<String>,
}

/// A component key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentKeyRow {
    /// The id.
    pub id: ComponentId,
    /// The signing key that it belongs to.
    pub key_id: KeyId,
    /// The role.
    pub role: ComponentRole,
    /// The algorithm.
    pub algorithm: ComponentAlgorithm,
    /// As in [`crate::event::StoredComponent`].
    pub public_key_sha256: Sha256,
    /// The fingerprint.
    pub fingerprint: Fingerprint,
    /// Its creation time.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// Whether it was revoked alone.
    pub revoked: bool,
}

/// What rules belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleScope {
    /// All keys of an environment.
    Environment,
    /// All keys of a project.
    Project,
    /// One key.
    Key,
}

/// A version of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleVersionRow {
    /// What they belong to.
    pub scope: RuleScope,
    /// Its id.
    pub subject: Uuid,
    /// The version.
    pub version: u64,
    /// Of the text; of an empty one if they were removed.
    pub text_sha256: Sha256,
    /// Who applied it.
    pub author_id: PrincipalId,
}

/// A version of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateVersionRow {
    /// The template's name.
    pub name: String,
    /// The version.
    pub version: u64,
    /// Of the text.
    pub text_sha256: Sha256,
    /// Whether it may not be used any more.
    pub withdrawn: bool,
    /// Whether uses are judged by it: the newest version of its name.
    pub in_force: bool,
    /// Who applied it.
    pub author_id: PrincipalId,
}

/// A key of the record's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogKeyRow {
    /// Its id in its signer.
    pub component_id: ComponentId,
    /// The environment whose signer has it.
    pub environment_id: EnvironmentId,
    /// The log's name.
    pub origin: String,
    /// The public keys, as signed notes name them.
    pub keys: Vec<String>,
}

/// A row of one of the tables, under the table's name: `{"table": "principal", "id": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "table", rename_all = "snake_case")]
pub enum Row {
    /// Users and service accounts, also removed ones.
    Principal(PrincipalRow),
    /// Groups.
    PrincipalGroup(GroupRow),
    /// Their members.
    GroupMember(GroupMemberRow),
    /// Projects, also removed ones.
    Project(ProjectRow),
    /// Roles of principals.
    ProjectPrincipal(ProjectPrincipalRow),
    /// Roles of groups.
    ProjectGroup(ProjectGroupRow),
    /// Tokens of service accounts.
    ServiceToken(ServiceTokenRow),
    /// Grants.
    AccessGrant(GrantRow),
    /// Their tokens.
    GrantToken(GrantTokenRow),
    /// Environments.
    Environment(EnvironmentRow),
    /// PIN claims.
    PinAttempt(PinAttemptRow),
    /// Signing keys.
    SigningKey(SigningKeyRow),
    /// Their component keys.
    ComponentKey(ComponentKeyRow),
    /// Rules.
    RuleVersion(RuleVersionRow),
    /// Templates.
    TemplateVersion(TemplateVersionRow),
    /// Keys of the record's log.
    LogKey(LogKeyRow),
    /// Approvals.
    Approval(ApprovalRow),
    /// Decisions about them.
    ApprovalDecision(ApprovalDecisionRow),
}

macro_rules! into_row {
    ($($row:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$row> for Row {
            fn from(row: $row) -> Self {
                Self::$variant(row)
            }
        }
    )+};
}

into_row!(
    PrincipalRow => Principal,
    GroupRow => PrincipalGroup,
    GroupMemberRow => GroupMember,
    ProjectRow => Project,
    ProjectPrincipalRow => ProjectPrincipal,
    ProjectGroupRow => ProjectGroup,
    ServiceTokenRow => ServiceToken,
    GrantRow => AccessGrant,
    GrantTokenRow => GrantToken,
    EnvironmentRow => Environment,
    PinAttemptRow => PinAttempt,
    SigningKeyRow => SigningKey,
    ComponentKeyRow => ComponentKey,
    RuleVersionRow => RuleVersion,
    TemplateVersionRow => TemplateVersion,
    LogKeyRow => LogKey,
    ApprovalRow => Approval,
    ApprovalDecisionRow => ApprovalDecision,
);

/// What distinguishes a row: its table and its primary key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowKey {
    Principal(PrincipalId),
    Group(GroupId),
    Member(GroupId, PrincipalId),
    Project(ProjectId),
    RoleOfPrincipal(ProjectId, PrincipalId, ProjectRole),
    RoleOfGroup(ProjectId, GroupId, ProjectRole),
    ServiceToken(ServiceTokenId),
    Grant(GrantId),
    GrantToken(HashPrefix),
    Environment(EnvironmentId),
    PinAttempt(EnvironmentId),
    SigningKey(KeyId),
    Component(ComponentId),
    Rules(RuleScope, Uuid, u64),
    Template(String, u64),
    LogKey(ComponentId),
    Approval(ApprovalId),
    Decision(ApprovalId, String, PrincipalId),
}

impl RowKey {
    /// Before all others.
    pub(super) const FIRST: Self = Self::Principal(PrincipalId(Uuid::nil()));
}

impl Row {
    /// The table's name in the database.
    #[must_use]
    pub const fn table(&self) -> &'static str {
        match self {
            Self::Principal(_) => "principal",
            Self::PrincipalGroup(_) => "principal_group",
            Self::GroupMember(_) => "group_member",
            Self::Project(_) => "project",
            Self::ProjectPrincipal(_) => "project_principal",
            Self::ProjectGroup(_) => "project_group",
            Self::ServiceToken(_) => "service_token",
            Self::AccessGrant(_) => "access_grant",
            Self::GrantToken(_) => "grant_token",
            Self::Environment(_) => "environment",
            Self::PinAttempt(_) => "pin_attempt",
            Self::SigningKey(_) => "signing_key",
            Self::ComponentKey(_) => "component_key",
            Self::RuleVersion(_) => "rule_version",
            Self::TemplateVersion(_) => "template_version",
            Self::LogKey(_) => "log_key",
            Self::Approval(_) => "approval",
            Self::ApprovalDecision(_) => "approval_decision",
        }
    }

    pub(super) fn key(&self) -> RowKey {
        match self {
            Self::Principal(row) => RowKey::Principal(row.id),
            Self::PrincipalGroup(row) => RowKey::Group(row.id),
            Self::GroupMember(row) => RowKey::Member(row.group_id, row.principal_id),
            Self::Project(row) => RowKey::Project(row.id),
            Self::ProjectPrincipal(row) => RowKey::RoleOfPrincipal(row.project_id, row.principal_id, row.role),
            Self::ProjectGroup(row) => RowKey::RoleOfGroup(row.project_id, row.group_id, row.role),
            Self::ServiceToken(row) => RowKey::ServiceToken(row.id),
            Self::AccessGrant(row) => RowKey::Grant(row.id),
            Self::GrantToken(row) => RowKey::GrantToken(row.token_sha256),
            Self::Environment(row) => RowKey::Environment(row.id),
            Self::PinAttempt(row) => RowKey::PinAttempt(row.environment_id),
            Self::SigningKey(row) => RowKey::SigningKey(row.id),
            Self::ComponentKey(row) => RowKey::Component(row.id),
            Self::RuleVersion(row) => RowKey::Rules(row.scope, row.subject, row.version),
            Self::TemplateVersion(row) => RowKey::Template(row.name.clone(), row.version),
            Self::LogKey(row) => RowKey::LogKey(row.component_id),
            Self::Approval(row) => RowKey::Approval(row.id),
            Self::ApprovalDecision(row) => RowKey::Decision(row.approval_id, row.flow.clone(), row.approver_id),
        }
    }

    /// What it belongs to, and goes or ends with.
    pub(super) fn parents(&self) -> Vec<Uuid> {
        match self {
            Self::GroupMember(row) => vec![row.group_id.0, row.principal_id.0],
            Self::ProjectPrincipal(row) => vec![row.project_id.0, row.principal_id.0],
            Self::ProjectGroup(row) => vec![row.project_id.0, row.group_id.0],
            Self::ServiceToken(row) => vec![row.principal_id.0],
            Self::AccessGrant(row) => {
                [Some(row.principal_id.0), row.service_token_id.map(|id| id.0)].into_iter().flatten().collect()
            }
            Self::GrantToken(row) => vec![row.grant_id.0],
            Self::ComponentKey(row) => vec![row.key_id.0],
            Self::ApprovalDecision(row) => vec![row.approval_id.0],
            Self::Principal(row) => row.owner_id.iter().map(|owner| owner.0).collect(),
            Self::PrincipalGroup(_)
            | Self::Project(_)
            | Self::Environment(_)
            | Self::PinAttempt(_)
            | Self::SigningKey(_)
            | Self::RuleVersion(_)
            | Self::TemplateVersion(_)
            | Self::LogKey(_)
            | Self::Approval(_) => Vec::new(),
        }
    }
}
