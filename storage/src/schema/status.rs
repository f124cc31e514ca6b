//! How the schema is, for people.

use uuid::Uuid;

use super::{RoleStatus, Schema, Step, applied, nodes, params, roles};
use crate::{StorageError, sql::Conn};

/// How the schema of a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The newest step in the database.
    pub newest: i64,
    /// The step that a release must know to work with the database.
    pub lowest: i64,
    /// The newest step that this release knows.
    pub known: i64,
    /// Steps that this release knows and the database does not have.
    pub missing: Vec<StepStatus>,
    /// The servers that share the database. None: it is a file, which one server uses.
    pub nodes: Option<Vec<NodeStatus>>,
    /// The role in PostgreSQL that asks. None: the database is a file.
    pub role: Option<RoleStatus>,
}

/// A step that was not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepStatus {
    /// Its number.
    pub number: i64,
    /// The step that a release must know to work with the database after it.
    pub works_with: i64,
}

/// A server that shares the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// This run of it: [`crate::Store::node`].
    pub id: Uuid,
    /// Its machine's name.
    pub name: String,
    /// The id in its data folder.
    pub host: Uuid,
    /// Its release.
    pub release: String,
    /// The newest step that it knows.
    pub schema: i64,
    /// How many seconds ago it was heard of.
    pub age: i64,
    /// Whether it runs.
    pub live: bool,
}

impl Schema {
    /// How a database's schema is. Changes nothing.
    pub(crate) fn status(self, conn: &mut Conn) -> Result<SchemaStatus, StorageError> {
        let exists: Option<bool> = match conn {
            Conn::Sqlite(_) => {
                conn.scalar("SELECT count(*) > 0 FROM sqlite_master WHERE name = 'schema_step'", params![])?
            }
            Conn::Postgres(_) => Some(roles::has_tables(conn)?),
        };
        if exists != Some(true) {
            return Err(StorageError::Options("the database holds no server".to_owned()));
        }
        let applied = applied(conn)?;
        let missing = |step: &&Step| !applied.iter().any(|(number, ..)| *number == step.number);
        Ok(SchemaStatus {
            newest: applied.last().map_or(0, |(number, ..)| *number),
            lowest: applied.iter().map(|(.., works_with)| *works_with).max().unwrap_or(0),
            known: self.newest(),
            missing: self
                .steps
                .iter()
                .filter(missing)
                .map(|step| StepStatus { number: step.number, works_with: step.works_with })
                .collect(),
            nodes: match conn {
                Conn::Sqlite(_) => None,
                Conn::Postgres(_) => Some(node_status(conn)?),
            },
            role: roles::of_session(conn)?,
        })
    }
}

fn node_status(conn: &mut Conn) -> Result<Vec<NodeStatus>, StorageError> {
    let mut found = Vec::new();
    for row in nodes::all(conn)? {
        let live = nodes::is_live(conn, &row)?;
        found.push(row.status(live));
    }
    Ok(found)
}
