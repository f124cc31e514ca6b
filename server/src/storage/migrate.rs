//! The schema's steps, applied in order, each once and in one transaction.

use aws_lc_rs::digest::{SHA256, digest};
use sealcard_api::Timestamp;

use super::{
    StorageError,
    sql::{Conn, params},
};

/// All steps. A step that was released is never changed: add another.
const STEPS: [(i64, &str); 2] =
    [(1, include_str!("../../migrations/0001_identity.sql")), (2, include_str!("../../migrations/0002_keys.sql"))];

/// Brings the schema up to date.
pub(super) async fn run(conn: &mut Conn) -> Result<(), StorageError> {
    conn.script(
        "CREATE TABLE IF NOT EXISTS schema_step (
            number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, applied INTEGER NOT NULL
        ) STRICT",
    )
    .await?;
    let applied: Vec<(i64, Vec<u8>)> =
        conn.all("SELECT number, sha256 FROM schema_step ORDER BY number", params![]).await?;
    let known = STEPS.last().map_or(0, |(number, _)| *number);
    if let Some((found, _)) = applied.last().filter(|(found, _)| *found > known) {
        return Err(StorageError::NewerSchema { found: *found, known });
    }
    for (number, sql) in STEPS {
        let checksum = digest(&SHA256, sql.as_bytes());
        match applied.iter().find(|(n, _)| *n == number) {
            Some((_, stored)) if stored == checksum.as_ref() => {}
            Some(_) => return Err(StorageError::ChangedSchema(number)),
            None => apply(conn, number, sql, checksum.as_ref()).await?,
        }
    }
    Ok(())
}

/// What ends in the middle is undone when the connection is dropped, which the caller does on error.
async fn apply(conn: &mut Conn, number: i64, sql: &'static str, checksum: &[u8]) -> Result<(), StorageError> {
    conn.script("BEGIN").await?;
    conn.script(sql).await?;
    conn.execute(
        "INSERT INTO schema_step (number, sha256, applied) VALUES ($1, $2, $3)",
        params![number, checksum, Timestamp::now().unix()],
    )
    .await?;
    conn.script("COMMIT").await
}
