//! What can go wrong with the database.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealcard_api::{
    Fingerprint,
    ids::{ApprovalId, KeyId},
};

use super::sql::sqlite;

/// Why something could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The name or id is taken. Retrying the same can't help.
    #[error("{0}")]
    Taken(String),
    /// A key has it already. The caller may not be allowed to know which one. Retrying can't help.
    #[error("{fingerprint} is a key or a part of a key here already")]
    KnownKey {
        /// The key that has it.
        key: KeyId,
        /// The fingerprint of the key or of its part.
        fingerprint: Fingerprint,
    },
    /// The master key of the environment was changed while the key was made. Retrying helps.
    #[error("the master key of the environment was changed meanwhile: try again")]
    OtherMasterKey,
    /// People must approve the change, or time must pass; it was not made. Retrying helps once that is so.
    #[error("{text}")]
    NeedsApproval {
        /// What they approve.
        approval: ApprovalId,
        /// What is needed and what to do, as sentences.
        text: String,
    },
    /// What is named does not exist. Retrying can't help.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The database refused or failed. Retrying helps if the disk was full or busy, or the connection broke.
    #[error("database: {0}")]
    Database(Arc<DatabaseError>),
    /// The transaction was not confirmed. With SQLite nothing of it is there; with PostgreSQL all or nothing. Retrying
    /// helps once the disk or the connection works.
    #[error("the transaction could not be committed: {0}")]
    Commit(Arc<DatabaseError>),
    /// Too many wait for the writer. Retrying helps.
    #[error("the database is too slow for what it is asked")]
    Busy,
    /// The database can't be used as it is configured. Retrying helps after that was changed.
    #[error("{0}")]
    Options(String),
    /// What was read makes no sense. Retrying can't help.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// A newer release has changed the database so that this one can't use it. Retrying can't help: use that release.
    #[error(
        "the database has schema {found} and needs a release that knows schema {lowest}; this release ({}) knows up to \
         {known}: install the newer release again, or restore the backup from before the upgrade",
        env!("CARGO_PKG_VERSION")
    )]
    NewerSchema {
        /// The database's.
        found: i64,
        /// What a release must know to use it.
        lowest: i64,
        /// The newest one of this release.
        known: i64,
    },
    /// This release needs a step of the schema that another server, which runs, can't work with. Retrying helps after
    /// that one was upgraded or stopped.
    #[error(
        "this release ({}) needs schema step {step}, with which these servers can't work: {nodes}; stop them, or upgrade \
         them to a release between the two first",
        env!("CARGO_PKG_VERSION")
    )]
    NodesBehind {
        /// The step.
        step: i64,
        /// The servers.
        nodes: String,
    },
    /// This release needs a step of the schema, and the server's role must not change the schema. Retrying helps after
    /// the owner of the tables has prepared the database.
    #[error(
        "this release ({}) needs schema step {step}, and the tables belong to another role than the server's: run \
         sealcard-server database prepare as their owner",
        env!("CARGO_PKG_VERSION")
    )]
    OwnerNeeded {
        /// The step.
        step: i64,
    },
    /// A migration that was applied differs from the one of this release. Retrying can't help.
    #[error("schema step {0} was applied in another form than this release has it")]
    ChangedSchema(i64),
    /// Another server holds the lock of the data folder. Retrying helps after that one was stopped.
    #[error("another sealcard-server uses {}", .0.display())]
    InUse(PathBuf),
    /// A file could not be made or locked.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// This job panicked, or another one of the same transaction, of which nothing was written. Retrying helps unless
    /// it was this one.
    #[error("a fault in the server ended the transaction")]
    Panicked,
    /// The writer has stopped. Retrying can't help before a restart.
    #[error("the storage has been closed")]
    Closed,
}

/// What the database's driver says.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL. The driver's own text names only the kind.
    #[error("{}", chain(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

fn chain(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error.into()))
    }
}

impl From<tokio_postgres::Error> for StorageError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(Arc::new(error.into()))
    }
}

impl DatabaseError {
    /// Whether the database has no space to write.
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Postgres(error) => error.code() == Some(&tokio_postgres::error::SqlState::DISK_FULL),
        }
    }

    /// Whether a row with the same unique value is there already.
    fn is_unique_violation(&self) -> bool {
        match self {
            Self::Sqlite(error) => sqlite::is_unique_violation(error),
            Self::Postgres(error) => error.code() == Some(&tokio_postgres::error::SqlState::UNIQUE_VIOLATION),
        }
    }
}

impl StorageError {
    /// Turns the violation of a unique constraint into [`StorageError::Taken`].
    #[must_use]
    pub fn taken(self, what: impl Into<String>) -> Self {
        match &self {
            Self::Database(error) if error.is_unique_violation() => Self::Taken(what.into()),
            _ => self,
        }
    }

    /// Whether the database has no space to write. Nothing was written.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Database(error) | Self::Commit(error) if error.is_disk_full())
    }

    /// The same, when it was the commit that failed.
    pub(super) fn into_commit(self) -> Self {
        match self {
            Self::Database(error) => Self::Commit(error),
            other => other,
        }
    }

    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        Self::File { path: path.to_owned(), message: error.to_string() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_database_without_space_is_told_from_one_that_fails() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE filler (bytes BLOB); PRAGMA max_page_count = 8;").unwrap();
        let full = loop {
            if let Err(error) = conn.execute("INSERT INTO filler VALUES (zeroblob(4000))", []) {
                break StorageError::from(error);
            }
        };
        assert!(full.is_disk_full() && full.clone().into_commit().is_disk_full(), "{full}");
        let other = StorageError::from(conn.execute("INSERT INTO nothing VALUES (1)", []).unwrap_err());
        assert!(!other.is_disk_full(), "{other}");
    }
}
