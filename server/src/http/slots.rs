//! How many requests are worked on at once.
//!
//! A request has a slot while it is worked on, and gives it back while it waits for its body: a slow sender keeps
//! nobody else out. A use of a key has none any more once its body is there: the limiter of its signer counts it from
//! then on. Some slots are kept for everything but the use of keys, so that administrators can act while many sign.

use std::sync::Arc;

use parking_lot::Mutex;
use sealcard_api::problem::ProblemCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ApiError;
use crate::limits;

/// All slots of a server.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    general: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(all: usize) -> Self {
        let kept = all / limits::RESERVED_SLOTS;
        Self { general: Arc::new(Semaphore::new(all - kept)), kept: Arc::new(Semaphore::new(kept)) }
    }

    /// A slot for a request for this path.
    ///
    /// # Errors
    /// [`ProblemCode::Overloaded`] if there is none.
    pub(super) fn enter(&self, path: &str) -> Result<Slot, ApiError> {
        let slot = Slot { slots: self.clone(), uses_key: uses_key(path), permit: Mutex::default() };
        slot.enter().map(|()| slot)
    }

    fn permit(&self, uses_key: bool) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.general).try_acquire_owned().ok();
        permit.or_else(|| if uses_key { None } else { Arc::clone(&self.kept).try_acquire_owned().ok() })
    }
}

/// The slot of one request.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    uses_key: bool,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Slot {
    /// Gives the slot back for a time.
    pub(super) fn leave(&self) {
        self.permit.lock().take();
    }

    /// The body is there. A use of a key needs no slot any more; others take one unless they have it.
    ///
    /// # Errors
    /// [`ProblemCode::Overloaded`] if there is none.
    pub(super) fn body_read(&self) -> Result<(), ApiError> {
        if self.uses_key {
            self.leave();
            return Ok(());
        }
        self.enter()
    }

    fn enter(&self) -> Result<(), ApiError> {
        let mut permit = self.permit.lock();
        if permit.is_none() {
            *permit = Some(self.slots.permit(self.uses_key).ok_or_else(overloaded)?);
        }
        Ok(())
    }
}

fn overloaded() -> ApiError {
    ApiError::new(ProblemCode::Overloaded)
        .detail("The server has too many requests at once. Try again in a second.")
        .retry_after(1)
}

/// Whether it is the path of a use of a key.
fn uses_key(path: &str) -> bool {
    path.strip_prefix("/v1/keys/")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, operation)| matches!(operation, "sign" | "sign-batch" | "authenticate" | "decrypt"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn some_slots_are_kept_for_everything_but_the_use_of_keys() {
        let slots = Slots::new(16);
        let uses: Vec<_> = std::iter::from_fn(|| slots.enter("/v1/keys/a/sign").ok()).collect();
        assert_eq!(uses.len(), 14);
        let others: Vec<_> = std::iter::from_fn(|| slots.enter("/v1/users").ok()).collect();
        assert_eq!(others.len(), 2);
    }

    #[test]
    fn slot_is_free_while_its_request_waits() {
        let slots = Slots::new(1);
        let one = slots.enter("/v1/login").unwrap();
        assert!(slots.enter("/v1/login").is_err());
        one.leave();
        let other = slots.enter("/v1/login").unwrap();
        assert!(one.body_read().is_err());
        drop(other);
        one.body_read().unwrap();
        one.body_read().unwrap();
        assert!(slots.enter("/v1/login").is_err());
    }

    #[test]
    fn use_of_a_key_has_no_slot_after_its_body() {
        let slots = Slots::new(8);
        let mut uses = Vec::new();
        for _ in 0..100 {
            let slot = slots.enter("/v1/keys/a/decrypt").unwrap();
            slot.body_read().unwrap();
            uses.push(slot);
        }
        assert!(slots.enter("/v1/users").is_ok());
    }
}
