//! One way to speak SQL to both databases.
//!
//! Statements are written once, in what SQLite and PostgreSQL have in common: placeholders are `$1`, `$2`, …; truth is
//! `BOOLEAN` in one and 0 or 1 in the other, so conditions say `disabled` and `NOT disabled`; ids are `UUID` or 16
//! bytes. What differs (the schema, opening and committing a transaction) has a file for each.

pub(super) mod postgres;
pub(super) mod sqlite;

use super::StorageError;

/// A value that both databases take.
pub(crate) trait Param: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync {}

impl<T: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync> Param for T {}

/// A value that both databases give.
pub(crate) trait Column: rusqlite::types::FromSql + for<'r> tokio_postgres::types::FromSql<'r> {}

impl<T: rusqlite::types::FromSql + for<'r> tokio_postgres::types::FromSql<'r>> Column for T {}

/// The parameters of one statement.
/// Every role that a principal has in a project, by itself and by its groups, for FROM. No view: verification compares
/// tables with the record, and the text of a view would be a way around that.
macro_rules! principal_role {
    () => {
        "(SELECT project_id, principal_id, role FROM project_principal UNION ALL
            SELECT in_project.project_id, in_group.principal_id, in_project.role
            FROM project_group in_project JOIN group_member in_group ON in_group.group_id = in_project.group_id)"
    };
}

macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$(&$value as &dyn $crate::sql::Param),*] };
}
pub(crate) use params;
pub(crate) use principal_role;

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

/// A connection for one thread that may wait: the writer's, and that of the start.
pub(crate) enum Conn {
    Sqlite(rusqlite::Connection),
    Postgres(postgres::Blocking),
}

impl Conn {
    /// How many rows changed.
    pub(crate) fn execute(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<u64, StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::execute(conn, sql, params),
            Self::Postgres(conn) => conn.run(|session| session.execute(sql, params)),
        }
    }

    /// The rows in their order.
    pub(crate) fn all<T: FromRow>(&mut self, sql: &'static str, params: &[&dyn Param]) -> Result<Vec<T>, StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::all(conn, sql, params),
            Self::Postgres(conn) => conn.run(|session| session.all(sql, params)),
        }
    }

    /// The first row, if there is one.
    pub(crate) fn optional<T: FromRow>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Option<T>, StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::optional(conn, sql, params),
            Self::Postgres(conn) => conn.run(|session| session.optional(sql, params)),
        }
    }

    /// The first column of the first row, if there is one.
    pub(crate) fn scalar<T: Column>(
        &mut self,
        sql: &'static str,
        params: &[&dyn Param],
    ) -> Result<Option<T>, StorageError> {
        Ok(self.optional::<(T,)>(sql, params)?.map(|(value,)| value))
    }

    /// Runs a script of several statements without parameters.
    pub(crate) fn script(&mut self, sql: &'static str) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::script(conn, sql),
            Self::Postgres(conn) => conn.run(|session| session.script(sql)),
        }
    }

    /// Runs a script before the next statement: PostgreSQL gets both in one exchange.
    pub(crate) fn script_before_next(&mut self, sql: &'static str) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(conn) => sqlite::script(conn, sql),
            Self::Postgres(conn) => conn.defer(sql),
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
