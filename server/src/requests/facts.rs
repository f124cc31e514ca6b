//! From store and request to what policy judges.

use sealcard_api::{Timestamp, algorithm::ComponentRole, ssh::SshMessage};
use sealcard_policy::{
    AuthenticationMethod, ComponentFacts, Facts as PolicyFacts, GrantFacts, KeyFacts, KeyOperation, PrincipalFacts,
};
use sealcard_signer_protocol::Operation;

use crate::storage::Facts;

/// What policy judges at `now`.
#[must_use]
pub fn policy_facts(facts: &Facts, now: Timestamp) -> PolicyFacts {
    let Facts { grant, principal, roles, key, .. } = facts;
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
            kind: principal.kind,
            administrator: principal.administrator,
            disabled: principal.disabled,
            removed: principal.removed,
            groups: principal.groups.clone(),
        },
        roles: *roles,
        key: key.as_ref().map(|key| KeyFacts {
            disabled: key.disabled,
            revoked: key.revoked,
            destroyed: key.destroyed,
            component: key
                .component
                .as_ref()
                .map(|component| ComponentFacts { expires: component.expires, revoked: component.revoked }),
        }),
    }
}

/// What policy is asked. An SSHSIG blob is a signature over data, whichever component makes it.
pub(super) fn policy_operation(operation: &Operation) -> KeyOperation {
    match operation {
        Operation::Sign { .. } => KeyOperation::Sign,
        Operation::Decrypt { .. } => KeyOperation::Decrypt,
        Operation::Authenticate { .. } => KeyOperation::Authenticate,
        Operation::AuthenticateSsh { message } => match SshMessage::parse(message) {
            Ok(SshMessage::SshSig { .. }) => KeyOperation::Sign,
            _ => KeyOperation::Authenticate,
        },
    }
}

/// The component that an operation needs.
pub(super) const fn component_role(operation: &Operation) -> ComponentRole {
    match operation {
        Operation::Sign { .. } => ComponentRole::Sign,
        Operation::Decrypt { .. } => ComponentRole::Decrypt,
        Operation::Authenticate { .. } | Operation::AuthenticateSsh { .. } => ComponentRole::Authenticate,
    }
}
