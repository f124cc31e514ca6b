//! What a decision is made from.

use std::fmt;

/// One question: may this principal, with these roles in the project concerned, do this?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub principal: PrincipalFacts,
    /// The principal's roles in the project concerned, its groups' roles included. Empty where no project is concerned.
    pub roles: Roles,
    /// What is asked.
    pub action: Action,
}

/// What is known of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrincipalFacts {
    /// Person or program.
    pub kind: PrincipalKind,
    /// Whether an administrator stopped it.
    pub disabled: bool,
    /// Whether it may administer the server. Has no effect on a service account.
    pub administrator: bool,
}

impl PrincipalFacts {
    /// Whether the principal is a person who may administer the server.
    #[must_use]
    pub const fn administers(self) -> bool {
        self.administrator && matches!(self.kind, PrincipalKind::User)
    }
}

/// Person or program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program, such as a CI job. Never an administrator.
    ServiceAccount,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Use of a private key.
    UseKey(KeyFacts),
    /// Changes of a project's members or keys.
    ManageProject,
    /// Reading a project, its members and its keys' public facts.
    SeeProject,
    /// Reading who can use a project's keys, and through what.
    SeeKeyUsers,
    /// Reading the entries of one project in the record.
    ReadProjectRecord,
    /// Reading the record of everything, and its verification.
    ReadWholeRecord,
    /// Changes of users, service accounts, groups, projects, environments, and of the grants of others.
    ManageServer,
    /// Reading and revoking one's own grants.
    LookAfterOneself,
    /// Reading how an environment is.
    SeeEnvironment(EnvironmentFacts),
    /// A change that lets its maker use keys that the maker could not use before.
    GiveOneselfKeys {
        /// Whether the server's configuration allows it.
        allowed: bool,
    },
}

/// What ties somebody to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvironmentFacts {
    /// Whether a key of a project in which the principal has a role is kept there.
    pub holds_a_visible_key: bool,
    /// Whether the principal owns some project, and so may have keys made in any environment.
    pub owns_a_project: bool,
}

/// What is known of a key and of what is wanted from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFacts {
    /// What is wanted.
    pub operation: KeyOperation,
    /// Whether the key has a component for the operation.
    pub has_component: bool,
    /// What an owner or administrator did to the key.
    pub standing: KeyStanding,
    /// Whether the component's time is over at the moment of the request. Decryption goes on: messages outlive keys.
    pub expired: bool,
    /// Whether the component was revoked, though the key was not. Decryption goes on.
    pub component_revoked: bool,
}

/// What an owner or administrator did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyStanding {
    /// Nothing: it may be used.
    Active,
    /// Its use was stopped, until it is enabled again.
    Disabled,
    /// It was revoked for good.
    Revoked,
    /// Its private halves were destroyed.
    Destroyed,
}

/// The uses of a private key that can be asked for. Certification is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyOperation {
    /// A signature over data.
    Sign,
    /// A decryption.
    Decrypt,
    /// A login.
    Authenticate,
}

impl fmt::Display for KeyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sign => "sign",
            Self::Decrypt => "decrypt",
            Self::Authenticate => "authenticate",
        })
    }
}

/// A role in a project. The roles do not contain one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Manages members and keys.
    Owner,
    /// Uses keys.
    KeyUser,
    /// Reads the record.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Owner, Self::KeyUser, Self::Auditor];

    const fn bit(self) -> u8 {
        match self {
            Self::Owner => 1,
            Self::KeyUser => 2,
            Self::Auditor => 4,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::KeyUser => "key-user",
            Self::Auditor => "auditor",
        })
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Roles(u8);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Whether the role is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// The set with one more role.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}
