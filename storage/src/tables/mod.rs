//! The tables as they are, for comparing them with the record: `sealcard_record::fold` says what they must hold.

mod columns;
mod read;

use sealcard_record::{Head, fold::Row};
use tokio::{runtime::Handle, task::spawn_blocking};

pub use self::columns::{Folded, TABLES as FOLDED_TABLES};
use self::read::READERS;
pub use self::read::public_key_sha256;
use crate::{
    Database, StorageError, Store,
    record::{RecordRow, entries_after, read_log},
    sql::{Conn, params, postgres::Blocking, sqlite},
};

/// How many rows are read at once.
const PAGE: i64 = 1000;

/// The database at one moment: what is read of it belongs together, though others write meanwhile.
pub struct Tables<'c>(&'c mut Conn);

/// A row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableRow {
    /// It is to be compared.
    Row(Box<Row>),
    /// It holds what no server writes.
    Unreadable {
        /// The table.
        table: &'static str,
        /// What is wrong, for a person.
        error: String,
    },
}

impl Store {
    /// Reads the tables in one transaction, beside all that is written meanwhile.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_tables<T: Send + 'static>(
        &self,
        work: impl FnOnce(Tables<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        Self::read_tables_of(&self.database, work).await
    }

    /// The same for a database that another process may use.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read_tables_of<T: Send + 'static>(
        database: &Database,
        work: impl FnOnce(Tables<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (database, runtime) = (database.clone(), Handle::current());
        let read = move || {
            // A connection of its own: those of others are wanted meanwhile.
            let (mut conn, begin) = match &database {
                Database::Sqlite(path) => (Conn::Sqlite(sqlite::open_for_reading(path)?), "BEGIN"),
                Database::Postgres(options) => (
                    Conn::Postgres(Blocking::connect(options, runtime)?),
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                ),
            };
            conn.script(begin)?;
            let done = work(Tables(&mut conn))?;
            conn.script("COMMIT")?;
            Ok(done)
        };
        spawn_blocking(read).await.map_err(|_| StorageError::Panicked)?
    }
}

impl Tables<'_> {
    /// The end of the record.
    ///
    /// # Errors
    /// If the database fails, or what is kept of the log does not fit the entries.
    pub fn head(&mut self) -> Result<Head, StorageError> {
        Ok(Head::of(&read_log(self.0)?))
    }

    /// So many entries of the record after this one, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn entries(&mut self, after: u64, limit: u32) -> Result<Vec<RecordRow>, StorageError> {
        entries_after(self.0, after, limit)
    }

    /// The rows of all tables that follow from the record, those first that others refer to.
    ///
    /// # Errors
    /// If the database fails, or as `each`.
    pub fn rows<E: From<StorageError>>(&mut self, mut each: impl FnMut(TableRow) -> Result<(), E>) -> Result<(), E> {
        for reader in READERS {
            let mut offset = 0;
            loop {
                let page = (reader.page)(self.0, offset)?;
                let read = page.len() as i64;
                for row in page {
                    each(match row {
                        Ok(row) => TableRow::Row(Box::new(row)),
                        Err(error) => TableRow::Unreadable { table: reader.table, error },
                    })?;
                }
                if read < PAGE {
                    break;
                }
                offset += read;
            }
        }
        Ok(())
    }
}

/// The rows of one page of a table, as far as they can be read.
type Page = Vec<Result<Row, String>>;

fn page<T>(conn: &mut Conn, sql: &'static str, offset: i64) -> Result<Page, StorageError>
where
    read::Read<T>: crate::sql::FromRow,
    Row: From<T>,
{
    let rows: Vec<read::Read<T>> = conn.all(sql, params![PAGE, offset])?;
    Ok(rows.into_iter().map(|read::Read(row)| row.map(Row::from)).collect())
}
