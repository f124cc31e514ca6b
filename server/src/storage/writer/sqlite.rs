//! The writer of SQLite: whoever has a job while nobody writes does the writing, in its own thread, for itself and for
//! those who came meanwhile. A quiet server pays no wake-up of another thread for a signature; a busy one shares commits.
//!
//! A thread of the runtime waits for the disk in it, but never more than one, because the others leave their jobs to it.
//! When many uses are in work a thread of its own writes, after a moment in which others join.

use std::{
    collections::VecDeque,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{BATCH, CHANGED, WriteTx, job::Job, perform};
use crate::storage::{
    StorageError,
    known::Changes,
    pace::Pace,
    record::{self, RecordHead},
    sql::{Conn, params, sqlite},
};

/// Dropping it ends the thread after the jobs that it was handed.
pub(in crate::storage) struct SqliteWriter(Arc<Shared>);

/// What the callers and the thread share.
struct Shared {
    path: PathBuf,
    queue: Mutex<Queue>,
    /// Woken when jobs are handed to the thread, and when no more will come.
    handed: Condvar,
    /// Woken when nobody writes any more.
    idle: Condvar,
    /// Absent after a failed commit, until the file has been opened again.
    tx: Mutex<Option<(WriteTx, RecordHead)>>,
    pace: Arc<Pace>,
    published: Arc<AtomicU64>,
    changes: Changes,
    commits: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Somebody writes, and will look here again before it stops.
    writing: bool,
    /// That is the thread.
    handed: bool,
    closed: bool,
}

impl SqliteWriter {
    /// Opens the file at `path` and starts the thread. `published` is the registry version that readers see; `changes` are
    /// told whenever something else than uses was written.
    pub(in crate::storage) fn open(
        path: PathBuf,
        pace: Arc<Pace>,
        published: Arc<AtomicU64>,
        changes: Changes,
    ) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            path,
            queue: Mutex::default(),
            handed: Condvar::new(),
            idle: Condvar::new(),
            tx: Mutex::new(None),
            pace,
            published,
            changes,
            commits: AtomicU64::new(0),
        });
        *lock(&shared.tx) = Some(shared.open_tx()?);
        let thread = Arc::clone(&shared);
        let started = std::thread::Builder::new().name("writer".into()).spawn(move || thread.run());
        started.map_err(|error| StorageError::file(&shared.path, &error))?;
        Ok(Self(shared))
    }

    /// Hands a job in, and does it at once if nobody writes and it has no company.
    pub(super) fn submit(&self, job: Box<dyn Job>) -> Result<(), StorageError> {
        let shared = &*self.0;
        {
            let mut queue = lock(&shared.queue);
            if queue.closed {
                return Err(StorageError::Closed);
            }
            queue.jobs.push_back(job);
            if std::mem::replace(&mut queue.writing, true) {
                return Ok(());
            }
        }
        if shared.pace.patience().is_none() {
            shared.batch();
            if shared.ends() {
                return Ok(());
            }
        }
        // Others come, or came meanwhile. One caller does not work for all of them.
        lock(&shared.queue).handed = true;
        shared.handed.notify_one();
        Ok(())
    }

    pub(super) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0.queue).closed
    }

    /// Refuses new jobs, waits for those that have been handed in and closes the file.
    pub(super) async fn close(&self) {
        let shared = Arc::clone(&self.0);
        let closed = tokio::task::spawn_blocking(move || {
            let mut queue = lock(&shared.queue);
            queue.closed = true;
            shared.handed.notify_one();
            while queue.writing {
                queue = shared.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            drop(queue);
            drop(lock(&shared.tx).take());
        });
        let _ = closed.await;
    }
}

impl Drop for SqliteWriter {
    fn drop(&mut self) {
        lock(&self.0.queue).closed = true;
        self.0.handed.notify_one();
    }
}

impl Shared {
    /// The thread.
    fn run(&self) {
        loop {
            let mut queue = lock(&self.queue);
            // Who writes when it is closed may still hand over what came meanwhile.
            while !queue.handed && (!queue.closed || queue.writing) {
                queue = self.handed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if !std::mem::take(&mut queue.handed) {
                return;
            }
            drop(queue);
            // A panic in a job costs its batch; who comes next is served.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                loop {
                    if let Some(patience) = self.pace.patience() {
                        std::thread::sleep(patience);
                    }
                    self.batch();
                    if self.ends() {
                        return;
                    }
                }
            }));
        }
    }

    fn open_tx(&self) -> Result<(WriteTx, RecordHead), StorageError> {
        let mut conn = Conn::Sqlite(sqlite::open(&self.path)?);
        let head = at_once(record::read_head(&mut conn))?;
        Ok((WriteTx::new(conn, self.published.load(Ordering::Acquire)), head))
    }

    /// Stops writing unless somebody waits.
    fn ends(&self) -> bool {
        let mut queue = lock(&self.queue);
        if queue.jobs.is_empty() {
            queue.writing = false;
            if queue.closed {
                self.idle.notify_all();
                self.handed.notify_one();
            }
        }
        !queue.writing
    }

    fn batch(&self) {
        let stuck = Stuck(self);
        let mut jobs = self.take_batch();
        let failure = self.write(&mut jobs).err();
        if let Some(error) = &failure {
            tracing::error!(%error, jobs = jobs.len(), "storage: nothing of this batch was written");
        }
        for job in jobs {
            job.finish(failure.clone());
        }
        drop(stuck);
    }

    fn take_batch(&self) -> Vec<Box<dyn Job>> {
        let mut queue = lock(&self.queue);
        let count = queue.jobs.len().min(BATCH);
        queue.jobs.drain(..count).collect()
    }

    fn write(&self, jobs: &mut [Box<dyn Job>]) -> Result<(), StorageError> {
        let mut held = lock(&self.tx);
        let (mut tx, mut head) = match held.take() {
            Some(held) => held,
            None => self.open_tx()?,
        };
        // Not put back on error: after a failed commit what SQLite holds of the file can't be trusted (a failed fsync may
        // have dropped pages), so the connection is dropped, which rolls back, and opened anew.
        let committed = at_once(transaction(&mut tx, &mut head, jobs));
        // A commit that failed may yet be found in the file.
        if std::mem::take(&mut tx.more_than_uses) || committed.is_err() {
            self.changes.happened();
        }
        if committed? {
            self.published.store(tx.registry_version, Ordering::Release);
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        *held = Some((tx, head));
        Ok(())
    }
}

/// Lets others write after a panic in a job, those first that left theirs to the one that panicked. (Its transaction is
/// gone: it was not put back.)
struct Stuck<'a>(&'a Shared);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = lock(&self.0.queue);
            queue.writing = !queue.jobs.is_empty();
            queue.handed = queue.writing;
            self.0.handed.notify_one();
            self.0.idle.notify_all();
        }
    }
}

/// Whether anything was committed.
async fn transaction(tx: &mut WriteTx, head: &mut RecordHead, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    tx.conn.execute("BEGIN IMMEDIATE", params![]).await?;
    let any = perform(tx, jobs).await?;
    if any {
        append(tx, head).await.map_err(StorageError::into_commit)?;
        if tx.more_than_uses {
            tx.conn.execute(CHANGED, params![]).await.map_err(StorageError::into_commit)?;
        }
    }
    let end = if any { "COMMIT" } else { "ROLLBACK" };
    tx.conn.execute(end, params![]).await.map_err(StorageError::into_commit)?;
    Ok(any)
}

/// Writes what the jobs appended to the record.
async fn append(tx: &mut WriteTx, head: &mut RecordHead) -> Result<(), StorageError> {
    const APPEND: &str = "INSERT INTO record
            (sequence, time, kind, request_id, principal_id, project_id, key_id, state, body, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    if let Conn::Sqlite(conn) = &tx.conn {
        sqlite::expect_transaction(conn)?;
    }
    for entry in record::chain(head, std::mem::take(&mut tx.appended))? {
        tx.conn.execute(APPEND, &entry.values()).await?;
    }
    Ok(())
}

/// The result of a future that asks SQLite and nothing else, so never waits.
fn at_once<T>(future: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(StorageError::Damaged("a job waited for something else than the database".to_owned())),
    }
}

/// What is locked stays whole in a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
