//! The writer of SQLite: one thread.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sealcard_record::Head;

use super::{CHANGED, Job, Jobs, WriteTx, perform};
use crate::storage::{
    StorageError,
    known::Changes,
    record,
    sql::{Conn, params, sqlite},
};

pub(in crate::storage) struct SqliteWriter {
    path: PathBuf,
    /// Absent after a failed commit, until the file has been opened again.
    tx: Option<(WriteTx, Head)>,
    published: Arc<AtomicU64>,
    changes: Changes,
}

impl SqliteWriter {
    /// Opens the file at `path` and starts the thread. `published` is the registry version that readers see; `changes` are
    /// told whenever something else than uses was written.
    pub(in crate::storage) fn start(
        path: PathBuf,
        jobs: Jobs,
        published: Arc<AtomicU64>,
        changes: Changes,
    ) -> Result<(), StorageError> {
        let mut writer = Self { path: path.clone(), tx: None, published, changes };
        writer.tx = Some(writer.open()?);
        let run = move || jobs.run(|batch| writer.write(batch));
        let started = std::thread::Builder::new().name("writer".into()).spawn(run);
        started.map(drop).map_err(|error| StorageError::file(&path, &error))
    }

    fn open(&self) -> Result<(WriteTx, Head), StorageError> {
        let mut conn = Conn::Sqlite(sqlite::open(&self.path)?);
        let head = record::read_head(&mut conn)?;
        Ok((WriteTx::new(conn, self.published.load(Ordering::Acquire)), head))
    }

    /// Whether anything was committed.
    fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let (mut tx, mut head) = match self.tx.take() {
            Some(held) => held,
            None => self.open()?,
        };
        // Not put back on error: after a failed commit what SQLite holds of the file can't be trusted (a failed fsync may
        // have dropped pages), so the connection is dropped, which rolls back, and opened anew.
        let committed = transaction(&mut tx, &mut head, jobs);
        // A commit that failed may yet be found in the file.
        if std::mem::take(&mut tx.more_than_uses) || committed.is_err() {
            self.changes.happened();
        }
        let committed = committed?;
        if committed {
            self.published.store(tx.registry_version, Ordering::Release);
        }
        self.tx = Some((tx, head));
        Ok(committed)
    }
}

/// Whether anything was committed.
fn transaction(tx: &mut WriteTx, head: &mut Head, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    tx.conn.execute("BEGIN IMMEDIATE", params![])?;
    let any = perform(tx, jobs)?;
    if any {
        append(tx, head).map_err(StorageError::into_commit)?;
        if tx.more_than_uses {
            tx.conn.execute(CHANGED, params![]).map_err(StorageError::into_commit)?;
        }
    }
    let end = if any { "COMMIT" } else { "ROLLBACK" };
    tx.conn.execute(end, params![]).map_err(StorageError::into_commit)?;
    Ok(any)
}

/// Writes what the jobs appended to the record.
fn append(tx: &mut WriteTx, head: &mut Head) -> Result<(), StorageError> {
    const APPEND: &str = "INSERT INTO record
            (sequence, time, kind, event, request_id, principal_id, project_id, key_id, state, signature_sha256, body, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    if let Conn::Sqlite(conn) = &tx.conn {
        sqlite::expect_transaction(conn)?;
    }
    for entry in record::chain(head, std::mem::take(&mut tx.appended))? {
        tx.conn.execute(APPEND, &entry.values())?;
    }
    Ok(())
}
