//! The servers that share a PostgreSQL database: which of them run, and what each knows of the schema.

use std::fmt;

use uuid::Uuid;

use super::{NodeStatus, Schema, params};
use crate::{
    StorageError, Store,
    sql::{Conn, FromRow, Reader, Row},
    writer,
};

/// A server that was not heard of for so long, and has no connection, does not run. It says that it does several times
/// as often.
const LIVE_SECONDS: i64 = 180;

/// Rows of servers that ended without a word are removed after a week.
const FORGET_SECONDS: i64 = 7 * 86_400;

/// Times are the database's own.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS node (
    id     UUID PRIMARY KEY,     -- this run of the server, whose connection holds its lock
    host   UUID NOT NULL,
    name   TEXT NOT NULL,
    release TEXT NOT NULL,
    schema BIGINT NOT NULL,      -- the newest step that it knows
    seen   BIGINT NOT NULL,
    master_keys TEXT NOT NULL DEFAULT '')   -- ENVIRONMENT:MASTER-KEY of each that its signers have";

/// A server as it announces itself.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// This run of it.
    pub(crate) id: Uuid,
    /// Its machine, or data folder.
    pub(crate) host: Uuid,
}

/// A server as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(super) id: Uuid,
    pub(super) host: Uuid,
    pub(crate) name: String,
    pub(super) release: String,
    pub(super) schema: i64,
    /// How long ago it was heard of.
    pub(super) age: i64,
    /// Which master keys its signers have.
    pub(crate) master_keys: String,
}

impl fmt::Display for NodeRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (release {}, schema {})", self.name, self.release, self.schema)
    }
}

impl FromRow for NodeRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            id: row.get(0)?,
            host: row.get(1)?,
            name: row.get(2)?,
            release: row.get(3)?,
            schema: row.get(4)?,
            age: row.get(5)?,
            master_keys: row.get(6)?,
        })
    }
}

/// All rows.
const ALL: &str = "SELECT id, host, name, release, schema, extract(epoch FROM now())::BIGINT - seen, master_keys
    FROM node ORDER BY name, id";

pub(super) fn all(conn: &mut Conn) -> Result<Vec<NodeRow>, StorageError> {
    conn.all(ALL, params![])
}

impl NodeRow {
    pub(super) fn status(self, live: bool) -> NodeStatus {
        let Self { id, host, name, release, schema, age, .. } = self;
        NodeStatus { id, name, host, release, schema, age, live }
    }
}

impl Store {
    /// The servers that share the database. None if it is a file, which one server uses.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, StorageError> {
        let Reader::Postgres(_) = self.reader() else { return Ok(Vec::new()) };
        let (rows, mut nodes): (Vec<NodeRow>, _) = (self.reader().all(ALL, params![]).await?, Vec::new());
        for row in rows {
            let live = row.age < LIVE_SECONDS || !self.node_has_ended(row.id).await?;
            nodes.push(row.status(live));
        }
        Ok(nodes)
    }
}

/// Whether the server runs, as far as that can be known: one whose connection broke a moment ago does.
pub(super) fn is_live(conn: &mut Conn, node: &NodeRow) -> Result<bool, StorageError> {
    Ok(node.age < LIVE_SECONDS || is_connected(conn, node.id)?)
}

fn is_connected(conn: &mut Conn, node: Uuid) -> Result<bool, StorageError> {
    let ended: Option<bool> = conn.scalar(writer::NODE_HAS_ENDED, params![writer::lock_number(node)])?;
    Ok(ended == Some(false))
}

/// The servers that run, beside `node`. Removes what earlier runs of it have left.
pub(crate) fn live_others(conn: &mut Conn, node: Option<&Node>) -> Result<Vec<NodeRow>, StorageError> {
    let mut live = Vec::new();
    for other in all(conn)?.into_iter().filter(|other| node.is_none_or(|node| other.id != node.id)) {
        let same_host = node.is_some_and(|node| other.host == node.host);
        let earlier_run = same_host && !is_connected(conn, other.id)?;
        if earlier_run || (other.age > FORGET_SECONDS && !is_connected(conn, other.id)?) {
            conn.execute("DELETE FROM node WHERE id = $1", params![other.id])?;
        } else if is_live(conn, &other)? {
            live.push(other);
        }
    }
    Ok(live)
}

/// Says that this server runs.
pub(super) fn announce(conn: &mut Conn, node: &Node, schema: i64) -> Result<(), StorageError> {
    let name = nix::unistd::gethostname().map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    conn.execute(
        "INSERT INTO node (id, host, name, release, schema, seen)
            VALUES ($1, $2, $3, $4, $5, extract(epoch FROM now())::BIGINT)
            ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
        params![node.id, node.host, name, env!("CARGO_PKG_VERSION"), schema],
    )?;
    Ok(())
}

/// Says again that this server runs. The newest step of the schema.
///
/// # Errors
/// [`StorageError::NewerSchema`] if it must not run any more.
pub(crate) fn refresh(conn: &mut Conn, node: &Node, schema: Schema) -> Result<i64, StorageError> {
    let newest: Option<(i64, i64)> = conn.optional(super::READ_NEWEST, params![])?;
    let (found, lowest) = newest.unwrap_or_default();
    schema.expect_works(found, lowest)?;
    announce(conn, node, schema.newest())?;
    Ok(found)
}

/// Says which master keys this server's signers have.
pub(crate) fn announce_master_keys(conn: &mut Conn, node: &Node, text: &str) -> Result<(), StorageError> {
    conn.execute("UPDATE node SET master_keys = $2 WHERE id = $1", params![node.id, text]).map(drop)
}

/// Says that this server has ended.
pub(crate) fn forget(conn: &mut Conn, node: &Node) -> Result<(), StorageError> {
    conn.execute("DELETE FROM node WHERE id = $1", params![node.id]).map(drop)
}
