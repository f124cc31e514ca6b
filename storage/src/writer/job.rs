//! What waits for the writer.

use sealcard_api::Timestamp;
use tokio::sync::oneshot;

use super::{StorageError, WriteTx};

/// A job with its types erased.
pub(super) trait Job: Send {
    /// Does the work; whether it succeeded.
    fn perform(&mut self, tx: &mut WriteTx) -> bool;

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
    F: FnOnce(&mut WriteTx) -> Result<T, E> + Send,
    T: Send,
    E: From<StorageError> + Send,
{
    fn perform(&mut self, tx: &mut WriteTx) -> bool {
        let Some(work) = self.work.take() else { return false };
        tx.now = Timestamp::now();
        tx.described.clear();
        self.result.insert(work(tx)).is_ok()
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
