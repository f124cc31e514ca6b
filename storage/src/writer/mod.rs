//! The one writer: all waiting jobs in one transaction, one commit, one fsync.
//!
//! Each job runs in its own savepoint, so that its error undoes nothing of the others. Nobody is answered before the
//! commit. What jobs append to the record gets its place and is written at the end, when it is known which of them succeeded.

mod job;
mod postgres;
mod sqlite;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sealcard_api::Timestamp;
use sealcard_record::Draft;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::job::{Job, Pending};
pub(super) use self::{
    postgres::{NODE_HAS_ENDED, PostgresWriter, lock_number},
    sqlite::SqliteWriter,
};
use super::{
    StorageError, Version,
    clock::Clock,
    sql::{Conn, params},
};

/// How many jobs go into one commit at most; bounds how long the first one waits.
const BATCH: usize = 256;

/// The transaction as a job sees it.
pub struct WriteTx {
    conn: Conn,
    pub(super) appended: Vec<Draft>,
    /// What the present job says of its change beside its entries, for people who have to approve it.
    described: Vec<String>,
    registry_version: u64,
    /// The version when the transaction began.
    version: Version,
    /// Whether something else than uses was, or may have been, changed in it.
    more_than_uses: bool,
    /// When the present job began.
    now: Timestamp,
    clock: Arc<Clock>,
}

impl WriteTx {
    /// The connection, inside the transaction. Jobs issue no BEGIN, COMMIT, SAVEPOINT or PRAGMA.
    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.more_than_uses = true;
        &mut self.conn
    }

    /// The same, for statements that change nothing that requests are judged by.
    pub(super) fn conn_for_uses(&mut self) -> &mut Conn {
        &mut self.conn
    }

    /// Marks what clients may see as changed, in the same transaction as the change.
    ///
    /// # Errors
    /// If the database fails.
    pub fn bump_registry(&mut self) -> Result<u64, StorageError> {
        let version: Option<i64> = self.conn().scalar(
            "UPDATE server SET registry_version = registry_version + 1 RETURNING registry_version",
            params![],
        )?;
        let version = version.ok_or_else(|| StorageError::Damaged("the table server is empty".to_owned()))?;
        self.registry_version = version.cast_unsigned();
        Ok(self.registry_version)
    }

    /// [`crate::Store::node_has_ended`], inside the transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub fn node_has_ended(&mut self, node: Uuid) -> Result<bool, StorageError> {
        match &self.conn {
            Conn::Sqlite(_) => Ok(true),
            Conn::Postgres(_) => {
                let had: Option<bool> = self.conn.scalar(NODE_HAS_ENDED, params![lock_number(node)])?;
                Ok(had == Some(true))
            }
        }
    }

    /// Says more of the change than its entries do, for people who have to approve it.
    pub fn describe(&mut self, lines: impl IntoIterator<Item = String>) {
        self.described.extend(lines);
    }

    /// What the job said of its change.
    #[must_use]
    pub fn described(&self) -> Vec<String> {
        self.described.clone()
    }

    /// The time of everything that this job decides and writes.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The version of what this transaction sees; none once it may have changed something else than uses.
    pub(super) fn version(&self) -> Option<Version> {
        (!self.more_than_uses).then_some(self.version)
    }

    /// Takes note of a registry version that was read: another server may have raised it.
    pub(super) fn saw_registry_version(&mut self, version: u64) {
        self.registry_version = self.registry_version.max(version);
    }

    /// Makes ready for a transaction at this version.
    fn begin(&mut self, version: Version) {
        self.version = version;
        self.more_than_uses = false;
    }

    /// The version after the commit.
    fn committed_version(&self) -> Version {
        let Version { connection, changes } = self.version;
        Version { connection, changes: changes + u64::from(self.more_than_uses) }
    }

    fn new(conn: Conn, registry_version: u64, clock: Arc<Clock>) -> Self {
        Self {
            conn,
            appended: Vec::new(),
            described: Vec::new(),
            registry_version,
            version: Version::default(),
            more_than_uses: false,
            now: Timestamp::now(),
            clock,
        }
    }

    fn snapshot(&self) -> (usize, u64) {
        (self.appended.len(), self.registry_version)
    }

    fn restore(&mut self, (appended, registry_version): (usize, u64)) {
        self.appended.truncate(appended);
        self.registry_version = registry_version;
    }
}

/// What the writer has done, and what waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterLoad {
    /// Transactions that it has committed.
    pub commits: u64,
    /// Jobs in them. Jobs for each commit tell how well commits are shared.
    pub jobs: u64,
    /// Jobs that wait.
    pub waiting: usize,
}

/// How many jobs may wait before callers are refused.
const QUEUE: usize = 4096;

/// The callers' side. The writer ends when the last one is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    done: Arc<Done>,
}

/// What the writer has done so far.
#[derive(Debug, Default)]
struct Done {
    commits: AtomicU64,
    jobs: AtomicU64,
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    pub(super) fn new() -> (Self, Jobs) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let done = Arc::new(Done::default());
        let jobs = Jobs { queue: receiver, close: None, done: Arc::clone(&done) };
        (Self { queue, done }, jobs)
    }

    pub(super) async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut WriteTx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        let (pending, answered) = Pending::new(work);
        self.queue.try_send(Message::Job(Box::new(pending))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StorageError::Busy,
            mpsc::error::TrySendError::Closed(_) => StorageError::Closed,
        })?;
        answered.await.map_err(|_| StorageError::Closed)?
    }

    pub(super) fn load(&self) -> WriterLoad {
        WriterLoad {
            commits: self.done.commits.load(Ordering::Relaxed),
            jobs: self.done.jobs.load(Ordering::Relaxed),
            waiting: self.queue.max_capacity().saturating_sub(self.queue.capacity()),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Refuses new jobs and waits for those that have been handed in.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// The writer's side.
pub(super) struct Jobs {
    queue: mpsc::Receiver<Message>,
    /// Who waits until the writer has ended.
    close: Option<oneshot::Sender<()>>,
    done: Arc<Done>,
}

impl Jobs {
    /// Writes what comes with `write` until no more will come. `write` says whether it committed anything; after a
    /// panic in it the next call begins anew.
    fn run(mut self, mut write: impl FnMut(&mut [Box<dyn Job>]) -> Result<bool, StorageError>) {
        while let Some(mut batch) = self.next() {
            let committed = catch_unwind(AssertUnwindSafe(|| write(&mut batch)));
            self.finish(batch, committed.unwrap_or(Err(StorageError::Panicked)));
        }
        // Its connection is closed before anybody is told that the writer has ended.
        drop(write);
    }

    /// The next jobs: those that came while the last ones were committed. None when no more will come.
    fn next(&mut self) -> Option<Vec<Box<dyn Job>>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH && self.close.is_none() {
            let message = if batch.is_empty() { self.queue.blocking_recv() } else { self.queue.try_recv().ok() };
            match message {
                Some(Message::Job(job)) => batch.push(job),
                Some(Message::Close(done)) => {
                    self.close = Some(done);
                    self.queue.close();
                }
                None => break,
            }
        }
        if batch.is_empty() { None } else { Some(batch) }
    }

    /// Answers the callers, once it is known what became of the transaction.
    fn finish(&self, batch: Vec<Box<dyn Job>>, committed: Result<bool, StorageError>) {
        if matches!(committed, Ok(true)) {
            self.done.commits.fetch_add(1, Ordering::Relaxed);
            self.done.jobs.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
        let failure = committed.err();
        if let Some(error) = &failure {
            tracing::error!(%error, jobs = batch.len(), "storage: this batch was not confirmed");
        }
        for job in batch {
            job.finish(failure.clone());
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        if let Some(done) = self.close.take() {
            let _ = done.send(());
        }
    }
}

/// Says in the database that something else than uses was changed.
const CHANGED: &str = "UPDATE record_head SET changes = changes + 1";

/// Runs the jobs in one transaction that has begun. Whether any of them changed anything.
fn perform(tx: &mut WriteTx, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    if let [only] = jobs {
        // Most transactions on a quiet server: the transaction itself is the savepoint.
        let before = tx.snapshot();
        let done = only.perform(tx);
        if !done {
            tx.restore(before);
        }
        return Ok(done);
    }
    let mut any = false;
    for (number, job) in jobs.iter_mut().enumerate() {
        let before = tx.snapshot();
        // In place of the savepoint of the job before. The last one ends with the transaction.
        let begin = if number == 0 { "SAVEPOINT job" } else { "RELEASE SAVEPOINT job; SAVEPOINT job" };
        tx.conn.script_before_next(begin)?;
        if job.perform(tx) {
            any = true;
        } else {
            tx.restore(before);
            tx.conn.script("ROLLBACK TO SAVEPOINT job")?;
        }
    }
    Ok(any)
}
