//! The schema's steps, applied in order, each once and in one transaction.

use aws_lc_rs::digest::{SHA256, digest};
use sealcard_api::Timestamp;

use super::{
    StorageError,
    sql::{Conn, params},
};

/// One step: its number and what it runs.
type Step = (i64, &'static str);

/// All steps for SQLite. A step that was released is never changed: add another, to both lists.
const SQLITE: [Step; 2] = [
    (1, include_str!("../migrations/sqlite/0001_identity.sql")),
    (2, include_str!("../migrations/sqlite/0002_keys.sql")),
];

/// The same for PostgreSQL.
const POSTGRES: [Step; 2] = [
    (1, include_str!("../migrations/postgres/0001_identity.sql")),
    (2, include_str!("../migrations/postgres/0002_keys.sql")),
];

/// The newest step, the same in both lists.
pub(super) const NEWEST: i64 = SQLITE.len() as i64;

/// Held while the schema is changed: several servers may start at once.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_lock(7163384690532115556)";
const POSTGRES_UNLOCK: &str = "SELECT pg_advisory_unlock(7163384690532115556)";

/// Brings the schema up to date.
pub(super) fn run(conn: &mut Conn) -> Result<(), StorageError> {
    match conn {
        Conn::Sqlite(_) => {
            let table = "CREATE TABLE IF NOT EXISTS schema_step (
                number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, applied INTEGER NOT NULL) STRICT";
            conn.script(table)?;
            apply_missing(conn, &SQLITE)
        }
        Conn::Postgres(_) => {
            let table = "CREATE TABLE IF NOT EXISTS schema_step (
                number BIGINT PRIMARY KEY, sha256 BYTEA NOT NULL, applied BIGINT NOT NULL)";
            conn.script(POSTGRES_LOCK)?;
            conn.script(table)?;
            apply_missing(conn, &POSTGRES)?;
            conn.script(POSTGRES_UNLOCK)
        }
    }
}

fn apply_missing(conn: &mut Conn, steps: &[Step]) -> Result<(), StorageError> {
    let applied: Vec<(i64, Vec<u8>)> = conn.all("SELECT number, sha256 FROM schema_step ORDER BY number", params![])?;
    let known = steps.last().map_or(0, |(number, _)| *number);
    if let Some((found, _)) = applied.last().filter(|(found, _)| *found > known) {
        return Err(StorageError::NewerSchema { found: *found, known });
    }
    for &(number, sql) in steps {
        let checksum = digest(&SHA256, sql.as_bytes());
        match applied.iter().find(|(n, _)| *n == number) {
            Some((_, stored)) if stored == checksum.as_ref() => {}
            Some(_) => return Err(StorageError::ChangedSchema(number)),
            None => apply(conn, number, sql, checksum.as_ref())?,
        }
    }
    Ok(())
}

/// What ends in the middle is undone when the connection is dropped, which the caller does on error.
fn apply(conn: &mut Conn, number: i64, sql: &'static str, checksum: &[u8]) -> Result<(), StorageError> {
    conn.script("BEGIN")?;
    conn.script(sql)?;
    conn.execute(
        "INSERT INTO schema_step (number, sha256, applied) VALUES ($1, $2, $3)",
        params![number, checksum, Timestamp::now().unix()],
    )?;
    conn.script("COMMIT")
}
