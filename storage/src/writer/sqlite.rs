//! The writer of SQLite: one thread.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sealcard_transparency::Frontier;

use super::{CHANGED, Job, Jobs, WriteTx, perform};
use crate::{
    StorageError, Version,
    cache::Cache,
    clock::Clock,
    record::{self, Appended, LastHead, Subtree},
    sql::{Conn, params, sqlite},
};

pub(crate) struct SqliteWriter {
    path: PathBuf,
    /// Absent after a failed commit, until the file has been opened again.
    open: Option<Open>,
    published: Arc<AtomicU64>,
    cache: Cache,
    last_head: LastHead,
    clock: Arc<Clock>,
}

/// The open file, and what of it is kept here: nobody else writes to it.
struct Open {
    tx: WriteTx,
    log: Frontier,
    version: Version,
}

impl SqliteWriter {
    /// Opens the file at `path` and starts the thread. `published` is the registry version that readers see; `cache` is
    /// told of each version before the callers are answered.
    pub(crate) fn start(
        path: PathBuf,
        jobs: Jobs,
        published: Arc<AtomicU64>,
        cache: Cache,
        last_head: LastHead,
        clock: Arc<Clock>,
    ) -> Result<(), StorageError> {
        let mut writer = Self { path: path.clone(), open: None, published, cache, last_head, clock };
        writer.open = Some(writer.open()?);
        let run = move || jobs.run(|batch| writer.write(batch));
        let started = std::thread::Builder::new().name("writer".into()).spawn(run);
        started.map(drop).map_err(|error| StorageError::file(&path, &error))
    }

    fn open(&self) -> Result<Open, StorageError> {
        let mut conn = Conn::Sqlite(sqlite::open(&self.path)?);
        let log = record::read_log(&mut conn)?;
        let changes: Option<i64> = conn.scalar("SELECT changes FROM record_head", params![])?;
        let changes = changes.unwrap_or_default().cast_unsigned();
        let version = Version { connection: self.cache.new_connection(), changes };
        self.cache.observe(version);
        let tx = WriteTx::new(conn, self.published.load(Ordering::Acquire), Arc::clone(&self.clock));
        Ok(Open { tx, log, version })
    }

    /// Whether anything was committed.
    fn write(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        open.tx.begin(open.version);
        // Not put back on error: after a failed commit what SQLite holds of the file can't be trusted (a failed fsync
        // may have dropped pages), so the connection is dropped, which rolls back, and opened anew.
        let committed = transaction(&mut open.tx, &mut open.log, jobs).inspect_err(|_| {
            // A commit that failed may yet be found in the file.
            self.cache.new_connection();
        })?;
        if committed {
            open.version = open.tx.committed_version();
            self.cache.observe(open.version);
            self.last_head.set(&open.log);
            self.published.store(open.tx.registry_version, Ordering::Release);
        }
        self.open = Some(open);
        Ok(committed)
    }
}

/// Whether anything was committed.
fn transaction(tx: &mut WriteTx, log: &mut Frontier, jobs: &mut [Box<dyn Job>]) -> Result<bool, StorageError> {
    tx.conn.execute("BEGIN IMMEDIATE", params![])?;
    let any = perform(tx, jobs)?;
    if any {
        append(tx, log).map_err(StorageError::into_commit)?;
        if tx.more_than_uses {
            tx.conn.execute(CHANGED, params![]).map_err(StorageError::into_commit)?;
        }
    }
    let end = if any { "COMMIT" } else { "ROLLBACK" };
    tx.conn.execute(end, params![]).map_err(StorageError::into_commit)?;
    Ok(any)
}

/// Writes what the jobs appended to the record.
fn append(tx: &mut WriteTx, log: &mut Frontier) -> Result<(), StorageError> {
    const APPEND: &str = "INSERT INTO record
            (sequence, time, kind, event, request_id, principal_id, project_id, key_id, state, signature_sha256,
             body, salt, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    const COMPLETE: &str = "INSERT INTO record_subtree (level, number, hash) VALUES ($1, $2, $3)";
    if let Conn::Sqlite(conn) = &tx.conn {
        sqlite::expect_transaction(conn)?;
    }
    let Appended { entries, subtrees } = record::place(log, std::mem::take(&mut tx.appended))?;
    for entry in entries {
        tx.conn.execute(APPEND, &entry.values())?;
    }
    for Subtree { level, number, hash } in subtrees {
        tx.conn.execute(COMPLETE, params![level, number, hash])?;
    }
    Ok(())
}
