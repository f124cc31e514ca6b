//! Permits for the uses of one signer's keys: fair by the signer's time.
//!
//! A permit is granted while the signer has little to do, so that its queues, which are first in, first out, stay
//! short: a signature waits behind a few others at most, however many of them one principal wants.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sealcard_api::{algorithm::ComponentAlgorithm, ids::PrincipalId};

use crate::{
    limiter::{Bound, Busy, FairLimiter, Limits, Occupancy, Permit},
    limits,
};

/// Uses that take about the same time: of keys of one algorithm, for one operation.
pub type UseKind = (ComponentAlgorithm, &'static str);

/// The permits for uses of one signer's keys.
pub(super) struct Uses {
    limiter: FairLimiter<PrincipalId>,
    estimates: Arc<Estimates>,
}

/// The right to use a key once.
#[derive(Debug)]
pub struct UsePermit {
    permit: Permit<PrincipalId>,
    kind: UseKind,
    estimates: Arc<Estimates>,
}

impl Uses {
    pub(super) fn of_a_store() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let window = limits::USES_WINDOW_PER_PROCESSOR
            .saturating_mul(u32::try_from(processors).unwrap_or(u32::MAX))
            .max(limits::USES_WINDOW);
        let at_any_cost = (limits::STORE_USES_PER_PROCESSOR * processors).min(limits::STORE_USES);
        Self::new(Bound { at_once: limits::STORE_USES, at_any_cost, window })
    }

    pub(super) fn of_a_token() -> Self {
        Self::new(Bound {
            at_once: limits::TOKEN_USES,
            at_any_cost: limits::TOKEN_USES_AT_ANY_COST,
            window: limits::USES_WINDOW,
        })
    }

    pub(super) fn new(all: Bound) -> Self {
        let limits = Limits { all, of_one: of_one(all), waiting_of_one: limits::WAITING_USES };
        Self { limiter: FairLimiter::new(limits, limits::USE_WAIT), estimates: Arc::default() }
    }

    /// Waits until the signer can take one more use from this principal.
    pub(super) async fn permit(&self, principal: PrincipalId, kind: UseKind) -> Result<UsePermit, Busy> {
        let mut permit = self.limiter.permit(principal, self.estimates.get(kind)).await?;
        // Until the signer is asked it does nothing.
        permit.charge(Duration::ZERO);
        Ok(UsePermit { permit, kind, estimates: Arc::clone(&self.estimates) })
    }

    /// How much the signer has to do.
    pub(super) fn occupancy(&self) -> Occupancy {
        self.limiter.occupancy()
    }

    #[cfg(test)]
    pub(super) fn in_progress(&self) -> usize {
        self.limiter.sizes().0
    }
}

/// One principal has three in four, so that another one finds a permit at once.
fn of_one(all: Bound) -> Bound {
    let part = |all: usize| all - all / 4;
    Bound {
        at_once: part(all.at_once),
        at_any_cost: part(all.at_any_cost),
        window: all.window.saturating_sub(all.window / 4),
    }
}

impl UsePermit {
    /// The signer has the use, and may take as long as others of its kind.
    pub(super) fn asked(&mut self) {
        self.permit.charge(self.estimates.get(self.kind));
    }

    /// The signer has answered. `done` says whether the key was used to the end: what fails early must not make others
    /// of its kind look cheap.
    pub(super) fn answered(mut self, spent: Duration, done: bool) {
        self.estimates.learn(self.kind, spent, done);
        self.permit.charge(spent);
    }
}

/// Moving averages of what uses take.
#[derive(Debug, Default)]
struct Estimates(Mutex<HashMap<UseKind, Duration>>);

impl Estimates {
    fn get(&self, kind: UseKind) -> Duration {
        let estimates = self.0.lock();
        estimates.get(&kind).copied().unwrap_or(limits::USE_ESTIMATE)
    }

    fn learn(&self, kind: UseKind, spent: Duration, done: bool) {
        let mut estimates = self.0.lock();
        let estimate = estimates.entry(kind).or_insert(limits::USE_ESTIMATE);
        if done || spent > *estimate {
            *estimate = (*estimate * 7 + spent.min(limits::USE_WAIT)) / 8;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KIND: UseKind = (ComponentAlgorithm::EddsaEd25519, "sign");
    const OTHER: UseKind = (ComponentAlgorithm::Rsa4096, "sign");

    #[test]
    fn estimate_follows_what_uses_take_and_not_what_fails_early() {
        let estimates = Estimates::default();
        assert_eq!(estimates.get(KIND), limits::USE_ESTIMATE);
        let fast = Duration::from_micros(30);
        (0..100).for_each(|_| estimates.learn(KIND, fast, true));
        assert!(estimates.get(KIND) < fast * 2, "{:?}", estimates.get(KIND));
        let slow = Duration::from_millis(4);
        (0..100).for_each(|_| estimates.learn(OTHER, slow, true));
        let learnt = estimates.get(OTHER);
        assert!(learnt > slow * 9 / 10, "{learnt:?}");
        (0..100).for_each(|_| estimates.learn(OTHER, fast, false));
        assert_eq!(estimates.get(OTHER), learnt);
        (0..100).for_each(|_| estimates.learn(KIND, slow, false));
        assert!(estimates.get(KIND) > slow / 2, "what fails late is as expensive");
    }

    #[tokio::test]
    async fn cheap_uses_are_many_at_once_and_expensive_ones_few() {
        let uses = Uses::new(Bound { at_once: 512, at_any_cost: 8, window: limits::USES_WINDOW });
        let many = async |kind: UseKind, spent: Duration| {
            for _ in 0..100 {
                uses.permit(PrincipalId::new(), kind).await.unwrap().answered(spent, true);
            }
            let principal = PrincipalId::new();
            let mut permits = Vec::new();
            let next = async || tokio::time::timeout(Duration::from_millis(20), uses.permit(principal, kind)).await;
            while let Ok(Ok(permit)) = next().await {
                permits.push(permit);
            }
            permits.len()
        };
        let cheap = many(KIND, Duration::from_micros(30)).await;
        assert!(cheap >= 128, "as many as the journal writes together: {cheap}");
        assert_eq!(many(OTHER, Duration::from_millis(4)).await, 6);
    }
}
