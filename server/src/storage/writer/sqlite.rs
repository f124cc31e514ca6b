//! The writer of SQLite: whoever has a job while nobody writes does the writing, in its own thread, for itself and for
//! those who came meanwhile. A quiet server pays no wake-up of another thread for a signature; a busy one shares commits.
//!
//! A thread of the runtime waits for the disk in it, but never more than one, because the others leave their jobs to it.
//! When many uses are in work a thread of its own writes, after a moment in which others join.

use std::{
    collections::VecDeque,
    future::Future,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{BATCH, WriteTx, job::Job, perform};
use crate::storage::{
    StorageError,
    pace::Pace,
    record,
    sql::{Conn, sqlite},
};

pub(in crate::storage) struct SqliteWriter {
    path: PathBuf,
    queue: Mutex<Queue>,
    /// Woken when nobody writes any more.
    idle: Condvar,
    /// Absent after a failed commit, until the file has been opened again.
    tx: Mutex<Option<WriteTx>>,
    pace: Arc<Pace>,
    published: Arc<AtomicU64>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Somebody writes, and will look here again before it stops.
    writing: bool,
    closed: bool,
}

impl SqliteWriter {
    /// Opens the file at `path`. `published` is the registry version that readers see.
    pub(in crate::storage) fn open(
        path: PathBuf,
        pace: Arc<Pace>,
        published: Arc<AtomicU64>,
    ) -> Result<Self, StorageError> {
        let writer = Self {
            path,
            queue: Mutex::default(),
            idle: Condvar::new(),
            tx: Mutex::new(None),
            pace,
            published,
            commits: AtomicU64::new(0),
        };
        *lock(&writer.tx) = Some(writer.open_tx()?);
        Ok(writer)
    }

    fn open_tx(&self) -> Result<WriteTx, StorageError> {
        let mut conn = Conn::Sqlite(sqlite::open(&self.path)?);
        let head = at_once(record::read_head(&mut conn))?;
        Ok(WriteTx { conn, head, registry_version: self.published.load(Ordering::Acquire) })
    }

    /// Hands a job in, and does it at once if nobody writes.
    pub(super) fn submit(self: &Arc<Self>, job: Box<dyn Job>) -> Result<(), StorageError> {
        {
            let mut queue = lock(&self.queue);
            if queue.closed {
                return Err(StorageError::Closed);
            }
            queue.jobs.push_back(job);
            if std::mem::replace(&mut queue.writing, true) {
                return Ok(());
            }
        }
        if self.pace.patience().is_none() {
            self.batch();
            if self.ends() {
                return Ok(());
            }
        }
        // Others come, or came meanwhile. One caller does not work for all of them.
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            loop {
                if let Some(patience) = this.pace.patience() {
                    std::thread::sleep(patience);
                }
                this.batch();
                if this.ends() {
                    break;
                }
            }
        });
        Ok(())
    }

    /// Stops writing unless somebody waits.
    fn ends(&self) -> bool {
        let mut queue = lock(&self.queue);
        if queue.jobs.is_empty() {
            queue.writing = false;
            if queue.closed {
                self.idle.notify_all();
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
        let mut tx = match held.take() {
            Some(tx) => tx,
            None => self.open_tx()?,
        };
        // Not put back on error: after a failed commit what SQLite holds of the file can't be trusted (a failed fsync may
        // have dropped pages), so the connection is dropped, which rolls back, and opened anew.
        if at_once(transaction(&mut tx, jobs))? {
            self.published.store(tx.registry_version, Ordering::Release);
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        *held = Some(tx);
        Ok(())
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.queue).closed
    }

    /// Refuses new jobs, waits for those that have been handed in and closes the file.
    pub(super) async fn close(this: &Arc<Self>) {
        let this = Arc::clone(this);
        let closed = tokio::task::spawn_blocking(move || {
            let mut queue = lock(&this.queue);
            queue.closed = true;
            while queue.writing {
                queue = this.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            drop(queue);
            drop(lock(&this.tx).take());
        });
        let _ = closed.await;
    }
}

/// Lets others write after a panic in a job. (Its transaction is gone: it was not put back.)
struct Stuck<'a>(&'a SqliteWriter);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.queue).writing = false;
            self.0.idle.notify_all();
        }
    }
}

/// Whether anything was committed.
async fn transaction(tx: &mut WriteTx, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    tx.statement("BEGIN IMMEDIATE").await?;
    let any = perform(tx, jobs).await?;
    let end = if any { "COMMIT" } else { "ROLLBACK" };
    tx.statement(end).await.map_err(StorageError::into_commit)?;
    Ok(any)
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
