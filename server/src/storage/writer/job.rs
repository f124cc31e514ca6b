//! What waits for the writer.

use std::{future::Future, pin::Pin};

use tokio::sync::oneshot;

use super::{StorageError, WriteTx};

/// What a job gives: its work on the transaction.
pub type JobFuture<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// A job with its types erased.
pub(super) trait Job: Send {
    /// Does the work; whether it succeeded.
    fn perform<'c>(&'c mut self, tx: &'c mut WriteTx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;

    /// Forgets what came of the work: it was done outside a transaction and is void.
    fn discard(&mut self);

    /// Answers the caller: with the job's result, or with why the transaction failed.
    fn finish(self: Box<Self>, failure: Option<StorageError>);
}

pub(super) struct Pending<T, E, F> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Pending<T, E, F> {
    pub(super) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (answer, answered) = oneshot::channel();
        (Self { work: Some(work), result: None, answer }, answered)
    }
}

impl<T, E, F> Job for Pending<T, E, F>
where
    F: for<'c> FnOnce(&'c mut WriteTx) -> JobFuture<'c, T, E> + Send,
    T: Send,
    E: From<StorageError> + Send,
{
    fn perform<'c>(&'c mut self, tx: &'c mut WriteTx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let result = work(tx).await;
            let ok = result.is_ok();
            self.result = Some(result);
            ok
        })
    }

    fn discard(&mut self) {
        self.result = None;
    }

    fn finish(self: Box<Self>, failure: Option<StorageError>) {
        let result = match (self.result, failure) {
            // The job's own error stands, whatever became of the others.
            (Some(Err(error)), _) => Err(error),
            (_, Some(failure)) => Err(failure.into()),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StorageError::Closed.into()),
        };
        // A caller that has gone away wants no answer.
        let _ = self.answer.send(result);
    }
}
