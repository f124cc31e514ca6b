//! Pure decisions: the facts of a request in, a decision with its reasons out. No clock, no I/O, no state.
//!
//! Everything is denied unless a ground permits it *and* no denial stands against it: [`decide`] gathers both and a
//! single denial outweighs any number of grounds. That is the shape of a Cedar policy set (`permit`, `forbid`), which
//! takes this crate's place behind the same function when projects write rules of their own.
//!
//! Before all else, the grant must be valid and its holder neither disabled nor removed.
//!
//! | Action | Who |
//! |---|---|
//! | use a key | its project's key users, while the key is active and, except for decryption, its component neither expired nor revoked; being administrator or owner is not enough |
//! | manage a project (members, keys) | its owners, administrators |
//! | see a project and its keys | its members in any role, administrators |
//! | read the record of a project | its auditors, administrators |
//! | read the whole record | administrators |
//! | manage the server (users, service accounts, groups, projects, environments, grants of others) | administrators |
//! | see who can use a project's keys | its owners and auditors, administrators |
//! | see an environment | members of a project with a key there, owners of any project, administrators |
//! | give oneself the use of keys | nobody, unless the server's configuration allows it |
//! | look after oneself (own grants) | everyone who is logged in |

mod decision;
mod facts;

pub use decision::{Decision, Denial, Ground};
pub use facts::{
    Action, AuthenticationMethod, ComponentFacts, EnvironmentFacts, Facts, GrantFacts, KeyFacts, KeyOperation,
    PrincipalFacts,
};
pub use sealcard_api::roles::{PrincipalKind, ProjectRole as Role, Roles};

/// Judges one request. The same facts always give the same decision.
#[must_use]
pub fn decide(facts: &Facts, action: Action) -> Decision {
    let mut decision = Decision::default();
    judge_login(facts, &mut decision);
    // Nothing more is told to somebody whose login is not valid.
    if !decision.denials().is_empty() {
        return decision;
    }
    match action {
        Action::UseKey(operation) => judge_use(facts, operation, &mut decision),
        Action::ManageProject => needs_role_or_administrator(facts, &[Role::Owner], &mut decision),
        Action::SeeProject => needs_role_or_administrator(facts, &Role::ALL, &mut decision),
        Action::ReadProjectRecord => needs_role_or_administrator(facts, &[Role::Auditor], &mut decision),
        Action::ReadWholeRecord | Action::ManageServer => needs_administrator(facts, &mut decision),
        Action::SeeKeyUsers => needs_role_or_administrator(facts, &[Role::Owner, Role::Auditor], &mut decision),
        Action::SeeEnvironment(environment) => judge_environment(facts, environment, &mut decision),
        Action::GiveOneselfKeys { allowed: true } => decision.ground(Ground::Configuration),
        Action::GiveOneselfKeys { allowed: false } => decision.deny(Denial::SelfGrant),
        Action::LookAfterOneself => decision.ground(Ground::LoggedIn),
    }
    decision
}

fn judge_login(Facts { now, grant, principal, .. }: &Facts, decision: &mut Decision) {
    if principal.removed {
        decision.deny(Denial::AccountRemoved);
    }
    if principal.disabled {
        decision.deny(Denial::AccountDisabled);
    }
    if grant.revoked {
        decision.deny(Denial::GrantRevoked);
    }
    if grant.expires <= *now {
        decision.deny(Denial::GrantExpired);
    }
}

fn judge_environment(facts: &Facts, environment: EnvironmentFacts, decision: &mut Decision) {
    if facts.principal.administers() {
        decision.ground(Ground::Administrator);
    }
    if environment.holds_a_visible_key || environment.owns_a_project {
        decision.ground(Ground::KeysThere);
    }
    if decision.grounds().is_empty() {
        decision.deny(Denial::ForeignEnvironment);
    }
}

fn judge_use(facts: &Facts, operation: KeyOperation, decision: &mut Decision) {
    let Some(key) = facts.key else { return decision.deny(Denial::UnknownKey) };
    // Comes first: the key is not even visible then, and what else is wrong with it must not be told.
    if facts.roles.is_empty() && !facts.principal.administers() {
        decision.deny(Denial::NotAMember);
    }
    if facts.roles.contains(Role::KeyUser) {
        decision.ground(Ground::Role(Role::KeyUser));
    } else {
        decision.deny(Denial::MissingRole(Role::KeyUser));
    }
    // Destroyed and revoked keys are disabled too: the weightiest is told.
    let revoked = key.revoked && !key.destroyed;
    if key.destroyed {
        decision.deny(Denial::KeyDestroyed);
    } else if revoked {
        decision.deny(Denial::KeyRevoked);
    } else if key.disabled {
        decision.deny(Denial::KeyDisabled);
    }
    let Some(component) = key.component else { return decision.deny(Denial::NoComponent(operation)) };
    // What was encrypted to a key is read long after nothing new is.
    if operation != KeyOperation::Decrypt {
        if component.revoked && !revoked {
            decision.deny(Denial::KeyRevoked);
        }
        if component.expires.is_some_and(|expires| expires <= facts.now) {
            decision.deny(Denial::KeyExpired);
        }
    }
}

fn needs_role_or_administrator(facts: &Facts, any_of: &[Role], decision: &mut Decision) {
    for role in any_of {
        if facts.roles.contains(*role) {
            decision.ground(Ground::Role(*role));
        }
    }
    if facts.principal.administers() {
        decision.ground(Ground::Administrator);
    }
    if decision.grounds().is_empty() {
        decision.deny(match any_of {
            _ if facts.roles.is_empty() => Denial::NotAMember,
            [one, ..] => Denial::MissingRole(*one),
            [] => Denial::NotAMember,
        });
    }
}

fn needs_administrator(facts: &Facts, decision: &mut Decision) {
    if facts.principal.administers() {
        decision.ground(Ground::Administrator);
    } else {
        decision.deny(Denial::NotAdministrator);
    }
}

#[cfg(test)]
mod tests;
