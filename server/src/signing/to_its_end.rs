//! Work that is brought to its end, whether or not somebody waits for it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Done where it is waited for, and in a task of its own once nobody does any more. A task from the start would wake
/// another thread of the runtime for each use. The error says that the work panicked.
pub(super) struct ToItsEnd<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T: Send + 'static> ToItsEnd<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)) }
    }
}

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let result = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(_) => Err(Panicked),
        };
        self.work = None;
        Poll::Ready(result)
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        // Without a runtime the server has ended.
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// The work panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work failed inside the server")]
pub(super) struct Panicked;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn what_is_given_up_while_it_waits_goes_on() {
        let (go, gone_on) = oneshot::channel::<()>();
        let (done, heard) = oneshot::channel();
        let work = ToItsEnd::new(async move {
            gone_on.await.unwrap();
            done.send(7).unwrap();
        });
        assert!(timeout(Duration::from_millis(1), work).await.is_err());
        go.send(()).unwrap();
        assert_eq!(heard.await, Ok(7));
    }

    #[tokio::test]
    async fn what_nobody_has_begun_to_wait_for_is_done_too() {
        let (done, heard) = oneshot::channel();
        drop(ToItsEnd::new(async move { done.send(7).unwrap() }));
        assert_eq!(heard.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_what_is_done_is_done_once() {
        assert_eq!(ToItsEnd::new(async { 7 }).await, Ok(7));
        assert_eq!(ToItsEnd::<()>::new(async { panic!("on purpose") }).await, Err(Panicked));
    }

    #[test]
    fn without_a_runtime_it_is_given_up() {
        drop(ToItsEnd::new(async {}));
    }
}
