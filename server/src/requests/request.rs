//! What is asked of a key, and what came of it.

use aws_lc_rs::digest::{SHA256, digest};
use sealcard_api::{
    approvals::WaitingUse,
    context::UseContext,
    ids::{KeyId, RequestId},
};
use sealcard_signer_protocol::{Input, Operation, Plaintext};
use uuid::Uuid;

use super::facts::component_role;
use crate::{
    authn::Caller,
    storage::{FactsQuery, NewRequest, Target},
};

/// A request to use a key.
#[derive(Debug, Clone)]
pub struct UseRequest {
    /// The signing key.
    pub key: KeyId,
    /// One for each use, however often the request is repeated.
    pub idempotency_key: Uuid,
    /// What is to be done.
    pub operation: Operation,
    /// What the workstation says of it. Recorded, and no part of what the idempotency key is bound to.
    pub context: UseContext,
}

/// What a request is answered.
#[derive(Debug, Clone)]
pub enum UseAnswer {
    /// The key was used.
    Done(UseResponse),
    /// The request waits for people.
    Waits(Box<WaitingUse>),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct UseResponse {
    /// The request that used the key: for a repetition the first one.
    pub request_id: RequestId,
    /// What the key made.
    pub output: Output,
}

/// What a key made.
#[derive(Debug, Clone)]
pub enum Output {
    /// A signature.
    Signature(Vec<u8>),
    /// A decrypted secret.
    Plaintext(Plaintext),
}

impl UseResponse {
    /// The bytes that the key made. The allocator wipes them when they are freed.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        match self.output {
            Output::Signature(signature) => signature,
            Output::Plaintext(mut plaintext) => std::mem::take(&mut plaintext.0),
        }
    }
}

impl UseRequest {
    /// What the request is decided from.
    pub(super) const fn query(&self, caller: &Caller) -> FactsQuery {
        let target = Target::Key(self.key, component_role(&self.operation));
        FactsQuery { token: caller.token, target }
    }

    /// The row of the request. `node` is the run of this server.
    pub(super) fn arrived(&self, caller: &Caller, node: Uuid) -> NewRequest {
        NewRequest {
            id: caller.request_id,
            principal: caller.principal,
            grant: caller.grant,
            idempotency_key: self.idempotency_key,
            key: self.key,
            operation: self.operation.name(),
            input_sha256: idempotent_input(&self.operation),
            node,
        }
    }
}

/// What an idempotency key is bound to besides key and operation: the input and, where there is one, its hash
/// algorithm.
fn idempotent_input(operation: &Operation) -> [u8; 32] {
    let mut bound = Vec::with_capacity(128);
    let input = operation.input();
    if let Input::Digest(hash, _) = input {
        bound.extend_from_slice(hash.name().as_bytes());
        bound.push(0);
    }
    bound.extend_from_slice(input.bytes());
    sha256(&bound)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
