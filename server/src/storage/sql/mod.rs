//! One way to speak SQL to both databases.
//!
//! Statements are written once, in what SQLite and PostgreSQL have in common: placeholders are `$1`, `$2`, …; truth is
//! `BOOLEAN` in one and 0 or 1 in the other, so conditions say `disabled` and `NOT disabled`; ids are `UUID` or 16 bytes.
//! What differs (the schema, opening and committing a transaction) has a file for each.

pub(super) mod postgres;
pub(super) mod sqlite;

use std::sync::Arc;

use super::StorageError;

/// A value that both databases take.
pub(crate) trait Param: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync {}

impl<T: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync> Param for T {}

/// A value that both databases give.
pub(crate) trait Column: rusqlite::types::FromSql + for<'r> tokio_postgres::types::FromSql<'r> {}

impl<T: rusqlite::types::FromSql + for<'r> tokio_postgres::types::FromSql<'r>> Column for T {}

/// The parameters of one statement.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$(&$value as &dyn $crate::storage::sql::Param),*] };
}
pub(crate) use params;

/// One row of an answer.
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// The column at `index`, counted from 0.
    pub(crate) fn get<T: Column>(&self, index: usize) -> Result<T, StorageError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(index)?),
            Self::Postgres(row) => Ok(row.try_get(index)?),
        }
    }
}

/// What a row is read into.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError>;
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Column),*> FromRow for ($($name,)*) {
            fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
                Ok(($(row.get::<$name>($index)?,)*))
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// A connection inside a transaction of the writer.
pub(crate) enum Conn {
    Sqlite(rusqlite::Connection),
    Postgres(Arc<postgres::Session>),
}

/// A statement and its parameters.
pub(crate) type Statement<'p> = (&'static str, &'p [&'p dyn Param]);

impl Conn {
    /// Two statements of which neither needs the other's answer: PostgreSQL gets them in one exchange. How many rows each
    /// changed.
    pub(crate) async fn execute_both(
        &mut self,
        first: Statement<'_>,
        second: Statement<'_>,
    ) -> Result<(u64, u64), StorageError> {
        match self {
            Self::Sqlite(conn) => {
                Ok((sqlite::execute(conn, first.0, first.1)?, sqlite::execute(conn, second.0, second.1)?))
            }
            Self::Postgres(session) => {
                tokio::try_join!(session.execute(first.0, first.1), session.execute(second.0, second.1))
            }
        }
    }

    /// How many rows changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<u64, StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::execute(conn, sql, params),
            Self::Postgres(session) => session.execute(sql, params).await,
        }
    }

    /// The rows in their order.
    pub(crate) async fn all<T: FromRow>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Vec<T>, StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::all(conn, sql, params),
            Self::Postgres(session) => session.all(sql, params).await,
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn optional<T: FromRow>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Option<T>, StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::optional(conn, sql, params),
            Self::Postgres(session) => session.optional(sql, params).await,
        }
    }

    /// The first column of the first row, if there is one.
    pub(crate) async fn scalar<T: Column>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Option<T>, StorageError> {
        Ok(self.optional::<(T,)>(sql, params).await?.map(|(value,)| value))
    }
}

impl Conn {
    /// Runs a script of several statements without parameters.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::script(conn, sql),
            Self::Postgres(session) => session.script(sql).await,
        }
    }
}

/// The connections that read what has been committed.
pub(crate) enum Reader {
    Sqlite(sqlite::Readers),
    Postgres(postgres::Readers),
}

impl Reader {
    /// The rows in their order.
    pub(crate) async fn all<T: FromRow>(
        &self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Vec<T>, StorageError> {
        match self {
            Self::Sqlite(readers) => sqlite::all(&readers.one(), sql, params),
            Self::Postgres(readers) => readers.one().await?.all(sql, params).await,
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn optional<T: FromRow>(
        &self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Option<T>, StorageError> {
        match self {
            Self::Sqlite(readers) => sqlite::optional(&readers.one(), sql, params),
            Self::Postgres(readers) => readers.one().await?.optional(sql, params).await,
        }
    }
}
