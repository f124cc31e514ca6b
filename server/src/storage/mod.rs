//! Durable state: SQL lives here and nowhere else, in methods named after what they keep.
//!
//! SQLite in WAL mode with `synchronous=FULL`: what [`Store::write`] has answered survives a power cut. Everything is
//! written by one writer (`writer`), which commits all waiting jobs together, so that throughput does not pay one fsync
//! for each; reads have connections of their own and never wait for the writer.

mod environments;
mod identity;
mod keys;
mod migrate;
mod record;
mod requests;
mod sql;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod writer;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::fcntl::{Flock, FlockArg};
use sealcard_api::{Timestamp, ids::EnvironmentId};
use uuid::Uuid;

use self::{
    sql::{Conn, Reader, params, sqlite},
    writer::SqliteWriter,
};
pub use environments::EnvironmentRow;
#[allow(unused_imports)]
pub use identity::*;
pub use keys::{ComponentRow, KeyFilter, KeyRow, KeyUse, NewKeyRow, UsableComponent};
pub(crate) use record::Body;
pub use record::{Draft, RecordFilter, RecordHead, RecordRow};
pub use requests::{Begun, Idempotency, NewRequest, RequestRow, UnfinishedRequest};
pub use writer::{JobFuture, WriteTx};

/// Why something could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The name or id is taken. Retrying the same can't help.
    #[error("{0} exists already")]
    Taken(&'static str),
    /// What is named does not exist. Retrying can't help.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The database refused or failed. Retrying helps if the disk was full or busy.
    #[error("database: {0}")]
    Database(Arc<rusqlite::Error>),
    /// Nothing of the transaction was made durable. Retrying helps once the disk works.
    #[error("the transaction could not be committed: {0}")]
    Commit(Arc<rusqlite::Error>),
    /// What was read makes no sense. Retrying can't help.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// The database was written by a newer release. Retrying can't help: use that release.
    #[error("the database has schema {found}, this release knows up to {known}")]
    NewerSchema {
        /// The database's.
        found: i64,
        /// The newest one of this release.
        known: i64,
    },
    /// A migration that was applied differs from the one of this release. Retrying can't help.
    #[error("schema step {0} was applied in another form than this release has it")]
    ChangedSchema(i64),
    /// A file could not be made or locked.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The writer has stopped. Retrying can't help before a restart.
    #[error("the storage has been closed")]
    Closed,
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl StorageError {
    /// Turns the violation of a unique constraint into [`StorageError::Taken`].
    #[must_use]
    pub fn taken(self, what: &'static str) -> Self {
        match &self {
            Self::Database(error) if sqlite::is_unique_violation(error) => Self::Taken(what),
            _ => self,
        }
    }

    /// The same, when it was the commit that failed.
    fn into_commit(self) -> Self {
        match self {
            Self::Database(error) => Self::Commit(error),
            other => other,
        }
    }

    fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), message: error.to_string() }
    }
}

/// The database of one server. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    reader: Arc<Reader>,
    writer: writer::Writer,
    registry_version: Arc<AtomicU64>,
    server_id: Uuid,
    _lock: Arc<Flock<File>>,
}

impl Store {
    /// Makes the database at `path`, which must not exist, with one environment named `default`. Returns it with the
    /// new server's id.
    ///
    /// # Errors
    /// If the file exists or can't be written.
    pub async fn create(path: &Path) -> Result<Self, StorageError> {
        // Created first, so that the database, its WAL and its index are all readable by the owner alone.
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| StorageError::file(path, &error))?;
        let mut conn = Conn::Sqlite(sqlite::open(path)?);
        migrate::run(&mut conn).await?;
        conn.execute(
            "INSERT INTO server (one, server_id, registry_version, created) VALUES (1, $1, 1, $2)",
            params![Uuid::now_v7(), Timestamp::now().unix()],
        )
        .await?;
        environments::insert(&mut conn, EnvironmentId::new(), "default").await?;
        drop(conn);
        Self::open(path).await
    }

    /// Opens the database at `path`, brings its schema up to date and starts the writer.
    ///
    /// # Errors
    /// If another process has it open, if its schema is newer than this release, or if it can't be read.
    pub async fn open(path: &Path) -> Result<Self, StorageError> {
        let lock = lock(path)?;
        let mut conn = Conn::Sqlite(sqlite::open(path)?);
        migrate::run(&mut conn).await?;
        let (server_id, registry_version) = read_server(&mut conn).await?;
        drop(conn);
        let registry_version = Arc::new(AtomicU64::new(registry_version));
        let writer = SqliteWriter::open(path.to_owned(), Arc::clone(&registry_version))?;
        let reader = Reader::Sqlite(sqlite::Readers::open(path)?);
        Ok(Self {
            reader: Arc::new(reader),
            writer: writer::Writer::Sqlite(Arc::new(writer)),
            registry_version,
            server_id,
            _lock: Arc::new(lock),
        })
    }

    /// Runs `job` in the writer and answers once its changes are durable. An error of the job undoes the job alone.
    ///
    /// The job is a boxed future (`|tx| Box::pin(async move { … })`) and should do nothing but SQL: others wait.
    ///
    /// # Errors
    /// The job's own, or a [`StorageError`] when nothing was committed.
    pub async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut WriteTx) -> JobFuture<'c, T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        self.writer.run(job).await
    }

    /// The connections that read. They see what has been committed.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The number that grows with every change of what clients may see.
    #[must_use]
    pub fn registry_version(&self) -> u64 {
        self.registry_version.load(Ordering::Acquire)
    }

    /// The id made at `init`.
    #[must_use]
    pub fn server_id(&self) -> Uuid {
        self.server_id
    }

    /// How often the writer has committed, for measurements.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Whether the database can be read and the writer lives: for readiness.
    ///
    /// # Errors
    /// If not.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.reader.optional::<(i64,)>("SELECT registry_version FROM server", params![]).await?;
        if self.writer.is_closed() { Err(StorageError::Closed) } else { Ok(()) }
    }

    /// Ends the writer after the jobs that wait.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// The chain's end and the next sequence number are kept in memory: a second server on the same file would fork them.
fn lock(path: &Path) -> Result<Flock<File>, StorageError> {
    let lock_path = path.with_extension("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| StorageError::file(&lock_path, &error))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| StorageError::File {
        path: lock_path,
        message: format!("another sealcard-server uses this data folder ({errno})"),
    })
}

async fn read_server(conn: &mut Conn) -> Result<(Uuid, u64), StorageError> {
    let row: Option<(Uuid, i64)> = conn.optional("SELECT server_id, registry_version FROM server", params![]).await?;
    let (server_id, version) = row.ok_or_else(|| StorageError::Damaged("the table server is empty".to_owned()))?;
    Ok((server_id, version.cast_unsigned()))
}
