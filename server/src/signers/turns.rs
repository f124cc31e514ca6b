//! Turns in the queue of one signer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealcard_api::ids::PrincipalId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// So many uses of keys at once, of which one principal has three in four at most: what takes long, such as decryptions that
/// fail and are answered late, keeps nobody else from signing, unless several do it together.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    own: Mutex<HashMap<PrincipalId, Arc<Semaphore>>>,
}

/// How many of so many one principal has.
pub(super) const fn of_one(all: usize) -> usize {
    all - all / 4
}

/// A place among the uses that a signer has, given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    pub(super) fn new(all: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one: of_one(all), own: Mutex::default() }
    }

    /// The principal's next turn; nothing if that takes too long.
    pub(super) async fn next(&self, principal: PrincipalId, patience: Duration) -> Option<Turn> {
        let own = self.own(principal);
        let turn = async {
            Some(Turn {
                _own: own.acquire_owned().await.ok()?,
                _of_all: Arc::clone(&self.all).acquire_owned().await.ok()?,
            })
        };
        timeout(patience, turn).await.ok()?
    }

    fn own(&self, principal: PrincipalId) -> Arc<Semaphore> {
        // Whole after a panic: one that is missing is made anew.
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = own.get(&principal) {
            return Arc::clone(own);
        }
        // Whoever has a turn, or waits for one, holds it.
        own.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        Arc::clone(own.entry(principal).or_insert_with(|| Arc::new(Semaphore::new(self.of_one))))
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.all.available_permits()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn one_principal_leaves_turns_for_others() {
        let turns = Turns::new(8);
        let (greedy, other) = (PrincipalId::new(), PrincipalId::new());
        let mut taken = Vec::new();
        while let Some(turn) = turns.next(greedy, SHORT).await {
            taken.push(turn);
        }
        assert_eq!(taken.len(), 6);
        let others = [turns.next(other, SHORT).await.unwrap(), turns.next(other, SHORT).await.unwrap()];
        assert!(turns.next(other, SHORT).await.is_none(), "all are taken");
        drop(others);
        assert!(turns.next(greedy, SHORT).await.is_none());
        taken.pop();
        assert!(turns.next(greedy, SHORT).await.is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_given_back_and_who_is_gone_is_forgotten() {
        let turns = Turns::new(1);
        let first = turns.next(PrincipalId::new(), SHORT).await.unwrap();
        let second = PrincipalId::new();
        let (waited, ()) = tokio::join!(turns.next(second, Duration::from_secs(60)), async {
            tokio::time::sleep(SHORT).await;
            drop(first);
        });
        assert!(waited.is_some());
        drop(waited);
        drop(turns.next(PrincipalId::new(), SHORT).await.unwrap());
        assert_eq!(turns.own.lock().unwrap().len(), 1);
        assert_eq!(turns.left(), 1);
    }
}
