//! SQLite through rusqlite: calls are made where they are needed, without another thread. A read takes some tens of
//! microseconds, less than waking a thread and being woken by it.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OpenFlags, Rows, Statement, config::DbConfig};

use super::{FromRow, Param, Row};
use crate::StorageError;

/// How many connections read; more would only cost memory.
const READERS: usize = 3;

/// How long SQLite waits for a lock that another process holds, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that stay prepared in a connection; more than there are.
const CACHED_STATEMENTS: usize = 128;

/// As large as the log gets before SQLite begins at its start again (1000 pages with their headers), and a little more.
const LOG_BYTES: u64 = 1032 * (4096 + 24);

/// Makes the write-ahead log in its full length, if there is none. To overwrite a file's blocks durably takes half the
/// time of making it longer. SQLite takes a log that begins with zeros for an empty one.
pub(crate) fn prepare_log(path: &Path) -> Result<(), StorageError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = Path::new(&name);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(log).and_then(|file| {
        // Written, not only reserved: the first use of a reserved block costs as much as a new one.
        io::copy(&mut io::repeat(0).take(LOG_BYTES), &mut io::BufWriter::with_capacity(1 << 20, &file))?;
        file.sync_all()
    });
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StorageError::file(log, &error)),
        _ => Ok(()),
    }
}

/// Opens the file that exists at `path` for writing.
pub(crate) fn open(path: &Path) -> Result<Connection, StorageError> {
    let conn = open_with(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // The answers of both are rows.
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StorageError::Damaged(format!("the database can't be switched to WAL mode, it stays in {mode}")));
    }
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    Ok(conn)
}

fn open_with(path: &Path, access: OpenFlags) -> Result<Connection, StorageError> {
    let conn = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    // Otherwise a statement is prepared anew each time that another value is bound in its conditions, in case the
    // statistics (STAT4) speak for another plan. There are none.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // A server that is restricted to its own files has no folder for temporary ones.
    conn.pragma_update(None, "temp_store", "memory")?;
    Ok(conn)
}

/// Opens the file that exists at `path` for reading.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection, StorageError> {
    open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// The same. A link in the path is an error.
pub(crate) fn open_without_links(path: &Path) -> Result<Connection, StorageError> {
    open_with(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NOFOLLOW)
}

/// A few connections that can only read.
pub(crate) struct Readers {
    all: [Mutex<Connection>; READERS],
    next: AtomicUsize,
}

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        let one = || open_for_reading(path).map(Mutex::new);
        Ok(Self { all: [one()?, one()?, one()?], next: AtomicUsize::new(0) })
    }

    /// A connection for one statement: a free one, else the next in turn when it is free.
    pub(super) fn one(&self) -> MutexGuard<'_, Connection> {
        if let Some(free) = self.all.iter().find_map(|conn| conn.try_lock()) {
            return free;
        }
        let [first, others @ ..] = &self.all;
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % READERS;
        turn.checked_sub(1).and_then(|n| others.get(n)).unwrap_or(first).lock()
    }
}

pub(super) fn execute(conn: &Connection, sql: &str, params: &[&dyn Param]) -> Result<u64, StorageError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    Ok(statement.raw_execute()? as u64)
}

pub(super) fn all<T: FromRow>(conn: &Connection, sql: &str, params: &[&dyn Param]) -> Result<Vec<T>, StorageError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(T::from_row(&Row::Sqlite(row))?);
    }
    Ok(found)
}

pub(super) fn optional<T: FromRow>(
    conn: &Connection,
    sql: &str,
    params: &[&dyn Param],
) -> Result<Option<T>, StorageError> {
    let mut statement = conn.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    first(statement.raw_query())
}

fn first<T: FromRow>(mut rows: Rows<'_>) -> Result<Option<T>, StorageError> {
    rows.next()?.map(|row| T::from_row(&Row::Sqlite(row))).transpose()
}

/// SQLite takes `$2` for a name and numbers names in the order in which they come.
fn bind(statement: &mut Statement<'_>, params: &[&dyn Param]) -> Result<(), StorageError> {
    for (number, value) in (1..).zip(params) {
        let name = format!("${number}");
        let index = statement.parameter_index(&name)?.ok_or(rusqlite::Error::InvalidParameterName(name))?;
        statement.raw_bind_parameter(index, value)?;
    }
    if params.len() == statement.parameter_count() {
        Ok(())
    } else {
        Err(rusqlite::Error::InvalidParameterCount(params.len(), statement.parameter_count()).into())
    }
}

/// Whether a row with the same unique value is there already.
pub(crate) fn is_unique_violation(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    error
        .sqlite_error()
        .is_some_and(|e| matches!(e.extended_code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY))
}

/// Runs a script of several statements.
pub(super) fn script(conn: &Connection, sql: &str) -> Result<(), StorageError> {
    Ok(conn.execute_batch(sql)?)
}

/// Fails if SQLite has ended the transaction by itself, as it does when the disk is full: what follows would be
/// committed alone.
pub(crate) fn expect_transaction(conn: &Connection) -> Result<(), StorageError> {
    if conn.is_autocommit() {
        return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT), None).into());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn no_connection_makes_temporary_files() {
        const MEMORY: i64 = 2;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        File::create(&path).unwrap();
        for conn in [open(&path).unwrap(), open_for_reading(&path).unwrap()] {
            assert_eq!(conn.pragma_query_value(None, "temp_store", |row| row.get::<_, i64>(0)).unwrap(), MEMORY);
        }
    }
}
