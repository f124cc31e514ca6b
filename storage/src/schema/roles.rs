//! Two roles of PostgreSQL: one owns the tables and changes the schema, and servers work as another one, which can add
//! entries to the record and can't change or remove any.
//!
//! Whoever steals a server has the second role only. The triggers that keep the record would not stop an owner, who can
//! switch them off.

use super::{POSTGRES_LOCK, POSTGRES_UNLOCK, Schema, params};
use crate::{StorageError, sql::Conn, transfer};

/// What the role of a PostgreSQL session can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleStatus {
    /// Its name.
    pub name: String,
    /// Whether it may change or remove entries of the record, or could allow itself to do so.
    pub can_change_record: bool,
}

/// Whether the session's role is, or can become, the owner of the tables; while there are none, whether it can make them.
const OWNS: &str = "SELECT coalesce((SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class
        WHERE oid = to_regclass('schema_step')), has_schema_privilege(current_schema(), 'CREATE'), FALSE)";

const HAS_TABLES: &str = "SELECT to_regclass('schema_step') IS NOT NULL";

/// The session's role, and whether it may change what was written, or could switch off what guards it.
const ROLE: &str = "SELECT current_user::TEXT, EXISTS (SELECT 1 FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace
        AND relname IN ('record', 'record_subtree', 'rule_version', 'template_version')
        AND (has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER') OR pg_has_role(relowner, 'MEMBER')))
    OR has_schema_privilege(current_schema(), 'CREATE')
    OR EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = current_schema() AND pg_has_role(nspowner, 'MEMBER'))
    OR EXISTS (SELECT 1 FROM pg_database WHERE datname = current_database() AND pg_has_role(datdba, 'MEMBER'))";

/// Whether a role exists, and whether it is or can become the one of this session, or owns what the tables are in.
const CANDIDATE: &str = "SELECT rolsuper
        OR pg_has_role(oid, (SELECT oid FROM pg_roles WHERE rolname = current_user), 'MEMBER')
        OR EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = current_schema() AND pg_has_role(r.oid, nspowner, 'MEMBER'))
        OR EXISTS (SELECT 1 FROM pg_database WHERE datname = current_database() AND pg_has_role(r.oid, datdba, 'MEMBER'))
    FROM pg_roles r WHERE rolname = $1";

const TABLES: &str = "SELECT relname::TEXT FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v') ORDER BY 1";

/// Whether the session may change the schema. A file has one server, which may.
pub(super) fn owns(conn: &mut Conn) -> Result<bool, StorageError> {
    match conn {
        Conn::Sqlite(_) => Ok(true),
        Conn::Postgres(_) => Ok(conn.scalar(OWNS, params![])? == Some(true)),
    }
}

/// Whether the database has a schema of ours.
pub(super) fn has_tables(conn: &mut Conn) -> Result<bool, StorageError> {
    Ok(conn.scalar(HAS_TABLES, params![])? == Some(true))
}

/// The session's role. None if the database is a file.
pub(super) fn of_session(conn: &mut Conn) -> Result<Option<RoleStatus>, StorageError> {
    let Conn::Postgres(_) = conn else { return Ok(None) };
    let role: Option<(String, bool)> = conn.optional(ROLE, params![])?;
    Ok(role.map(|(name, can_change_record)| RoleStatus { name, can_change_record }))
}

impl Schema {
    /// Applies the steps that running servers can work with, and gives `role` what a server needs, and no more. The
    /// first step that was postponed, if one was.
    pub(crate) fn prepare(self, conn: &mut Conn, role: &str) -> Result<Option<super::Postponed>, StorageError> {
        match conn.scalar::<bool>(CANDIDATE, params![role])? {
            None => {
                return Err(StorageError::Options(format!(
                    "PostgreSQL has no role {role}: make it with CREATE ROLE {} LOGIN PASSWORD '…'",
                    quoted(role)
                )));
            }
            Some(true) => {
                return Err(StorageError::Options(format!(
                    "the role {role} is a superuser, or can act as the owner of the tables, the schema or the database: \
                     servers that work as it could change the record; name another role"
                )));
            }
            Some(false) => {}
        }
        if !owns(conn)? {
            return Err(StorageError::Options(
                "the tables belong to another role: name the one that owns them in the database's url".to_owned(),
            ));
        }
        // What belongs to something else is not the servers' business.
        transfer::expect_nothing_else(conn)?;
        let postponed = self.apply(conn, None)?;
        conn.script(POSTGRES_LOCK)?;
        let granted = grant(conn, role);
        conn.script(POSTGRES_UNLOCK)?;
        granted.map(|()| postponed)
    }
}

fn grant(conn: &mut Conn, role: &str) -> Result<(), StorageError> {
    let tables: Vec<(String,)> = conn.all(TABLES, params![])?;
    let schema: Option<String> = conn.scalar("SELECT quote_ident(current_schema())", params![])?;
    let schema = schema.ok_or_else(|| StorageError::Options("the database has no schema to work in".to_owned()))?;
    let role = quoted(role);
    let mut script = format!(
        "BEGIN; REVOKE CREATE ON SCHEMA {schema} FROM {role}, PUBLIC; GRANT USAGE ON SCHEMA {schema} TO {role};"
    );
    for (table,) in tables {
        let (privileges, table) = (privileges(&table), quoted(&table));
        script += &format!("REVOKE ALL ON {table} FROM {role}, PUBLIC; GRANT {privileges} ON {table} TO {role};");
    }
    script += "COMMIT";
    match conn {
        Conn::Sqlite(_) => Ok(()),
        Conn::Postgres(conn) => conn.run(async |session| session.script(&script).await),
    }
}

/// What a server needs of a table or view. A table that is not named here keeps rows that come and go.
fn privileges(table: &str) -> &'static str {
    match table {
        "record" | "record_subtree" | "rule_version" | "template_version" => "SELECT, INSERT",
        "record_head" => "SELECT, UPDATE",
        "log_key" | "log_checkpoint" | "log_published" | "signing_key" | "server" => "SELECT, INSERT, UPDATE",
        "schema_step" => "SELECT",
        _ => "SELECT, INSERT, UPDATE, DELETE",
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
