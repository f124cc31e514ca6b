//! What a request asks of policy.

use sealcard_api::{algorithm::ComponentRole, ssh::SshMessage};
use sealcard_policy::KeyOperation;
use sealcard_signer_protocol::Operation;

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
