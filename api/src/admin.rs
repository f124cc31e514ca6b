//! Users, service accounts, groups, projects and environments.
//!
//! Lists are `GET /v1/{users,service-accounts,groups,projects,environments}` and give [`Page`]; single things are
//! addressed by name or id: `/v1/users/{name-or-id}`.

use serde::{Deserialize, Serialize};

use crate::{
    Fingerprint, Timestamp,
    grants::SecretText,
    ids::{EnvironmentId, GroupId, KeyId, PrincipalId, ProjectId, ServiceTokenId},
    keys::KeyState,
    roles::{MemberKind, PrincipalKind, ProjectRole, SystemRole},
};

/// A part of a list. Query parameters of every list: `limit` (1 to 500, 100 if absent) and `after` (the previous
/// page's `next`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items, oldest first.
    pub items: Vec<T>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A person. `GET /v1/users/{user}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    /// The id.
    pub id: PrincipalId,
    /// The name used at login.
    pub name: String,
    /// What the user may do on the whole server.
    pub roles: Vec<SystemRole>,
    /// A disabled user's grants are refused at once.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Until when the user may log in with a one-time password, and must choose another one then. Absent once the user
    /// has a password of their own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub one_time_password_expires: Option<Timestamp>,
    /// Where the user gets notices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
}

/// Answer of `POST /v1/users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserAdded {
    /// The user.
    #[serde(flatten)]
    pub user: User,
    /// Absent if the request named a password.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub one_time_password: Option<OneTimePassword>,
}

/// A password for one login, at which the user must choose another one. Answer of
/// `POST /v1/users/{user}/one-time-password`. Only its hash is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OneTimePassword {
    /// The password.
    pub password: SecretText,
    /// After this moment it is refused.
    pub expires: Timestamp,
}

/// Body of `POST /v1/users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// 1 to 64 characters of `a-z A-Z 0-9 . _ - @`, unique among users and service accounts.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Name))]
    pub name: String,
    /// At least 12 characters. If absent, the server makes a one-time password.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::NewPassword>))]
    pub password: Option<SecretText>,
    /// What the user may do on the whole server.
    #[serde(default)]
    pub roles: Vec<SystemRole>,
    /// Where the user gets notices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::EmailAddress>))]
    pub email: Option<String>,
}

/// Body of `PATCH /v1/users/{user}`: only what is named changes. `DELETE` removes the user and every grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// A new password; revokes the user's grants.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::NewPassword>))]
    pub password: Option<SecretText>,
    /// System roles to give. One that the user has already stays.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub add_roles: Vec<SystemRole>,
    /// System roles to take away, also those that are to be given.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub remove_roles: Vec<SystemRole>,
    /// Disables or enables the user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<bool>,
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub name: Option<String>,
    /// Where the user gets notices from now on; empty: nowhere any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::EmailChange>))]
    pub email: Option<String>,
}

/// A program that signs, such as a CI job. `GET /v1/service-accounts/{account}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceAccount {
    /// The id.
    pub id: PrincipalId,
    /// The name.
    pub name: String,
    /// The name of the user who answers for the account; absent if there is none, or none any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// A disabled account's grants and tokens are refused at once.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Body of `POST /v1/service-accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// As [`NewUser::name`].
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Name))]
    pub name: String,
    /// Name or id of the user who answers for the account; if absent, the one who asks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub owner: Option<String>,
}

/// Body of `PATCH /v1/service-accounts/{account}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountChange {
    /// Name or id of the user who answers for the account from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub owner: Option<String>,
    /// Disables or enables the account.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<bool>,
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub name: Option<String>,
}

/// A service account's token, without its secret. `GET /v1/service-accounts/{account}/tokens`; `DELETE …/tokens/{id}`
/// revokes it and the grants that came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceToken {
    /// The id.
    pub id: ServiceTokenId,
    /// What it is for.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<Timestamp>,
}

/// Body of `POST /v1/service-accounts/{account}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewServiceToken {
    /// What it is for.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Label))]
    pub label: String,
    /// Days until it expires, 1 to 3650; 365 if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::TokenDays>))]
    pub days: Option<u32>,
}

/// Answer of `POST /v1/service-accounts/{account}/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceTokenIssued {
    /// The secret, shown this once; only its hash is stored.
    pub secret: SecretText,
    /// What is known about it.
    pub token: ServiceToken,
}

/// A group. `GET /v1/groups/{group}`; `PUT` and `DELETE /v1/groups/{group}/members/{principal}` change its members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Group {
    /// The id.
    pub id: GroupId,
    /// The name.
    pub name: String,
    /// Its users and service accounts, sorted by name.
    pub members: Vec<GroupMember>,
    /// When it was made.
    pub created: Timestamp,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupMember {
    /// User or service account.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
}

/// Body of `PATCH /v1/groups/{group}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GroupChange {
    /// A new name.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Name))]
    pub name: String,
}

/// Body of `POST /v1/groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// As [`NewUser::name`], unique among groups.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Name))]
    pub name: String,
}

/// A role in a project, and what gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldRole {
    /// The project's name.
    pub project: String,
    /// The role.
    pub role: ProjectRole,
    /// The group that gives it; absent if it was given directly.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
}

/// A key that somebody has the role to use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsableKey {
    /// The key's id.
    pub id: KeyId,
    /// The project's name.
    pub project: String,
    /// The key's name.
    pub name: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The state; only an active key can be used now.
    pub state: KeyState,
}

/// What a user or service account may do, and through what. `GET /v1/users/{user}/access` and
/// `GET /v1/service-accounts/{account}/access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrincipalAccess {
    /// Names of its groups, sorted.
    pub groups: Vec<String>,
    /// Its roles, sorted by project.
    pub roles: Vec<HeldRole>,
    /// The keys that it has the role to use.
    pub keys: Vec<UsableKey>,
    /// Whether it may use more keys than are listed.
    #[serde(default)]
    pub truncated: bool,
}

/// What a group gives its members. `GET /v1/groups/{group}/access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupAccess {
    /// The roles, sorted by project.
    pub roles: Vec<HeldRole>,
}

/// A role of a user, service account or group in a project. `PUT` and `DELETE /v1/projects/{project}/members` take it
/// as body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProjectMember {
    /// User, service account or group.
    pub kind: MemberKind,
    /// The name.
    pub name: String,
    /// The role.
    pub role: ProjectRole,
}

/// A project. `GET /v1/projects/{project}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Project {
    /// The id.
    pub id: ProjectId,
    /// The name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its members.
    pub members: Vec<ProjectMember>,
    /// Whether separation of duties is strict: a key user who has another role in the project, directly or through a
    /// group, or a system role, can't use its keys.
    pub strict_separation: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// Body of `POST /v1/projects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// As [`NewUser::name`], unique among projects.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Name))]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Description))]
    pub description: String,
}

/// Body of `PATCH /v1/projects/{project}`: only what is named changes. `DELETE` removes a project whose keys are all
/// revoked or destroyed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Name>))]
    pub name: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::Description>))]
    pub description: Option<String>,
    /// Whether a key user may have no other role.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub strict_separation: Option<bool>,
}

/// Who holds roles that a strict separation of duties keeps apart. `GET /v1/projects/{project}/separation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Separation {
    /// Whether the project's separation is strict, so that those below can't use its keys.
    pub strict: bool,
    /// The key users who have other roles too, sorted by name.
    pub not_separated: Vec<NotSeparated>,
}

/// A key user of a project who has other roles too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotSeparated {
    /// User or service account.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
    /// All roles in the project.
    pub roles: Vec<HeldRole>,
    /// System roles.
    pub system_roles: Vec<SystemRole>,
}

/// How keys of an environment are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentKind {
    /// Private keys encrypted under the signer's master key.
    Sealed,
    /// Private keys on a PKCS#11 token.
    Pkcs11,
}

impl EnvironmentKind {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Pkcs11 => "pkcs11",
        }
    }
}

/// The state of an environment's signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentState {
    /// Ready to use keys.
    Ready,
    /// Waiting for a person to unseal it.
    Sealed,
    /// The token or its module is not usable at present.
    TokenAbsent,
    /// The signer process does not answer.
    Unavailable,
}

impl EnvironmentState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Sealed, Self::TokenAbsent, Self::Unavailable];

    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sealed => "sealed",
            Self::TokenAbsent => "token-absent",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A configured key source. `GET /v1/environments/{environment}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Environment {
    /// The id.
    pub id: EnvironmentId,
    /// The name, such as `default`.
    pub name: String,
    /// How keys are kept.
    pub kind: EnvironmentKind,
    /// The signer's state on the node that answers.
    pub state: EnvironmentState,
    /// Why it is not ready and what to do, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The master key of a sealed store, as the node that answers knows it. For holders of a system role.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub master_key: Option<MasterKey>,
    /// When it was made.
    pub created: Timestamp,
}

/// The master key of a sealed store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MasterKey {
    /// The id of the one in use, 16 hexadecimal digits.
    pub id: String,
    /// While it is replaced: how far that is, or what to do, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// Answer of `GET /readyz`, with status 503 while no key can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readiness {
    /// Whether keys can be used.
    pub ready: bool,
    /// What prevents it, can't be used at present or needs a look, one sentence each. Administrators are told more.
    pub reasons: Vec<String>,
}
