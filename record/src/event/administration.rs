//! Users, service accounts, groups and projects.

use sealcard_api::{
    Timestamp,
    ids::{GroupId, PrincipalId, ProjectId, ServiceTokenId},
    roles::{ProjectRole, SystemRole},
};
use serde::{Deserialize, Serialize};

use super::{Subject, authentication::is_false};
use crate::{HashPrefix, Named};

/// What wrote an entry that no request caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// `sealcard-server init`, by a person at the server.
    Init,
}

/// There is a new user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserAdded {
    /// The user.
    pub principal: Named<PrincipalId>,
    /// The user's system roles.
    pub roles: Vec<SystemRole>,
    /// Whether the password is for one login.
    pub one_time_password: bool,
    /// From when on a one-time password is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password_expires: Option<Timestamp>,
    /// Of the stored hash of the password.
    pub password_sha256: HashPrefix,
    /// Where the user gets notices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
    /// What added the user, if no request did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub via: Option<Via>,
}

/// A user was changed. Fields that are absent did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserChanged {
    /// The user, with the name before.
    pub principal: Named<PrincipalId>,
    /// The name from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_name: Option<String>,
    /// The user's system roles from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roles: Option<Vec<SystemRole>>,
    /// Whether the user is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<bool>,
    /// Whether there is another password.
    #[serde(skip_serializing_if = "is_false", default)]
    pub password: bool,
    /// Of the stored hash of that password.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub password_sha256: Option<HashPrefix>,
    /// Where the user gets notices from now on; empty: nowhere any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub email: Option<String>,
}

/// A principal was added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalAct {
    /// The principal.
    pub principal: Named<PrincipalId>,
}

/// There is a new service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccountAdded {
    /// The service account.
    pub principal: Named<PrincipalId>,
    /// The user who answers for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<Named<PrincipalId>>,
}

/// A service account was changed. Fields that are absent did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccountChanged {
    /// The service account, with the name before.
    pub principal: Named<PrincipalId>,
    /// The name from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_name: Option<String>,
    /// Whether the service account is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<bool>,
    /// The user who answers for it from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<Named<PrincipalId>>,
}

/// A service account got a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenAdded {
    /// The service account.
    pub principal: Named<PrincipalId>,
    /// The token. Its name is its label.
    pub token: Named<ServiceTokenId>,
    /// From when on it is refused.
    pub expires: Timestamp,
    /// Of the token.
    pub token_sha256: HashPrefix,
}

/// A token is refused from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoked {
    /// The service account.
    pub principal: Named<PrincipalId>,
    /// The token. Its name is its label.
    pub token: Named<ServiceTokenId>,
}

/// A group was added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupAct {
    /// The group.
    pub group: Named<GroupId>,
}

/// A group was renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupChanged {
    /// The group, with the name before.
    pub group: Named<GroupId>,
    /// The name from now on.
    pub new_name: String,
}

/// A member came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMemberAct {
    /// The group.
    pub group: Named<GroupId>,
    /// The member.
    pub principal: Named<PrincipalId>,
}

/// There is a new project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectAdded {
    /// The project.
    pub project: Named<ProjectId>,
    /// What added it, if no request did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub via: Option<Via>,
}

/// A project was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectAct {
    /// The project.
    pub project: Named<ProjectId>,
}

/// A project was changed. Fields that are absent did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectChanged {
    /// The project, with the name before.
    pub project: Named<ProjectId>,
    /// The name from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_name: Option<String>,
    /// Whether there is another description.
    #[serde(skip_serializing_if = "is_false", default)]
    pub description: bool,
    /// Whether a key user may have no other role from now on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub strict_separation: Option<bool>,
}

/// What a role is given to. In JSON a field `principal` or `group`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Member {
    /// A user or service account.
    Principal(Named<PrincipalId>),
    /// A group: each of its members.
    Group(Named<GroupId>),
}

/// A role was given or taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectMemberAct {
    /// The project.
    pub project: Named<ProjectId>,
    /// What the role is given to or taken from.
    #[serde(flatten)]
    pub member: Member,
    /// The role.
    pub role: ProjectRole,
}

macro_rules! about_principal {
    ($($payload:ty),+) => {$(
        impl Subject for $payload {
            fn principal(&self) -> Option<&Named<PrincipalId>> {
                Some(&self.principal)
            }
        }
    )+};
}

about_principal!(
    UserAdded,
    UserChanged,
    PrincipalAct,
    ServiceAccountAdded,
    ServiceAccountChanged,
    TokenAdded,
    TokenRevoked,
    GroupMemberAct
);

macro_rules! about_project {
    ($($payload:ty),+) => {$(
        impl Subject for $payload {
            fn project(&self) -> Option<&Named<ProjectId>> {
                Some(&self.project)
            }
        }
    )+};
}

about_project!(ProjectAdded, ProjectAct, ProjectChanged);

impl Subject for GroupAct {}

impl Subject for GroupChanged {}

impl Subject for ProjectMemberAct {
    fn principal(&self) -> Option<&Named<PrincipalId>> {
        match &self.member {
            Member::Principal(principal) => Some(principal),
            Member::Group(_) => None,
        }
    }

    fn project(&self) -> Option<&Named<ProjectId>> {
        Some(&self.project)
    }
}
