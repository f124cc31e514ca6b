//! What a decision is made from.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use sealcard_api::{
    Timestamp,
    algorithm::HashAlgorithm,
    context::UseContext,
    roles::{PrincipalKind, Roles, SystemRoles},
};

/// All that a decision is made from, as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// When the request is judged.
    pub now: Timestamp,
    /// The grant that was shown.
    pub grant: GrantFacts,
    /// The grant's holder.
    pub principal: PrincipalFacts,
    /// The holder's roles in the project concerned, its groups' roles included. Empty where no project is concerned.
    pub roles: Roles,
    /// The key concerned, if there is one.
    pub key: Option<KeyFacts>,
    /// Where the request comes from, and what it says.
    pub request: RequestFacts,
}

/// Where a request comes from, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestFacts {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// What the workstation claims.
    pub claims: UseContext,
    /// The algorithm of the digest. None where no digest is signed.
    pub hash: Option<HashAlgorithm>,
    /// The approvals that the request has: names of demands ([`crate::ApprovalDemand::name`]) that are met.
    pub approvals: BTreeSet<String>,
    /// Whether the server's clock is in doubt, so that no time window counts as open.
    pub clock_in_doubt: bool,
}

/// The grant that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantFacts {
    /// When its holder logged in.
    pub issued: Timestamp,
    /// How its holder logged in.
    pub method: AuthenticationMethod,
    /// When it ends, or the token of it that was shown.
    pub expires: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// How a principal proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthenticationMethod {
    /// A user's password.
    Password,
    /// A service account's token.
    ServiceToken,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalFacts {
    /// The name.
    pub name: String,
    /// Person or program.
    pub kind: PrincipalKind,
    /// What it may do on the whole server. Has no effect on a service account.
    pub system_roles: SystemRoles,
    /// Whether an administrator disabled it.
    pub disabled: bool,
    /// Whether it was removed.
    pub removed: bool,
    /// The names of its groups.
    pub groups: Vec<String>,
}

impl PrincipalFacts {
    /// The system roles that count: those of a person.
    #[must_use]
    pub const fn effective_system_roles(&self) -> SystemRoles {
        match self.kind {
            PrincipalKind::User => self.system_roles,
            PrincipalKind::ServiceAccount => SystemRoles::NONE,
        }
    }
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyFacts {
    /// Its name in the project.
    pub name: String,
    /// Its project's name.
    pub project: String,
    /// Its environment's name.
    pub environment: String,
    /// Whether a key user of its project may have no other role.
    pub strict_separation: bool,
    /// Its use was stopped, until it is enabled again.
    pub disabled: bool,
    /// It was revoked for good.
    pub revoked: bool,
    /// Its private halves were destroyed.
    pub destroyed: bool,
    /// The component for the operation.
    pub component: Option<ComponentFacts>,
}

/// A component key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ComponentFacts {
    /// When it expires, or its certificate if that is earlier.
    pub expires: Option<Timestamp>,
    /// Whether it was revoked alone.
    pub revoked: bool,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Use of a private key.
    UseKey(KeyOperation),
    /// Changes of a project's members or keys.
    ManageProject,
    /// Changes of the rules of a project or its keys, and their trial.
    ManageRules,
    /// Changes of the rules of an environment, and of templates.
    ManageServerRules,
    /// Disabling a key. Enabling it again is [`Self::ManageProject`].
    StopKeys,
    /// Revoking the grants of others.
    EndLogins,
    /// Reading a project, its members and its keys' public facts.
    SeeProject,
    /// Reading who can use a project's keys, and through what.
    SeeKeyUsers,
    /// Reading the entries of one project in the record.
    ReadProjectRecord,
    /// Reading the record of everything, and its verification.
    ReadWholeRecord,
    /// Reading what the server has: users, service accounts, groups, all projects and keys, templates, the grants of
    /// others, the server's state.
    ReadEverything,
    /// Changes of users, service accounts, groups, projects and environments.
    ManageServer,
    /// Reading and revoking one's own grants and requests.
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

/// The uses of a private key that can be asked for. Certification is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyOperation {
    /// A signature over data.
    Sign,
    /// A decryption.
    Decrypt,
    /// A login.
    Authenticate,
}

impl KeyOperation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sign, Self::Decrypt, Self::Authenticate];

    /// The name, as rules write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Decrypt => "decrypt",
            Self::Authenticate => "authenticate",
        }
    }
}

impl fmt::Display for KeyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
