//! Work on keys that takes seconds: making, importing, adopting, revoking, destroying them.

use std::{future::Future, sync::Arc};

use tokio::sync::Semaphore;

use super::{ApiError, ApiResult};

/// How much of it is done at once, so that nobody can fill the signer's queue or the threads that check passwords with it.
const AT_ONCE: usize = 4;

/// Takes turns.
#[derive(Debug, Clone)]
pub struct KeyWork(Arc<Semaphore>);

impl Default for KeyWork {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl KeyWork {
    /// Does the work when it is its turn. It goes on when the caller hangs up: what it makes is there as a whole or not at
    /// all, never half noted. Who hangs up before its turn has begun nothing.
    ///
    /// # Errors
    /// The work's own.
    pub async fn carry_out<T, E>(&self, work: impl Future<Output = Result<T, E>> + Send + 'static) -> ApiResult<T>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(|error| ApiError::internal(&error))?;
        let task = tokio::spawn(async move {
            let result = work.await;
            drop(turn);
            result
        });
        task.await.map_err(|error| ApiError::internal(&error))?.map_err(Into::into)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::{sync::watch, time::timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_has_its_turn_goes_on_without_its_caller_and_what_has_none_never_begins() {
        let work = KeyWork::default();
        let (go, begun, done) =
            (watch::Sender::new(false), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let one = || {
            let (mut gone, begun, done) = (go.subscribe(), Arc::clone(&begun), Arc::clone(&done));
            work.carry_out(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gone.wait_for(|gone| *gone).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<_, ApiError>(())
            })
        };
        for _ in 0..AT_ONCE + 3 {
            assert!(timeout(SHORT, one()).await.is_err(), "the caller gives up");
        }
        assert_eq!(begun.load(Ordering::SeqCst), AT_ONCE);
        go.send(true).unwrap();
        one().await.unwrap();
        while done.load(Ordering::SeqCst) < AT_ONCE + 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), AT_ONCE + 1);
    }
}
