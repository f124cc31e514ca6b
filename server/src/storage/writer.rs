//! The one writer: all waiting jobs in one transaction, one commit, one fsync.
//!
//! Each job runs in its own savepoint, so that its error undoes nothing of the others. Nobody is answered before the
//! commit. The record's head lives here, because only the writer appends to it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use super::{
    StorageError,
    record::{self, RecordHead},
};

/// How many jobs may wait before callers wait to hand theirs in.
const QUEUE: usize = 1024;

/// How many jobs go into one commit at most; bounds how long the first one waits.
const BATCH: usize = 256;

/// What a job gives: its work on the transaction.
pub type JobFuture<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// The transaction as a job sees it.
pub struct WriteTx {
    conn: SqliteConnection,
    pub(super) head: RecordHead,
    registry_version: u64,
}

impl WriteTx {
    /// The connection, inside the transaction. Jobs issue no BEGIN, COMMIT, SAVEPOINT or PRAGMA.
    pub(crate) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.conn
    }

    /// Marks what clients may see as changed, in the same transaction as the change.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn bump_registry(&mut self) -> Result<u64, StorageError> {
        let version: i64 =
            sqlx::query_scalar("UPDATE server SET registry_version = registry_version + 1 RETURNING registry_version")
                .fetch_one(&mut self.conn)
                .await?;
        self.registry_version = version.cast_unsigned();
        Ok(self.registry_version)
    }

    fn snapshot(&self) -> (RecordHead, u64) {
        (self.head.clone(), self.registry_version)
    }

    fn restore(&mut self, (head, registry_version): (RecordHead, u64)) {
        self.head = head;
        self.registry_version = registry_version;
    }

    async fn statement(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(sql).execute(&mut self.conn).await.map(drop)
    }
}

/// The callers' side.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the task on `conn`. `reconnect` opens the file again after a commit that failed.
    pub(super) async fn start(
        conn: SqliteConnection,
        reconnect: SqliteConnectOptions,
        published: Arc<AtomicU64>,
    ) -> Result<Self, StorageError> {
        let tx = open_tx(conn, published.load(Ordering::Acquire)).await?;
        let (queue, receiver) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let task = Task { tx: Some(tx), reconnect, published, commits: Arc::clone(&commits) };
        tokio::spawn(task.run(receiver));
        Ok(Self { queue, commits })
    }

    pub(super) async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut WriteTx) -> JobFuture<'c, T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let pending = Pending { job: Some(job), result: None, answer };
        self.queue.send(Message::Job(Box::new(pending))).await.map_err(|_| StorageError::Closed)?;
        answered.await.map_err(|_| StorageError::Closed)?
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A job with its types erased.
trait Job: Send {
    /// Does the work; whether it succeeded.
    fn perform<'c>(&'c mut self, tx: &'c mut WriteTx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>>;

    /// Answers the caller: with the job's result, or with why the transaction failed.
    fn finish(self: Box<Self>, failure: Option<StorageError>);
}

struct Pending<T, E, F> {
    job: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Pending<T, E, F>
where
    F: for<'c> FnOnce(&'c mut WriteTx) -> JobFuture<'c, T, E> + Send,
    T: Send,
    E: From<StorageError> + Send,
{
    fn perform<'c>(&'c mut self, tx: &'c mut WriteTx) -> Pin<Box<dyn Future<Output = bool> + Send + 'c>> {
        Box::pin(async move {
            let Some(job) = self.job.take() else { return false };
            let result = job(tx).await;
            let ok = result.is_ok();
            self.result = Some(result);
            ok
        })
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

struct Task {
    /// Absent after a failed commit, until the file has been opened again.
    tx: Option<WriteTx>,
    reconnect: SqliteConnectOptions,
    published: Arc<AtomicU64>,
    commits: Arc<AtomicU64>,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(BATCH);
        let mut close = None;
        while let Some(message) = queue.recv().await {
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Job(job) => batch.push(job),
                    Message::Close(done) => close = Some(done),
                }
                next = if batch.len() < BATCH { queue.try_recv().ok() } else { None };
            }
            if !batch.is_empty() {
                let failure = self.batch(&mut batch).await.err();
                if let Some(error) = &failure {
                    tracing::error!(%error, jobs = batch.len(), "storage: nothing of this batch was written");
                }
                for job in batch.drain(..) {
                    job.finish(failure.clone());
                }
            }
            if close.is_some() {
                break;
            }
        }
        queue.close();
        drop(self.tx.take());
        if let Some(done) = close {
            let _ = done.send(());
        }
    }

    async fn batch(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StorageError> {
        let mut tx = match self.tx.take() {
            Some(tx) => tx,
            None => open_tx(self.reconnect.connect().await?, self.published.load(Ordering::Acquire)).await?,
        };
        // Not put back on error: after a failed commit what SQLite holds of the file can't be trusted (a failed fsync may
        // have dropped pages), so the connection is dropped, which rolls back, and opened anew.
        if transaction(&mut tx, jobs).await? {
            self.published.store(tx.registry_version, Ordering::Release);
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        self.tx = Some(tx);
        Ok(())
    }
}

/// Whether anything was committed.
async fn transaction(tx: &mut WriteTx, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    tx.statement("BEGIN IMMEDIATE").await?;
    let mut any = false;
    if let [only] = jobs {
        // Most transactions on a quiet server: the transaction itself is the savepoint.
        let before = tx.snapshot();
        any = only.perform(tx).await;
        if !any {
            tx.restore(before);
        }
    } else {
        for job in jobs {
            let before = tx.snapshot();
            tx.statement("SAVEPOINT job").await?;
            if job.perform(tx).await {
                any = true;
            } else {
                tx.restore(before);
                tx.statement("ROLLBACK TO job").await?;
            }
            tx.statement("RELEASE job").await?;
        }
    }
    let end = if any { "COMMIT" } else { "ROLLBACK" };
    tx.statement(end).await.map_err(|error| StorageError::Commit(Arc::new(error)))?;
    Ok(any)
}

async fn open_tx(mut conn: SqliteConnection, registry_version: u64) -> Result<WriteTx, StorageError> {
    let head = record::read_head(&mut conn).await?;
    Ok(WriteTx { conn, head, registry_version })
}
