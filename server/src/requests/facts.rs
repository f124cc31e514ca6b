//! What a request asks of policy.

use sealcard_api::{Timestamp, algorithm::ComponentRole, ssh::SshMessage};
use sealcard_policy::{Facts as PolicyFacts, KeyOperation, RequestFacts};
use sealcard_signer_protocol::{Input, Operation};

use super::UseRequest;
use crate::{
    authn::{Caller, policy_facts},
    storage::Facts,
};

/// What policy judges: the stored facts, and what the request itself brings.
pub(super) fn judged_facts(caller: &Caller, request: &UseRequest, stored: &Facts, now: Timestamp) -> PolicyFacts {
    let hash = match request.operation.input() {
        Input::Digest(hash, _) => Some(hash),
        _ => None,
    };
    let address = Some(caller.peer.ip());
    let claims = request.context.clone();
    let request = RequestFacts { address, claims, hash, ..RequestFacts::default() };
    policy_facts(stored, request, now)
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
