//! A copy of an SQLite database, made while a server writes to it.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

use super::{StorageError, migrate, sql::sqlite};

/// A copy that nobody writes to.
pub struct SqliteCopy(Connection);

impl SqliteCopy {
    /// Copies the database in the file `from` as it is at one moment, to a new file for its owner alone. A server that
    /// uses `from` meanwhile is not disturbed.
    ///
    /// # Errors
    /// If `to` exists or can't be written, or `from` can't be read.
    pub fn make(from: &Path, to: &Path) -> Result<Self, StorageError> {
        let failed = |error| StorageError::file(to, &error);
        let target = to
            .to_str()
            .ok_or_else(|| failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8")))?;
        // An empty file is written to as it is, with its mode.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
        // It must be there: a missing file would be made.
        File::open(from).map_err(|error| StorageError::file(from, &error))?;
        sqlite::open_for_reading(from)?.execute("VACUUM INTO ?1", [target])?;
        File::open(to).and_then(|file| file.sync_all()).map_err(failed)?;
        Self::open(to)
    }

    /// Opens a copy.
    ///
    /// # Errors
    /// If it is no database of this server, or one of a newer release.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        File::open(path).map_err(|error| StorageError::file(path, &error))?;
        let conn = sqlite::open_for_reading(path)?;
        let newest: Option<i64> = conn.query_row("SELECT max(number) FROM schema_step", [], |row| row.get(0))?;
        match newest {
            Some(found) if found > migrate::NEWEST => Err(StorageError::NewerSchema { found, known: migrate::NEWEST }),
            Some(_) => Ok(Self(conn)),
            None => Err(StorageError::Damaged("the table schema_step is empty".to_owned())),
        }
    }

    /// Whether the record has an entry of this request.
    ///
    /// # Errors
    /// If the copy can't be read.
    pub fn has_request(&self, request: Uuid) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM record WHERE request_id = ?1 LIMIT 1";
        Ok(self.0.prepare_cached(sql)?.query_row([request], |_| Ok(())).optional()?.is_some())
    }

    /// The number and hash of the newest entry of the record. None if there is none.
    ///
    /// # Errors
    /// If the copy can't be read.
    pub fn record_head(&self) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let sql = "SELECT sequence, hash FROM record ORDER BY sequence DESC LIMIT 1";
        let head = self.0.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()?;
        Ok(head.map(|(sequence, hash)| (sequence.cast_unsigned(), hash)))
    }
}
