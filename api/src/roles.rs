//! Who there is and what they may do: kinds of principals, roles on the server and in a project.

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

/// What a user may do on the whole server. The roles do not contain one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SystemRole {
    /// Manages the server: users, groups, projects, keys, environments, rules.
    Administrator,
    /// Reads everything, applies rules and templates, stops keys and ends logins.
    SecurityOfficer,
    /// Reads everything and changes nothing.
    Auditor,
}

impl SystemRole {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Administrator, Self::SecurityOfficer, Self::Auditor];

    /// The name as JSON and commands write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::SecurityOfficer => "security-officer",
            Self::Auditor => "auditor",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Administrator => 1,
            Self::SecurityOfficer => 2,
            Self::Auditor => 4,
        }
    }
}

impl fmt::Display for SystemRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of system roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct SystemRoles(u8);

impl SystemRoles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// The role administrator alone.
    pub const ADMINISTRATOR: Self = Self::NONE.with(SystemRole::Administrator);

    /// Whether the role is in the set.
    #[must_use]
    pub const fn contains(self, role: SystemRole) -> bool {
        self.0 & role.bit() != 0
    }

    /// The set with one more role.
    #[must_use]
    pub const fn with(self, role: SystemRole) -> Self {
        Self(self.0 | role.bit())
    }

    /// The set without a role.
    #[must_use]
    pub const fn without(self, role: SystemRole) -> Self {
        Self(self.0 & !role.bit())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles in the set.
    pub fn iter(self) -> impl Iterator<Item = SystemRole> {
        SystemRole::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<SystemRole> for SystemRoles {
    fn from_iter<I: IntoIterator<Item = SystemRole>>(roles: I) -> Self {
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
