//! What waits for the writer.

use std::{future::Future, pin::Pin};

use sealcard_api::ids::KeyId;
use tokio::sync::oneshot;

use super::{StorageError, WriteTx};
use crate::storage::{AsOf, Draft, NewRequest};

/// What a job gives: its work on the transaction.
pub type JobFuture<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// What a job does: mostly a closure.
pub(in crate::storage) trait Work<T, E>: Send + 'static {
    /// Does it in a transaction.
    fn perform<'c>(self, tx: &'c mut WriteTx) -> JobFuture<'c, T, E>;

    /// The same in values, if one statement may do it, and the answer if that has done it.
    fn lone(&self) -> Option<(Lone, T)> {
        None
    }
}

impl<T, E, F> Work<T, E> for F
where
    F: for<'c> FnOnce(&'c mut WriteTx) -> JobFuture<'c, T, E> + Send + 'static,
{
    fn perform<'c>(self, tx: &'c mut WriteTx) -> JobFuture<'c, T, E> {
        self(tx)
    }
}

/// What one statement may do: a step of a use with its entry in the record.
pub(in crate::storage) struct Lone {
    pub(in crate::storage) step: Step,
    pub(in crate::storage) entry: Draft,
}

pub(in crate::storage) enum Step {
    /// A use begins, if what it was judged by at `as_of` is still so.
    Begin { request: NewRequest, as_of: AsOf },
    /// A use ends.
    Finish { signature: Option<Vec<u8>>, counted: Option<KeyId> },
}

/// A job with its types erased.
pub(super) trait Job: Send {
    /// Does the work; whether it succeeded.
    fn perform<'c>(&'c mut self, tx: &'c mut WriteTx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;

    /// [`Work::lone`].
    fn lone(&mut self) -> Option<Lone>;

    /// It was done so, and is not to be done again.
    fn done_alone(&mut self);

    /// Forgets what came of the work: it was done outside a transaction and is void.
    fn discard(&mut self);

    /// Answers the caller: with the job's result, or with why the transaction failed.
    fn finish(self: Box<Self>, failure: Option<StorageError>);
}

pub(super) struct Pending<T, E, W> {
    work: Option<W>,
    result: Option<Result<T, E>>,
    /// Its result if it is done as [`Work::lone`].
    alone: Option<T>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, W> Pending<T, E, W> {
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (answer, answered) = oneshot::channel();
        (Self { work: Some(work), result: None, alone: None, answer }, answered)
    }
}

impl<T, E, W> Job for Pending<T, E, W>
where
    W: Work<T, E>,
    T: Send,
    E: From<StorageError> + Send,
{
    fn perform<'c>(&'c mut self, tx: &'c mut WriteTx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let result = work.perform(tx).await;
            let ok = result.is_ok();
            self.result = Some(result);
            ok
        })
    }

    fn lone(&mut self) -> Option<Lone> {
        let (lone, answer) = self.work.as_ref()?.lone()?;
        self.alone = Some(answer);
        Some(lone)
    }

    fn done_alone(&mut self) {
        self.work = None;
        self.result = self.alone.take().map(Ok);
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
