//! Moving a server's data from SQLite to PostgreSQL: all tables in one transaction, compared before it is committed.

mod tables;
mod value;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use sealcard_record::{Head, Salt, Sha256, leaf_hash};
use sealcard_transparency::{Frontier, Hash};
use tokio::runtime::Handle;

use self::{
    tables::Table,
    value::{Column, Value},
};
use super::{
    Database, PostgresOptions, StorageError, Store, lock,
    schema::{self, Schema},
    sql::{
        Conn, Row, params,
        postgres::{Blocking, Session},
        sqlite,
    },
};
pub(crate) use tables::TABLES;

/// Rows that are read back at once.
const PAGE: usize = 2_000;

/// How often progress is told, in rows.
const PROGRESS: u64 = 10_000;

/// A table of millions of rows takes longer than any statement of a server may.
const UNLIMITED: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// What is done at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    /// The table.
    pub table: &'static str,
    /// Whether its rows are compared, after they were copied.
    pub comparing: bool,
    /// Rows that are done.
    pub done: u64,
    /// All its rows.
    pub rows: u64,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// How many tables.
    pub tables: usize,
    /// Rows of all tables.
    pub rows: u64,
    /// The end of the record, whose log was made anew from the entries in the new database.
    pub record: Head,
}

impl Store {
    /// Copies all data of the server in the SQLite file `from` to an empty PostgreSQL database: all or nothing. Then
    /// each table has the same rows in both, and the record's log is whole. The file is not changed, except that its
    /// schema is brought up to date.
    ///
    /// # Errors
    /// If a server uses the file, the database is not empty, or something differs after the copy.
    pub async fn transfer(
        from: &Path,
        to: &PostgresOptions,
        progress: impl FnMut(TransferProgress) + Send + 'static,
    ) -> Result<Transferred, StorageError> {
        let (from, to, runtime) = (from.to_owned(), to.clone(), Handle::current());
        let work = move || transfer(from, to, &runtime, progress);
        tokio::task::spawn_blocking(work).await.map_err(|_| StorageError::Panicked)?
    }
}

fn transfer(
    from: PathBuf,
    to: PostgresOptions,
    runtime: &Handle,
    mut progress: impl FnMut(TransferProgress),
) -> Result<Transferred, StorageError> {
    let _lock = lock(&from)?;
    let schema = Schema::of_this_release();
    let mut source = Conn::Sqlite(sqlite::open(&from)?);
    schema.apply(&mut source, None)?;
    let Conn::Sqlite(source) = source else { return Err(StorageError::Closed) };
    let mut target = super::connect(&Database::Postgres(to), runtime)?;
    expect_nothing_else(&mut target)?;
    schema.apply(&mut target, None)?;
    let Conn::Postgres(mut target) = target else { return Err(StorageError::Closed) };
    // What was done before an error is undone when the connection is dropped.
    target.run(async |session| {
        session.script(UNLIMITED).await?;
        session.script("BEGIN").await?;
        expect_empty(session).await
    })?;
    let mut rows = 0;
    let mut log = Frontier::new();
    for table in TABLES {
        let columns = columns(&source, &mut target, table)?;
        let copy = Copy { table, columns, source: &source };
        let copied = copy.write(&mut target, &mut progress)?;
        let found = copy.read_back(&mut target, copied.rows, &mut log, &mut progress)?;
        if copied != found {
            let (name, there, here) = (table.name, copied.rows, found.rows);
            return Err(StorageError::Damaged(format!(
                "the table {name} has {there} rows in the file and {here} in PostgreSQL, or other ones: nothing was moved"
            )));
        }
        rows += copied.rows;
    }
    let changes: i64 = source.query_row("SELECT changes FROM record_head", [], |row| row.get(0))?;
    let set = "UPDATE record_head SET log = $1, changes = $2";
    let values = params![log.to_bytes(), changes];
    target.run(async |session| session.execute(set, values).await)?;
    target.run(async |session| session.script("COMMIT").await).map_err(StorageError::into_commit)?;
    Ok(Transferred { tables: TABLES.len(), rows, record: Head::of(&log) })
}

/// Refuses a database that belongs to something else.
pub(crate) fn expect_nothing_else(target: &mut Conn) -> Result<(), StorageError> {
    let found: Vec<(String,)> = target.all(
        "SELECT table_name::TEXT FROM information_schema.tables
            WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1",
        params![],
    )?;
    let ours = |name: &str| {
        name == "record_head" || schema::OWN_TABLES.contains(&name) || TABLES.iter().any(|table| table.name == name)
    };
    match found.iter().find(|(name,)| !ours(name)) {
        Some((other,)) => Err(StorageError::Options(format!(
            "the PostgreSQL database is not empty, it has a table {other}: name an empty database"
        ))),
        None => Ok(()),
    }
}

/// Refuses a database that holds a server.
async fn expect_empty(session: &Session) -> Result<(), StorageError> {
    for table in TABLES {
        let any = session.dynamic(&format!("SELECT 1 FROM {} LIMIT 1", table.name)).await?;
        if !any.is_empty() {
            return Err(StorageError::Options(
                "the PostgreSQL database holds a server already: name an empty database".to_owned(),
            ));
        }
    }
    Ok(())
}

/// The columns of a table, which are the same in both databases.
fn columns(source: &rusqlite::Connection, target: &mut Blocking, table: &Table) -> Result<Vec<Column>, StorageError> {
    let mut statement = source.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name")?;
    let names = statement.query_map([table.name], |row| row.get(0))?;
    let there: Vec<String> = names.collect::<Result<_, _>>()?;
    let found: Vec<(String, String)> = target.run(async |session| {
        let sql = "SELECT column_name::TEXT, data_type::TEXT FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name = $1 ORDER BY column_name COLLATE \"C\"";
        session.all(sql, params![table.name]).await
    })?;
    let same = there.iter().eq(found.iter().map(|(name, _)| name));
    if !same || there.is_empty() {
        return Err(StorageError::Damaged(format!("the table {} has other columns in PostgreSQL", table.name)));
    }
    found.into_iter().map(|(name, kind)| Column::new(name, &kind)).collect()
}

/// The number of rows, and a digest of all of them in the order of their keys.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    rows: u64,
    digest: Vec<u8>,
}

/// A table that is copied.
struct Copy<'a> {
    table: &'static Table,
    columns: Vec<Column>,
    source: &'a rusqlite::Connection,
}

impl Copy<'_> {
    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.join(", ")
    }

    fn progress(&self, comparing: bool, done: u64, rows: u64) -> TransferProgress {
        TransferProgress { table: self.table.name, comparing, done, rows }
    }

    /// Writes all rows of the file to PostgreSQL.
    fn write(
        &self,
        target: &mut Blocking,
        progress: &mut impl FnMut(TransferProgress),
    ) -> Result<Content, StorageError> {
        let (name, names, key) = (self.table.name, self.names(), self.table.key.join(", "));
        let total: i64 = self.source.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))?;
        let total = total.cast_unsigned();
        let mut statement = self.source.prepare(&format!("SELECT {names} FROM {name} ORDER BY {key}"))?;
        let mut rows = statement.query([])?;
        let types: Vec<_> = self.columns.iter().map(Column::sql_type).collect();
        let mut content = ContentReader::new();
        progress(self.progress(false, 0, total));
        target.run(async |session| {
            let copy = format!("COPY {name} ({names}) FROM STDIN BINARY");
            let mut writer = std::pin::pin!(session.copy_in(&copy, &types).await?);
            while let Some(row) = rows.next()? {
                let values = self.values(&Row::Sqlite(row))?;
                content.add(&values);
                writer.as_mut().write_raw(values.iter().map(Value::as_sql)).await?;
                if content.rows.is_multiple_of(PROGRESS) {
                    progress(self.progress(false, content.rows, total));
                }
            }
            writer.finish().await?;
            Ok(())
        })?;
        Ok(content.finish())
    }

    /// Reads all rows from PostgreSQL. Those of the record are appended to `log`.
    fn read_back(
        &self,
        target: &mut Blocking,
        total: u64,
        log: &mut Frontier,
        progress: &mut impl FnMut(TransferProgress),
    ) -> Result<Content, StorageError> {
        let key: Vec<String> = self.table.key.iter().map(|key| self.in_order(key)).collect();
        let select = format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.table.name, key.join(", "));
        let record = self.table.name == "record";
        let place = |name: &str| self.columns.iter().position(|column| column.name == name).unwrap_or_default();
        let [sequence, body, salt, hash] = ["sequence", "body", "salt", "hash"].map(place);
        let mut content = ContentReader::new();
        progress(self.progress(true, 0, total));
        target.run(async |session| {
            session.script(&format!("DECLARE page CURSOR FOR {select}")).await?;
            loop {
                let rows = session.dynamic(&format!("FETCH {PAGE} FROM page")).await?;
                for row in &rows {
                    let values = self.values(&Row::Postgres(row))?;
                    content.add(&values);
                    if record {
                        append(log, [sequence, body, salt, hash].map(|place| values.get(place)))?;
                    }
                    if content.rows.is_multiple_of(PROGRESS) {
                        progress(self.progress(true, content.rows, total));
                    }
                }
                if rows.len() < PAGE {
                    break;
                }
            }
            session.script("CLOSE page").await
        })?;
        Ok(content.finish())
    }

    /// A column by which PostgreSQL sorts as SQLite does.
    fn in_order(&self, key: &str) -> String {
        let text = self.columns.iter().any(|column| column.name == key && column.is_text());
        if text { format!("{key} COLLATE \"C\"") } else { key.to_owned() }
    }

    fn values(&self, row: &Row<'_>) -> Result<Vec<Value>, StorageError> {
        self.columns.iter().enumerate().map(|(index, column)| column.read(row, index)).collect()
    }
}

/// Appends an entry, which must be what its hash says, to the log.
fn append(log: &mut Frontier, [sequence, body, salt, hash]: [Option<&Value>; 4]) -> Result<(), StorageError> {
    let (
        Some(Value::Int(Some(sequence))),
        Some(Value::Text(Some(body))),
        Some(Value::Bytes(Some(salt))),
        Some(Value::Bytes(Some(hash))),
    ) = (sequence, body, salt, hash)
    else {
        return Err(StorageError::Damaged("a row of the record lacks its body".to_owned()));
    };
    let broken = || {
        StorageError::Damaged(format!(
            "the entry {sequence} of the record was changed; sealcard admin record verify says more"
        ))
    };
    let salt = salt.as_slice().try_into().map(Salt).map_err(|_| broken())?;
    let hash = Hash::from_slice(hash).ok_or_else(broken)?;
    log.append(hash).map_err(|_| broken())?;
    let is_next = u64::try_from(*sequence).is_ok_and(|sequence| sequence == log.size());
    if is_next && leaf_hash(body, &salt).ok() == Some(Sha256(hash.0)) { Ok(()) } else { Err(broken()) }
}

/// Digests rows as they come.
struct ContentReader {
    rows: u64,
    context: Context,
}

impl ContentReader {
    fn new() -> Self {
        Self { rows: 0, context: Context::new(&SHA256) }
    }

    fn add(&mut self, values: &[Value]) {
        self.rows += 1;
        for value in values {
            value.digest(&mut self.context);
        }
    }

    fn finish(self) -> Content {
        Content { rows: self.rows, digest: self.context.finish().as_ref().to_vec() }
    }
}
