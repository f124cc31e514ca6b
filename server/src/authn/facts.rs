//! From the store to what policy judges.

use sealcard_api::Timestamp;
use sealcard_policy::{
    AuthenticationMethod, ComponentFacts, Facts as PolicyFacts, GrantFacts, KeyFacts, PrincipalFacts, RequestFacts,
};

use crate::storage::Facts;

/// What policy judges at `now`, with where the request comes from and what it says.
#[must_use]
pub fn policy_facts(facts: &Facts, request: RequestFacts, now: Timestamp) -> PolicyFacts {
    let Facts { grant, principal, project, roles, key, .. } = facts;
    let strict_separation = project.as_ref().is_some_and(|project| project.strict_separation);
    let project = project.as_ref().map(|project| project.name.as_str()).unwrap_or_default();
    PolicyFacts {
        now,
        grant: GrantFacts {
            issued: grant.issued,
            method: if grant.by_service_token {
                AuthenticationMethod::ServiceToken
            } else {
                AuthenticationMethod::Password
            },
            expires: grant.expires,
            revoked: grant.revoked,
        },
        principal: PrincipalFacts {
            name: principal.name.clone(),
            kind: principal.kind,
            system_roles: principal.system_roles,
            disabled: principal.disabled,
            removed: principal.removed,
            groups: principal.groups.clone(),
        },
        roles: *roles,
        key: key.as_ref().map(|key| KeyFacts {
            name: key.name.clone(),
            project: project.to_owned(),
            environment: key.environment_name.clone(),
            strict_separation,
            disabled: key.disabled,
            revoked: key.revoked,
            destroyed: key.destroyed,
            component: key
                .component
                .as_ref()
                .map(|component| ComponentFacts { expires: component.expires, revoked: component.revoked }),
        }),
        request: RequestFacts { clock_in_doubt: facts.clock_doubted, ..request },
    }
}
