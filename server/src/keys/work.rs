//! Work on keys that takes seconds: making, importing, adopting, revoking, destroying them.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sealcard_api::ids::{EnvironmentId, PrincipalId};

use super::KeyError;
use crate::{
    limiter::{Bound, Busy, FairLimiter, Limits},
    limits,
};

/// What is done with keys. One kind does not wait for the other: a key can be revoked while others are being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyTask {
    /// A key is created, imported, adopted or extended.
    Making,
    /// A key's use ends.
    Ending,
}

/// Limits the work on keys, for each environment and kind.
#[derive(Debug, Clone)]
pub(super) struct KeyWork {
    limiters: Arc<Mutex<Limiters>>,
    patience: Duration,
}

type Limiters = HashMap<(EnvironmentId, KeyTask), FairLimiter<PrincipalId>>;

impl Default for KeyWork {
    fn default() -> Self {
        Self { limiters: Arc::default(), patience: limits::KEY_WORK_WAIT }
    }
}

impl KeyWork {
    /// Does the work in its environment when there is a permit. It goes on when the caller hangs up: what it makes is
    /// there as a whole or not at all, never half noted. A caller that hangs up before has begun nothing.
    ///
    /// # Errors
    /// The work's own; [`KeyError::Busy`] if there is no permit in time, or too many of this principal wait.
    pub(super) async fn carry_out<T: Send + 'static>(
        &self,
        (environment, task, principal): (EnvironmentId, KeyTask, PrincipalId),
        work: impl Future<Output = Result<T, KeyError>> + Send + 'static,
    ) -> Result<T, KeyError> {
        let limiter = self.limiter(environment, task);
        let permit = limiter.permit(principal, limits::KEY_WORK_ESTIMATE).await;
        let permit = permit.map_err(|Busy| KeyError::Busy)?;
        let running = tokio::spawn(async move {
            let result = work.await;
            drop(permit);
            result
        });
        running.await.map_err(|error| KeyError::Fault(error.to_string()))?
    }

    fn limiter(&self, environment: EnvironmentId, task: KeyTask) -> FairLimiter<PrincipalId> {
        let mut limiters = self.limiters.lock();
        let new = || {
            let limits = Limits {
                all: Bound::count(limits::KEY_WORK_CONCURRENCY),
                of_one: Bound::count(limits::KEY_WORK_OF_ONE),
                waiting_of_one: limits::WAITING_KEY_WORK,
            };
            FairLimiter::new(limits, self.patience)
        };
        limiters.entry((environment, task)).or_insert_with(new).clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{sync::watch, task::JoinSet, time::timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const DEADLINE: Duration = Duration::from_secs(10);

    /// Work that lasts until it is told to end.
    struct Bench {
        work: KeyWork,
        go: watch::Sender<bool>,
        begun: Arc<AtomicUsize>,
        done: Arc<AtomicUsize>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                work: KeyWork::default(),
                go: watch::Sender::new(false),
                begun: Arc::default(),
                done: Arc::default(),
            }
        }

        async fn one(&self, environment: EnvironmentId, task: KeyTask, principal: PrincipalId) -> Result<(), KeyError> {
            let (mut gone, begun, done) = (self.go.subscribe(), Arc::clone(&self.begun), Arc::clone(&self.done));
            let work = async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gone.wait_for(|gone| *gone).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<_, KeyError>(())
            };
            self.work.carry_out((environment, task, principal), work).await
        }

        async fn all_done(&self, number: usize) {
            let all = async {
                while self.done.load(Ordering::SeqCst) < number {
                    tokio::task::yield_now().await;
                }
                // Then they give back their permits.
                tokio::task::yield_now().await;
            };
            timeout(DEADLINE, all).await.unwrap();
        }

        /// A caller that gives up soon. Whether its work had begun.
        async fn gives_up(&self, environment: EnvironmentId, task: KeyTask, principal: PrincipalId) -> bool {
            let before = self.begun.load(Ordering::SeqCst);
            assert!(timeout(SHORT, self.one(environment, task, principal)).await.is_err());
            self.begun.load(Ordering::SeqCst) > before
        }
    }

    #[tokio::test]
    async fn work_with_a_permit_goes_on_without_its_caller() {
        let bench = Bench::new();
        let environment = EnvironmentId::new();
        for n in 0..limits::KEY_WORK_CONCURRENCY + 3 {
            assert_eq!(
                bench.gives_up(environment, KeyTask::Making, PrincipalId::new()).await,
                n < limits::KEY_WORK_CONCURRENCY
            );
        }
        bench.go.send(true).unwrap();
        bench.one(environment, KeyTask::Making, PrincipalId::new()).await.unwrap();
        bench.all_done(limits::KEY_WORK_CONCURRENCY + 1).await;
        assert_eq!(bench.begun.load(Ordering::SeqCst), limits::KEY_WORK_CONCURRENCY + 1);
    }

    #[tokio::test]
    async fn only_a_few_requests_of_one_principal_wait() {
        let bench = Arc::new(Bench::new());
        let (environment, principal) = (EnvironmentId::new(), PrincipalId::new());
        let mut callers = JoinSet::new();
        for _ in 0..limits::KEY_WORK_OF_ONE + limits::WAITING_KEY_WORK + 1 {
            let bench = Arc::clone(&bench);
            callers.spawn(async move { bench.one(environment, KeyTask::Making, principal).await });
        }
        let refused = timeout(DEADLINE, callers.join_next()).await.unwrap().unwrap().unwrap().unwrap_err();
        assert!(matches!(refused, KeyError::Busy), "{refused:?}");
        bench.go.send(true).unwrap();
        assert!(callers.join_all().await.into_iter().all(|done| done.is_ok()));
    }

    #[tokio::test]
    async fn one_principal_environment_or_kind_leaves_room_for_others() {
        let bench = Bench::new();
        let (environment, busy) = (EnvironmentId::new(), PrincipalId::new());
        for n in 0..limits::KEY_WORK_CONCURRENCY {
            assert_eq!(bench.gives_up(environment, KeyTask::Making, busy).await, n < limits::KEY_WORK_OF_ONE);
        }
        assert!(bench.gives_up(environment, KeyTask::Ending, busy).await);
        assert!(bench.gives_up(EnvironmentId::new(), KeyTask::Making, busy).await);
        assert!(bench.gives_up(environment, KeyTask::Making, PrincipalId::new()).await);
    }

    #[tokio::test]
    async fn request_without_a_permit_is_refused_after_its_patience() {
        let mut bench = Bench::new();
        bench.work.patience = SHORT * 3;
        let (environment, principal) = (EnvironmentId::new(), PrincipalId::new());
        for _ in 0..limits::KEY_WORK_OF_ONE {
            assert!(bench.gives_up(environment, KeyTask::Ending, principal).await);
        }
        let refused = bench.one(environment, KeyTask::Ending, principal).await.unwrap_err();
        assert!(matches!(refused, KeyError::Busy), "{refused:?}");
        assert_eq!(bench.work.limiter(environment, KeyTask::Ending).sizes(), (limits::KEY_WORK_OF_ONE, 1));
        bench.go.send(true).unwrap();
        bench.all_done(limits::KEY_WORK_OF_ONE).await;
        assert_eq!(bench.work.limiter(environment, KeyTask::Ending).sizes(), (0, 0));
    }
}
