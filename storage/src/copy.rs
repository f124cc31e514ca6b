//! A copy of an SQLite database, made while a server writes to it.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rusqlite::{Connection, OptionalExtension as _};
use uuid::Uuid;

use super::{
    StorageError,
    schema::{READ_NEWEST, Schema},
    sql::sqlite,
};

/// SQLite would wait for a pipe.
fn expect_file(path: &Path) -> Result<(), StorageError> {
    let failed = |error| StorageError::file(path, &error);
    if path.symlink_metadata().map_err(failed)?.is_file() {
        return Ok(());
    }
    Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is no regular file")))
}

/// A copy that nobody writes to.
pub struct SqliteCopy(Connection);

impl SqliteCopy {
    /// Copies the database in the file `from` as it is at one moment, to a new file for its owner alone. A server that
    /// uses `from` meanwhile is not disturbed. No part of a path may be a link.
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
        expect_file(from)?;
        sqlite::open_without_links(from)?.execute("VACUUM INTO ?1", [target])?;
        File::open(to).and_then(|file| file.sync_all()).map_err(failed)?;
        Self::open(to)
    }

    /// Opens a copy.
    ///
    /// # Errors
    /// If it is no database of this server, or one that a newer release has changed.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        expect_file(path)?;
        let conn = sqlite::open_without_links(path)?;
        let (found, lowest) = conn.query_row(READ_NEWEST, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if found == 0 {
            return Err(StorageError::Damaged("the table schema_step is empty".to_owned()));
        }
        Schema::of_this_release().expect_works(found, lowest)?;
        Ok(Self(conn))
    }

    /// The bodies of the record's entries of this request.
    ///
    /// # Errors
    /// If the copy can't be read.
    pub fn record_of_request(&self, request: Uuid) -> Result<Vec<String>, StorageError> {
        let mut statement = self.0.prepare_cached("SELECT body FROM record WHERE request_id = ?1 LIMIT 1000")?;
        let bodies = statement.query_map([request], |row| row.get(0))?;
        Ok(bodies.collect::<Result<_, _>>()?)
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
