//! Work on keys that takes seconds: making, importing, adopting, revoking, destroying them.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealcard_api::{
    ids::{EnvironmentId, PrincipalId},
    problem::ProblemCode,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{ApiError, ApiResult};

/// How much work of one kind is done at once in one environment, so that nobody can fill the signer's queue with it, or the
/// threads that check passwords.
const AT_ONCE: usize = 4;

/// How much of that one principal may have, so that others have their turn.
const OF_ONE: usize = 2;

/// How many more requests of one principal wait.
const WAITING: usize = 8;

/// How long a request waits for its turn: much less than the time that it is given, so that what it begins can be answered.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done with keys. One kind does not wait for the other: a key can be revoked while others are being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyTask {
    /// A key comes to be here.
    Making,
    /// A key's use ends.
    Ending,
}

/// Who waits for one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Line {
    environment: EnvironmentId,
    task: KeyTask,
    /// One principal's own line, in which its requests wait before they come to the one of all.
    of: Option<PrincipalId>,
}

/// The turns of the work on keys.
#[derive(Debug, Clone)]
pub struct KeyWork {
    lines: Arc<Mutex<HashMap<Line, Arc<Semaphore>>>>,
    patience: Duration,
}

impl Default for KeyWork {
    fn default() -> Self {
        Self { lines: Arc::default(), patience: PATIENCE }
    }
}

impl KeyWork {
    /// Does the work in its environment when it is its turn. It goes on when the caller hangs up: what it makes is there as a
    /// whole or not at all, never half noted. Who hangs up before its turn has begun nothing.
    ///
    /// # Errors
    /// The work's own; [`ProblemCode::Overloaded`] if its turn does not come, or too many of this principal wait.
    pub async fn carry_out<T, E>(
        &self,
        (environment, task, principal): (EnvironmentId, KeyTask, PrincipalId),
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> ApiResult<T>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let turn = async {
            let own = self.turn(Line { environment, task, of: Some(principal) }).await?;
            let of_all = self.turn(Line { environment, task, of: None }).await?;
            Ok((own, of_all))
        };
        let turn = timeout(self.patience, turn).await.unwrap_or_else(|_| Err(busy()))?;
        let running = tokio::spawn(async move {
            let result = work.await;
            drop(turn);
            result
        });
        running.await.map_err(|error| ApiError::internal(&error))?.map_err(Into::into)
    }

    async fn turn(&self, line: Line) -> ApiResult<OwnedSemaphorePermit> {
        let semaphore = {
            // Whole after a panic: a line that is missing is made anew.
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has a turn or waits for it holds its line.
            lines.retain(|other, semaphore| *other == line || Arc::strong_count(semaphore) > 1);
            let size = if line.of.is_some() { OF_ONE } else { AT_ONCE };
            let semaphore = lines.entry(line).or_insert_with(|| Arc::new(Semaphore::new(size)));
            // Each of them, beside the one in the map, keeps a place among all requests that the server works on.
            if line.of.is_some() && Arc::strong_count(semaphore) > OF_ONE + WAITING {
                return Err(busy());
            }
            Arc::clone(semaphore)
        };
        semaphore.acquire_owned().await.map_err(|error| ApiError::internal(&error))
    }
}

fn busy() -> ApiError {
    let detail = "The key store is busy with other keys, so nothing was done. Try again in a moment.";
    ApiError::new(ProblemCode::Overloaded).detail(detail).retry_after(10)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{sync::watch, task::JoinSet};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const DEADLINE: Duration = Duration::from_secs(10);

    /// Work that lasts until it is told to end.
    struct Bench {
        turns: KeyWork,
        go: watch::Sender<bool>,
        begun: Arc<AtomicUsize>,
        done: Arc<AtomicUsize>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                turns: KeyWork::default(),
                go: watch::Sender::new(false),
                begun: Arc::default(),
                done: Arc::default(),
            }
        }

        async fn one(&self, environment: EnvironmentId, task: KeyTask, principal: PrincipalId) -> ApiResult<()> {
            let (mut gone, begun, done) = (self.go.subscribe(), Arc::clone(&self.begun), Arc::clone(&self.done));
            let work = async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gone.wait_for(|gone| *gone).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<_, ApiError>(())
            };
            self.turns.carry_out((environment, task, principal), work).await
        }

        async fn all_done(&self, number: usize) {
            let all = async {
                while self.done.load(Ordering::SeqCst) < number {
                    tokio::task::yield_now().await;
                }
                // Then they give back their turns.
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
    async fn what_has_its_turn_goes_on_without_its_caller_and_what_has_none_never_begins() {
        let bench = Bench::new();
        let environment = EnvironmentId::new();
        for n in 0..AT_ONCE + 3 {
            assert_eq!(bench.gives_up(environment, KeyTask::Making, PrincipalId::new()).await, n < AT_ONCE);
        }
        bench.go.send(true).unwrap();
        bench.one(environment, KeyTask::Making, PrincipalId::new()).await.unwrap();
        bench.all_done(AT_ONCE + 1).await;
        assert_eq!(bench.begun.load(Ordering::SeqCst), AT_ONCE + 1);
    }

    #[tokio::test]
    async fn of_one_principal_only_a_few_requests_wait() {
        let bench = Arc::new(Bench::new());
        let (environment, principal) = (EnvironmentId::new(), PrincipalId::new());
        let mut callers = JoinSet::new();
        for _ in 0..OF_ONE + WAITING + 1 {
            let bench = Arc::clone(&bench);
            callers.spawn(async move { bench.one(environment, KeyTask::Making, principal).await });
        }
        let refused = timeout(DEADLINE, callers.join_next()).await.unwrap().unwrap().unwrap().unwrap_err();
        assert_eq!(refused.code(), ProblemCode::Overloaded);
        bench.go.send(true).unwrap();
        assert!(callers.join_all().await.into_iter().all(|done| done.is_ok()));
    }

    #[tokio::test]
    async fn one_principal_environment_or_kind_of_work_does_not_keep_others_from_their_turn() {
        let bench = Bench::new();
        let (environment, busy) = (EnvironmentId::new(), PrincipalId::new());
        for n in 0..AT_ONCE {
            assert_eq!(bench.gives_up(environment, KeyTask::Making, busy).await, n < OF_ONE);
        }
        assert!(bench.gives_up(environment, KeyTask::Ending, busy).await);
        assert!(bench.gives_up(EnvironmentId::new(), KeyTask::Making, busy).await);
        assert!(bench.gives_up(environment, KeyTask::Making, PrincipalId::new()).await);
    }

    #[tokio::test]
    async fn a_request_whose_turn_does_not_come_is_told_so_and_lines_that_are_empty_are_forgotten() {
        let mut bench = Bench::new();
        let (environment, principal) = (EnvironmentId::new(), PrincipalId::new());
        for _ in 0..OF_ONE {
            assert!(bench.gives_up(environment, KeyTask::Ending, principal).await);
        }
        bench.turns.patience = SHORT;
        let refused = bench.one(environment, KeyTask::Ending, principal).await.unwrap_err().into_problem();
        assert_eq!((refused.code, refused.retry_after), (ProblemCode::Overloaded, Some(10)));
        assert_eq!(bench.turns.lines.lock().unwrap().len(), 2);
        bench.go.send(true).unwrap();
        bench.all_done(OF_ONE).await;
        bench.one(EnvironmentId::new(), KeyTask::Making, principal).await.unwrap();
        assert_eq!(bench.turns.lines.lock().unwrap().len(), 2, "only those of the last one");
    }
}
