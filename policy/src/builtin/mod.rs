//! The rules that always hold: valid logins, roles, the states of keys.

use crate::{Action, Decision, Denial, EnvironmentFacts, Facts, Ground, KeyOperation, OtherRole, Role, SystemRole};

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
        Action::ManageProject => needs(facts, &[Role::Owner], ADMINISTRATORS, &mut decision),
        Action::ManageRules | Action::StopKeys => needs(facts, &[Role::Owner], GUARDS, &mut decision),
        Action::SeeProject => needs(facts, &Role::ALL, READERS, &mut decision),
        Action::ReadProjectRecord => needs(facts, &[Role::Auditor], READERS, &mut decision),
        Action::SeeKeyUsers => needs(facts, &[Role::Owner, Role::Auditor], READERS, &mut decision),
        Action::ManageServer => needs_system_role(facts, ADMINISTRATORS, &mut decision),
        Action::ManageServerRules | Action::EndLogins => needs_system_role(facts, GUARDS, &mut decision),
        Action::ReadWholeRecord | Action::ReadEverything => needs_system_role(facts, READERS, &mut decision),
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
    ground_on_system_roles(facts, READERS, decision);
    if environment.holds_a_visible_key || environment.owns_a_project {
        decision.ground(Ground::KeysThere);
    }
    if decision.grounds().is_empty() {
        decision.deny(Denial::ForeignEnvironment);
    }
}

fn judge_use(facts: &Facts, operation: KeyOperation, decision: &mut Decision) {
    let Some(key) = &facts.key else { return decision.deny(Denial::UnknownKey) };
    // Comes first: the key is not even visible then, and what else is wrong with it must not be told.
    if facts.roles.is_empty() && facts.principal.effective_system_roles().is_empty() {
        decision.deny(Denial::NotAMember);
    }
    if facts.roles.contains(Role::KeyUser) {
        decision.ground(Ground::Role(Role::KeyUser));
    } else {
        decision.deny(Denial::MissingRole(Role::KeyUser));
    }
    if key.strict_separation {
        judge_separation(facts, decision);
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

/// A key user has no other role, neither in the project nor on the server.
fn judge_separation(facts: &Facts, decision: &mut Decision) {
    if !facts.roles.contains(Role::KeyUser) {
        return;
    }
    let others = Role::ALL.into_iter().filter(|role| *role != Role::KeyUser && facts.roles.contains(*role));
    let system = facts.principal.effective_system_roles().iter().map(OtherRole::OfServer);
    for other in others.map(OtherRole::OfProject).chain(system) {
        decision.deny(Denial::RolesNotSeparated(other));
    }
}

/// Any of these roles in the project, or any of these system roles.
fn needs(facts: &Facts, any_of: &[Role], or: &'static [SystemRole], decision: &mut Decision) {
    for role in any_of {
        if facts.roles.contains(*role) {
            decision.ground(Ground::Role(*role));
        }
    }
    ground_on_system_roles(facts, or, decision);
    if decision.grounds().is_empty() {
        decision.deny(match any_of {
            // With a system role the thing is visible, so the role that is missing may be named.
            _ if facts.roles.is_empty() && facts.principal.effective_system_roles().is_empty() => Denial::NotAMember,
            [one, ..] => Denial::MissingRole(*one),
            [] => Denial::NotAMember,
        });
    }
}

fn needs_system_role(facts: &Facts, any_of: &'static [SystemRole], decision: &mut Decision) {
    ground_on_system_roles(facts, any_of, decision);
    if decision.grounds().is_empty() {
        decision.deny(Denial::MissingSystemRole(any_of));
    }
}

fn ground_on_system_roles(facts: &Facts, any_of: &[SystemRole], decision: &mut Decision) {
    let held = facts.principal.effective_system_roles();
    for role in any_of.iter().filter(|role| held.contains(**role)) {
        decision.ground(Ground::SystemRole(*role));
    }
}

const ADMINISTRATORS: &[SystemRole] = &[SystemRole::Administrator];
/// Those who may stop things and narrow them by rules.
const GUARDS: &[SystemRole] = &[SystemRole::Administrator, SystemRole::SecurityOfficer];
const READERS: &[SystemRole] = &SystemRole::ALL;

#[cfg(test)]
mod tests;
