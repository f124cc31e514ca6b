//! Pure decisions: the facts of a request in, a decision with its reasons out. No clock, no I/O, no state.
//!
//! Everything is denied unless a ground permits it *and* no denial stands against it: [`decide`] gathers both and a
//! single denial outweighs any number of grounds. [`decide`] has the built-in rules; [`decide_use`] adds the rules that
//! projects write ([`rules`]), which can only narrow what the built-in rules allow.
//!
//! Before all else, the grant must be valid and its holder neither disabled nor removed. The system roles are
//! administrator, security officer and auditor; only persons hold them.
//!
//! | Action | Who |
//! |---|---|
//! | use a key | its project's key users, while the key is active and, except for decryption, its component neither expired nor revoked; being administrator or owner is not enough. If the project separates duties strictly: only those who have no other role in it and no system role |
//! | manage a project (members, keys) | its owners, administrators |
//! | change the rules of a project or its keys | its owners, administrators, security officers |
//! | change the rules of an environment, or templates | administrators, security officers |
//! | disable a key | owners of its project, administrators, security officers |
//! | end the logins of others | administrators, security officers |
//! | see a project and its keys | its members in any role, holders of any system role |
//! | read the record of a project | its auditors, holders of any system role |
//! | read the whole record | holders of any system role |
//! | read everything else (users, groups, all projects, grants of others, templates, the server's state) | holders of any system role |
//! | manage the server (users, service accounts, groups, projects, environments) | administrators |
//! | see who can use a project's keys | its owners and auditors, holders of any system role |
//! | see an environment | members of a project with a key there, owners of any project, holders of any system role |
//! | give oneself the use of keys | nobody, unless the server's configuration allows it |
//! | look after oneself (own grants) | everyone who is logged in |

mod builtin;
mod decision;
mod facts;
pub mod rules;

use std::collections::BTreeSet;

pub use builtin::decide;
pub use decision::{ApprovalDemand, Approvers, Decision, Demand, Denial, Ground, OtherRole, RuleDenial};
pub use facts::{
    Action, AuthenticationMethod, ComponentFacts, EnvironmentFacts, Facts, GrantFacts, KeyFacts, KeyOperation,
    PrincipalFacts, RequestFacts,
};
use rules::RuleSet;
pub use sealcard_api::roles::{PrincipalKind, ProjectRole as Role, Roles, SystemRole, SystemRoles};

/// Judges one use of a key by the built-in rules and then by the rules of environment, project and key. `exhausted` are
/// the names of the quotas ([`rules::Quota::name`]) that have nothing left.
#[must_use]
pub fn decide_use(
    facts: &Facts,
    operation: KeyOperation,
    rules: Option<&RuleSet>,
    exhausted: &BTreeSet<&str>,
) -> Decision {
    let mut decision = decide(facts, Action::UseKey(operation));
    // Rules are told to nobody who may not use the key anyway.
    if let (true, Some(rules)) = (decision.allowed(), rules) {
        rules.judge(facts, operation, exhausted, &mut decision);
    }
    decision
}
