//! Pure decisions: the facts of a request in, a decision with its reasons out. No clock, no I/O, no state.
//!
//! Everything is denied unless a ground permits it *and* no denial stands against it: [`decide`] gathers both and a
//! single denial outweighs any number of grounds. That is the shape of a Cedar policy set (`permit`, `forbid`), which
//! takes this crate's place behind the same function when projects write rules of their own.
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
    Action, EnvironmentFacts, KeyFacts, KeyOperation, KeyStanding, PrincipalFacts, PrincipalKind, Request, Role, Roles,
};

/// Judges one request. The same facts always give the same decision.
#[must_use]
pub fn decide(request: &Request) -> Decision {
    let mut decision = Decision::default();
    if request.principal.disabled {
        decision.deny(Denial::PrincipalDisabled);
    }
    match request.action {
        Action::UseKey(key) => use_key(request, key, &mut decision),
        Action::ManageProject => needs_role_or_administrator(request, &[Role::Owner], &mut decision),
        Action::SeeProject => needs_role_or_administrator(request, &Role::ALL, &mut decision),
        Action::ReadProjectRecord => needs_role_or_administrator(request, &[Role::Auditor], &mut decision),
        Action::ReadWholeRecord | Action::ManageServer => needs_administrator(request, &mut decision),
        Action::SeeKeyUsers => needs_role_or_administrator(request, &[Role::Owner, Role::Auditor], &mut decision),
        Action::SeeEnvironment(environment) => see_environment(request, environment, &mut decision),
        Action::GiveOneselfKeys { allowed: true } => decision.ground(Ground::Configuration),
        Action::GiveOneselfKeys { allowed: false } => decision.deny(Denial::SelfGrant),
        Action::LookAfterOneself => decision.ground(Ground::LoggedIn),
    }
    decision
}

fn see_environment(request: &Request, environment: EnvironmentFacts, decision: &mut Decision) {
    if request.principal.administers() {
        decision.ground(Ground::Administrator);
    }
    if environment.holds_a_visible_key || environment.owns_a_project {
        decision.ground(Ground::KeysThere);
    }
    if decision.grounds().is_empty() {
        decision.deny(Denial::ForeignEnvironment);
    }
}

fn use_key(request: &Request, key: KeyFacts, decision: &mut Decision) {
    // Comes first: the key is not even visible then, and what else is wrong with it must not be told.
    if request.roles.is_empty() && !request.principal.administers() {
        decision.deny(Denial::NotAMember);
    }
    if request.roles.contains(Role::KeyUser) {
        decision.ground(Ground::Role(Role::KeyUser));
    } else {
        decision.deny(Denial::MissingRole(Role::KeyUser));
    }
    match key.standing {
        KeyStanding::Active => {}
        KeyStanding::Disabled => decision.deny(Denial::KeyDisabled),
        KeyStanding::Revoked => decision.deny(Denial::KeyRevoked),
        KeyStanding::Destroyed => decision.deny(Denial::KeyDestroyed),
    }
    // What was encrypted to a key is read long after nothing new is.
    if key.operation != KeyOperation::Decrypt {
        if key.component_revoked && key.standing != KeyStanding::Revoked {
            decision.deny(Denial::KeyRevoked);
        }
        if key.expired {
            decision.deny(Denial::KeyExpired);
        }
    }
    if !key.has_component {
        decision.deny(Denial::NoComponent(key.operation));
    }
}

fn needs_role_or_administrator(request: &Request, any_of: &[Role], decision: &mut Decision) {
    for role in any_of {
        if request.roles.contains(*role) {
            decision.ground(Ground::Role(*role));
        }
    }
    if request.principal.administers() {
        decision.ground(Ground::Administrator);
    }
    if decision.grounds().is_empty() {
        decision.deny(match any_of {
            _ if request.roles.is_empty() => Denial::NotAMember,
            [one, ..] => Denial::MissingRole(*one),
            [] => Denial::NotAMember,
        });
    }
}

fn needs_administrator(request: &Request, decision: &mut Decision) {
    if request.principal.administers() {
        decision.ground(Ground::Administrator);
    } else {
        decision.deny(Denial::NotAdministrator);
    }
}

#[cfg(test)]
mod tests;
