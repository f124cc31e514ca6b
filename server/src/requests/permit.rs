//! A place in the signer's queue, taken before anything is recorded as begun.

use std::sync::Arc;

use sealcard_signer_protocol::Operation;

use super::Requests;
use crate::{
    authn::Caller,
    limiter::Busy,
    signers::{Signer, UsePermit},
    storage::Facts,
};

/// Whether a signer can take the use.
pub(super) enum Permit {
    Granted(Arc<Signer>, UsePermit),
    /// Not now.
    Busy,
    /// The requester may not use the key, so none was taken.
    NotAllowed,
    /// The key, or its environment, has no signer here.
    NoSigner,
}

impl Requests {
    /// The signer's permit, before anything is recorded as begun.
    pub(super) async fn permit(
        &self,
        caller: &Caller,
        operation: &Operation,
        facts: Option<&Facts>,
        allowed: bool,
    ) -> Permit {
        let key = facts.and_then(|facts| facts.key.as_ref());
        let component = key.and_then(|key| Some((key.environment, key.component.as_ref()?.key.algorithm)));
        let signer = component.and_then(|(environment, algorithm)| Some((self.signers.get(environment)?, algorithm)));
        let Some((signer, algorithm)) = signer else { return Permit::NoSigner };
        if !allowed {
            return Permit::NotAllowed;
        }
        match signer.permit(caller.principal, (algorithm, operation.name())).await {
            Ok(permit) => Permit::Granted(signer, permit),
            Err(Busy) => Permit::Busy,
        }
    }
}
