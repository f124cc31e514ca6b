//! What comes of a question.

use std::fmt;

use thiserror::Error;

use crate::{KeyOperation, Role, SystemRole};

/// The answer to [`crate::decide`], with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    grounds: Vec<Ground>,
    denials: Vec<Denial>,
    unmet: Vec<RuleDenial>,
}

impl Decision {
    /// Whether the request may go on: at least one ground, no denial, and no demand that is not met.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.denials.is_empty() && self.unmet.is_empty() && !self.grounds.is_empty()
    }

    /// The demands that are not met, if nothing else stands against the request: it may wait for them. Empty if it is
    /// allowed or denied.
    #[must_use]
    pub fn unmet(&self) -> &[RuleDenial] {
        if self.denials.is_empty() { &self.unmet } else { &[] }
    }

    /// The approvals that the request lacks, if it lacks nothing else and nothing stands against it: it can wait for
    /// them. Empty otherwise.
    #[must_use]
    pub fn awaited(&self) -> Vec<&ApprovalDemand> {
        let approval = |unmet: &'_ RuleDenial| matches!(unmet.demand, Some(Demand::Approval(_)));
        if !self.unmet().iter().all(approval) {
            return Vec::new();
        }
        let demands = self.unmet().iter().filter_map(|unmet| match &unmet.demand {
            Some(Demand::Approval(approval)) => Some(approval),
            _ => None,
        });
        demands.collect()
    }

    /// The demands that are not met, whatever else stands against the request.
    #[must_use]
    pub fn demands(&self) -> &[RuleDenial] {
        &self.unmet
    }

    /// The ids of the rules that decided. Empty if only built-in rules did.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let denials = self.denials.iter().filter_map(|denial| match denial {
            Denial::Rule(rule) | Denial::RuleFailed(rule) => Some(rule),
            _ => None,
        });
        denials.chain(&self.unmet).map(|rule| rule.id.as_str())
    }

    /// What speaks for the request.
    #[must_use]
    pub fn grounds(&self) -> &[Ground] {
        &self.grounds
    }

    /// What stands against it, the weightiest first.
    #[must_use]
    pub fn denials(&self) -> &[Denial] {
        &self.denials
    }

    /// All that [`Self::reason_kind`] says.
    pub const REASON_KINDS: [&str; 20] = [
        "account-removed",
        "account-disabled",
        "grant-revoked",
        "grant-expired",
        "unknown-key",
        "missing-role",
        "not-a-member",
        "missing-system-role",
        "roles-not-separated",
        "self-grant",
        "foreign-environment",
        "key-disabled",
        "key-revoked",
        "key-destroyed",
        "key-expired",
        "no-component",
        "rule",
        "rule-failed",
        "demand",
        "no-ground",
    ];

    /// The kind of the weightiest reason against the request; none if it is allowed.
    #[must_use]
    pub fn reason_kind(&self) -> Option<&'static str> {
        let denial = self.denials.first().map(Denial::kind);
        denial.or_else(|| (!self.allowed()).then_some(if self.unmet.is_empty() { "no-ground" } else { "demand" }))
    }

    /// Whether the key's state is what stands against it first: the caller has the right to know it then.
    #[must_use]
    pub fn is_about_the_key(&self) -> bool {
        use Denial::{KeyDestroyed, KeyDisabled, KeyExpired, KeyRevoked};
        matches!(self.denials.first(), Some(KeyDisabled | KeyRevoked | KeyDestroyed | KeyExpired))
    }

    /// Who can change the rules that stand against the request, if rules do.
    #[must_use]
    pub fn whom_to_ask(&self) -> Option<String> {
        let denials = self.denials.iter().filter_map(|denial| match denial {
            Denial::Rule(rule) | Denial::RuleFailed(rule) => Some(rule),
            _ => None,
        });
        // What the requester can do, the reason says.
        let others = denials.chain(&self.unmet).filter(|rule| rule.demand != Some(Demand::Justification));
        let mut asked: Vec<String> = others.map(|rule| rule.owner()).collect();
        asked.sort_unstable();
        asked.dedup();
        (!asked.is_empty()).then(|| format!("ask {}", asked.join(" or ")))
    }

    /// All reasons as text for the record: the denials and unmet demands, or the grounds if there are none.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        if self.denials.is_empty() && self.unmet.is_empty() {
            return self.grounds.iter().map(ToString::to_string).collect();
        }
        let denials = self.denials.iter().map(ToString::to_string);
        denials.chain(self.unmet.iter().map(ToString::to_string)).collect()
    }

    pub(crate) fn ground(&mut self, ground: Ground) {
        self.grounds.push(ground);
    }

    pub(crate) fn deny(&mut self, denial: Denial) {
        self.denials.push(denial);
    }

    pub(crate) fn demand(&mut self, unmet: RuleDenial) {
        self.unmet.push(unmet);
    }
}

/// A reason to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ground {
    /// A role in the project.
    #[error("the role {0} in the project")]
    Role(Role),
    /// A system role.
    #[error("the system role {0}")]
    SystemRole(SystemRole),
    /// The environment holds, or may come to hold, keys of the principal's projects.
    #[error("keys in the environment")]
    KeysThere,
    /// The server's configuration allows it.
    #[error("the server's configuration")]
    Configuration,
    /// Nothing more than a valid grant is needed.
    #[error("a valid grant")]
    LoggedIn,
}

/// A reason to refuse. Asking again helps only after someone has changed the fact.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denial {
    /// The principal was removed.
    #[error("the account has been removed")]
    AccountRemoved,
    /// The principal is disabled.
    #[error("the account has been disabled")]
    AccountDisabled,
    /// The grant was revoked.
    #[error("the grant has been revoked")]
    GrantRevoked,
    /// The grant, or the token of it that was shown, has expired.
    #[error("the grant has expired")]
    GrantExpired,
    /// There is no such key.
    #[error("there is no such key")]
    UnknownKey,
    /// A role in the project is missing.
    #[error("the role {0} in the project is missing")]
    MissingRole(Role),
    /// No role in the project at all.
    #[error("not a member of the project")]
    NotAMember,
    /// Only holders of one of these system roles may.
    #[error("only {} may do this", plural(.0))]
    MissingSystemRole(&'static [SystemRole]),
    /// A key user has another role too, which the project does not allow.
    #[error("{0}")]
    RolesNotSeparated(OtherRole),
    /// The maker of the change would get the use of keys by it.
    #[error("you can't give yourself the use of keys: another owner of the project or administrator must do it")]
    SelfGrant,
    /// The environment holds no key that the principal could see.
    #[error("the environment holds no keys of yours")]
    ForeignEnvironment,
    /// The key is disabled.
    #[error("the key is disabled")]
    KeyDisabled,
    /// The key, or its component for the operation, was revoked.
    #[error("the key is revoked")]
    KeyRevoked,
    /// The key's private halves were destroyed.
    #[error("the key is destroyed")]
    KeyDestroyed,
    /// The time of the component for the operation is over.
    #[error("the key has expired")]
    KeyExpired,
    /// The key has nothing to do this with.
    #[error("the key has no component to {0} with")]
    NoComponent(KeyOperation),
    /// A rule of environment, project or key forbids it.
    #[error("{0}")]
    Rule(RuleDenial),
    /// A rule could not be evaluated.
    #[error("{0}")]
    RuleFailed(RuleDenial),
}

impl Denial {
    /// What kind of reason it is, without what it is about.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AccountRemoved => "account-removed",
            Self::AccountDisabled => "account-disabled",
            Self::GrantRevoked => "grant-revoked",
            Self::GrantExpired => "grant-expired",
            Self::UnknownKey => "unknown-key",
            Self::MissingRole(_) => "missing-role",
            Self::NotAMember => "not-a-member",
            Self::MissingSystemRole(_) => "missing-system-role",
            Self::RolesNotSeparated(_) => "roles-not-separated",
            Self::SelfGrant => "self-grant",
            Self::ForeignEnvironment => "foreign-environment",
            Self::KeyDisabled => "key-disabled",
            Self::KeyRevoked => "key-revoked",
            Self::KeyDestroyed => "key-destroyed",
            Self::KeyExpired => "key-expired",
            Self::NoComponent(_) => "no-component",
            Self::Rule(_) => "rule",
            Self::RuleFailed(_) => "rule-failed",
        }
    }
}

/// The role that a key user has besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherRole {
    /// In the same project.
    OfProject(Role),
    /// On the whole server.
    OfServer(SystemRole),
}

impl fmt::Display for OtherRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the project separates duties strictly: ")?;
        match self {
            Self::OfProject(role) => write!(
                f,
                "its roles key-user and {role} can't be held together; an owner of the project must take one of them away"
            ),
            Self::OfServer(role) => write!(
                f,
                "its role key-user and the system role {role} can't be held together; an administrator must take one of \
                 them away"
            ),
        }
    }
}

/// Those who hold one of these system roles, in words.
fn plural(roles: &[SystemRole]) -> String {
    let names: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            SystemRole::Administrator => "administrators",
            SystemRole::SecurityOfficer => "security officers",
            SystemRole::Auditor => "auditors of the server",
        })
        .collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        names => names.concat(),
    }
}

/// What a rule of environment, project or key has against a use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDenial {
    /// The policy's id, such as `project/tags/hours`.
    pub id: String,
    /// The rule's name in its document.
    pub rule: String,
    /// What the rule wants, or why it forbids: the second half of a sentence.
    pub wants: String,
    /// What it saw instead, in words.
    pub saw: Option<String>,
    /// Whose rule it is, such as `project tools`.
    pub scope: String,
    /// What would help, if the rule says.
    pub demand: Option<Demand>,
}

impl RuleDenial {
    /// Who can change the rule.
    fn owner(&self) -> String {
        match self.scope.split_once(' ') {
            Some(("project", name)) => format!("an owner of the project {name}"),
            Some(("key", name)) => {
                format!("an owner of the project {}", name.split_once('/').map_or(name, |(project, _)| project))
            }
            _ => "an administrator".to_owned(),
        }
    }
}

impl fmt::Display for RuleDenial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.rule.as_str(), self.scope.as_str()) {
            ("", _) => write!(f, "the rules of the key {}", self.wants)?,
            (rule, "") => write!(f, "the rule {rule} {}", self.wants)?,
            (rule, scope) => write!(f, "the rule {rule} of {scope} {}", self.wants)?,
        }
        match &self.saw {
            Some(saw) => write!(f, "; {saw}"),
            None => Ok(()),
        }
    }
}

/// The approval that one stage of a flow asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalDemand {
    /// The flow's name: that of the rule that it belongs to, such as `project/tags`.
    pub flow: String,
    /// Who may approve.
    pub by: Approvers,
    /// So many of them.
    pub count: u32,
}

impl ApprovalDemand {
    /// What the set of approvals in Cedar's context has once it is met, such as `project/tags/approvers`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.flow, self.by.id())
    }
}

impl fmt::Display for ApprovalDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.by, self.count) {
            (Approvers::Group(group), 1) => write!(f, "the approval of a member of {group}"),
            (Approvers::Group(group), count) => write!(f, "the approval of {count} members of {group}"),
            (Approvers::Role(role), 1) => write!(f, "the approval of a person with the role {role}"),
            (Approvers::Role(role), count) => write!(f, "the approval of {count} people with the role {role}"),
        }
    }
}

/// The people of whom some must approve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Approvers {
    /// The members of a group.
    Group(String),
    /// Those with a role in the key's project.
    Role(Role),
}

impl Approvers {
    /// A text for ids: the group's name, or `role:` and the role's. No name has a colon.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Group(group) => group.clone(),
            Self::Role(role) => format!("role:{role}"),
        }
    }
}

impl fmt::Display for Approvers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "the group {group}"),
            Self::Role(role) => write!(f, "the role {role}"),
        }
    }
}

/// What a request that waits needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Demand {
    /// People must approve.
    Approval(ApprovalDemand),
    /// The requester must give a reason.
    Justification,
    /// The requester must prove its presence again.
    SecondFactor,
    /// The server must see what is signed.
    VerifiedContent,
    /// A demand that a free Cedar rule names.
    Other(String),
}

impl Demand {
    /// The demand's name in a Cedar annotation `@demand`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Approval(_) => "approval",
            Self::Justification => "justification",
            Self::SecondFactor => "second-factor",
            Self::VerifiedContent => "verified-content",
            Self::Other(name) => name,
        }
    }
}
