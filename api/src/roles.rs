//! Who there is and what they may do: kinds of principals, and roles in a project.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a member of a project may do. The roles do not contain one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProjectRole {
    /// Manages the project's members and keys; may not use the keys.
    Owner,
    /// Uses the project's keys.
    KeyUser,
    /// Decides on requests that wait for an approval; may neither use nor manage the keys.
    Approver,
    /// Reads the project's record.
    Auditor,
}

impl ProjectRole {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Owner, Self::KeyUser, Self::Approver, Self::Auditor];

    /// The name as JSON and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::KeyUser => "key-user",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for ProjectRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ProjectRole {
    const fn bit(self) -> u8 {
        match self {
            Self::Owner => 1,
            Self::KeyUser => 2,
            Self::Auditor => 4,
            Self::Approver => 8,
        }
    }
}

/// A set of roles in one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Whether the role is in the set.
    #[must_use]
    pub const fn contains(self, role: ProjectRole) -> bool {
        self.0 & role.bit() != 0
    }

    /// The set with one more role.
    #[must_use]
    pub const fn with(self, role: ProjectRole) -> Self {
        Self(self.0 | role.bit())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<ProjectRole> for Roles {
    fn from_iter<I: IntoIterator<Item = ProjectRole>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Person or program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program, such as a CI job.
    ServiceAccount,
}

impl PrincipalKind {
    /// The name as JSON and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service-account",
        }
    }
}

/// Whom a role is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MemberKind {
    /// A person.
    User,
    /// A program, such as a CI job.
    ServiceAccount,
    /// A group: each of its members.
    Group,
}

impl MemberKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::User, Self::ServiceAccount, Self::Group];

    /// The name as JSON and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service-account",
            Self::Group => "group",
        }
    }
}
