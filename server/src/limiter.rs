//! The one limiter: how much is in progress at once, and whose turn it is.
//!
//! It is fair by the time that is used, not by the number of permits: a party whose work takes a hundred times as long
//! gets a hundredth of the permits while others wait.

mod scheduler;

use std::{
    fmt::Debug,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

pub(crate) use scheduler::{Bound, Limits};
use scheduler::{Granted, Scheduler};

/// What tells the parties apart that share a service.
pub trait Key: Clone + Debug + Eq + Hash + Send + 'static {}

impl<T: Clone + Debug + Eq + Hash + Send + 'static> Key for T {}

/// There is no permit: too many of this party wait already, or it took too long. Retrying helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much waits already")]
pub struct Busy;

/// How much there is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Permits that are given.
    pub in_progress: usize,
    /// Waiters for a permit.
    pub waiting: usize,
}

/// Gives out permits, in turn for all who wait. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct FairLimiter<K: Key>(Arc<Shared<K>>);

#[derive(Debug)]
struct Shared<K: Key> {
    scheduler: Mutex<Scheduler<K, oneshot::Sender<Permit<K>>>>,
    patience: Duration,
}

impl<K: Key> FairLimiter<K> {
    /// `patience` is how long a permit is waited for.
    #[must_use]
    pub(crate) fn new(limits: Limits, patience: Duration) -> Self {
        Self(Arc::new(Shared { scheduler: Mutex::new(Scheduler::new(limits)), patience }))
    }

    /// Waits for a permit for work that will probably take `estimate`.
    ///
    /// # Errors
    /// [`Busy`], at once if too many of this party wait.
    pub(crate) async fn permit(&self, key: K, estimate: Duration) -> Result<Permit<K>, Busy> {
        let (waiter, granted) = oneshot::channel();
        let ticket = self.0.scheduler.lock().wait(&key, estimate, waiter).ok_or(Busy)?;
        let _in_line = InLine { shared: &self.0, key, ticket };
        self.0.grant();
        match timeout(self.0.patience, granted).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Busy),
        }
    }

    /// How many permits are given, and how many waiters there are.
    pub(crate) fn occupancy(&self) -> Occupancy {
        self.0.scheduler.lock().occupancy()
    }

    /// How many permits are given, and how many parties are remembered.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        self.0.scheduler.lock().sizes()
    }
}

impl<K: Key> Shared<K> {
    /// Gives out all permits that can be given now.
    fn grant(self: &Arc<Self>) {
        loop {
            let next = self.scheduler.lock().grant();
            let Some(Granted { key, estimate, waiter }) = next else { return };
            let permit = Permit { shared: Arc::clone(self), key, estimate, since: Instant::now(), cost: None };
            // Without anybody who waits for it, it is dropped, and thereby given back.
            let _ = waiter.send(permit);
        }
    }
}

/// Leaves the line when it is dropped.
struct InLine<'a, K: Key> {
    shared: &'a Arc<Shared<K>>,
    key: K,
    ticket: u64,
}

impl<K: Key> Drop for InLine<'_, K> {
    fn drop(&mut self) {
        self.shared.scheduler.lock().leave(&self.key, self.ticket);
        self.shared.grant();
    }
}

/// The right to do one thing. It is given back when it is dropped, and costs the time since it was granted unless
/// [`Self::charge`] says otherwise.
#[derive(Debug)]
pub struct Permit<K: Key> {
    shared: Arc<Shared<K>>,
    key: K,
    estimate: Duration,
    since: Instant,
    cost: Option<Duration>,
}

impl<K: Key> Permit<K> {
    /// Says what the work has cost.
    pub fn charge(&mut self, cost: Duration) {
        self.cost = Some(cost);
    }
}

impl<K: Key> Drop for Permit<K> {
    fn drop(&mut self) {
        let cost = self.cost.unwrap_or_else(|| self.since.elapsed());
        self.shared.scheduler.lock().finish(&self.key, self.estimate, cost);
        self.shared.grant();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn limiter(all: usize, of_one: usize, waiting_of_one: usize, patience: Duration) -> FairLimiter<u8> {
        FairLimiter::new(Limits { all: Bound::count(all), of_one: Bound::count(of_one), waiting_of_one }, patience)
    }

    #[tokio::test]
    async fn one_party_leaves_permits_for_others() {
        let limiter = limiter(8, 6, 1, SHORT);
        let mut taken = Vec::new();
        while let Ok(permit) = limiter.permit(1, SHORT).await {
            taken.push(permit);
        }
        assert_eq!(taken.len(), 6);
        let others = [limiter.permit(2, SHORT).await.unwrap(), limiter.permit(2, SHORT).await.unwrap()];
        assert_eq!(limiter.permit(2, SHORT).await.err(), Some(Busy), "all are taken");
        assert_eq!(limiter.occupancy(), Occupancy { in_progress: 8, waiting: 0 });
        drop(others);
        assert_eq!(limiter.permit(1, SHORT).await.err(), Some(Busy));
        taken.pop();
        assert!(limiter.permit(1, SHORT).await.is_ok());
    }

    #[tokio::test]
    async fn permit_goes_to_who_waits_and_idle_parties_are_forgotten() {
        let limiter = limiter(1, 1, 1, LONG);
        let first = limiter.permit(1, SHORT).await.unwrap();
        let (waited, ()) = tokio::join!(limiter.permit(2, SHORT), async {
            tokio::time::sleep(SHORT).await;
            drop(first);
        });
        drop(waited.unwrap());
        assert_eq!(limiter.sizes(), (0, 0));
    }

    #[tokio::test]
    async fn waiter_that_gives_up_leaves_its_place_and_a_permit_on_its_way() {
        let limiter = limiter(1, 1, 1, LONG);
        let held = limiter.permit(1, SHORT).await.unwrap();
        let mut waiting = Box::pin(limiter.permit(2, SHORT));
        assert!(timeout(SHORT, &mut waiting).await.is_err());
        assert_eq!(limiter.occupancy(), Occupancy { in_progress: 1, waiting: 1 });
        assert_eq!(limiter.permit(2, SHORT).await.err(), Some(Busy), "one waits already");
        // Granted, and dropped before anybody has taken it.
        drop(held);
        assert_eq!(limiter.sizes().0, 1);
        drop(waiting);
        assert_eq!(limiter.sizes(), (0, 0));
        let _held = limiter.permit(1, SHORT).await.unwrap();
        assert!(timeout(SHORT, limiter.permit(2, SHORT)).await.is_err());
        assert!(timeout(SHORT, limiter.permit(2, SHORT)).await.is_err(), "its place is free again");
    }

    #[tokio::test]
    async fn cheap_work_of_one_party_does_not_wait_for_all_expensive_work_of_another() {
        let limiter = limiter(1, 1, 1000, LONG);
        let held = limiter.permit(0, SHORT).await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..100 {
            let limiter = limiter.clone();
            tasks.spawn(async move {
                let mut permit = limiter.permit(1, Duration::from_secs(1)).await.unwrap();
                permit.charge(Duration::from_secs(1));
                1
            });
        }
        while limiter.0.scheduler.lock().sizes().1 < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            let limiter = limiter.clone();
            tasks.spawn(async move {
                let mut permit = limiter.permit(2, Duration::from_millis(1)).await.unwrap();
                permit.charge(Duration::from_millis(1));
                2
            });
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(held);
        let order = tasks.join_all_in_order().await;
        assert!(order.iter().take(102).filter(|party| **party == 2).count() == 100, "{order:?}");
    }

    trait JoinInOrder {
        async fn join_all_in_order(&mut self) -> Vec<u8>;
    }

    impl JoinInOrder for JoinSet<u8> {
        async fn join_all_in_order(&mut self) -> Vec<u8> {
            let mut order = Vec::new();
            while let Some(party) = self.join_next().await {
                order.push(party.unwrap());
            }
            order
        }
    }
}
