//! The schema: numbered steps, applied in order, each once and in one transaction.
//!
//! Servers of two releases may share a database while it is upgraded. So each step says how much of the schema a
//! release must know to work with the database after that step. A step that only adds (expand) works with releases from
//! before it. A step that takes something away (contract) works only with releases that know what replaces it: it is
//! postponed while a server runs that does not. `docs/decisions/upgrades.md` says how steps are written.

#[cfg(feature = "failpoints")]
mod next;
mod nodes;
mod roles;
mod status;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use sealcard_api::Timestamp;

pub(crate) use nodes::{Node, announce_master_keys, forget, live_others, refresh};
pub use roles::RoleStatus;
pub use status::{NodeStatus, SchemaStatus, StepStatus};

use super::{
    StorageError,
    sql::{Conn, params},
};

/// One step. A step that was released is never changed: add another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) number: i64,
    /// The lowest newest step of a release that works with the database after this step.
    pub(crate) works_with: i64,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

/// The steps that a release knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema {
    pub(crate) steps: &'static [Step],
    /// The newest step that the release needs to work. Later ones may be postponed.
    pub(crate) needed: i64,
}

pub(crate) const IDENTITY: Step = Step {
    number: 1,
    works_with: 1,
    sqlite: include_str!("../../migrations/sqlite/0001_identity.sql"),
    postgres: include_str!("../../migrations/postgres/0001_identity.sql"),
};

pub(crate) const KEYS: Step = Step {
    number: 2,
    works_with: 2,
    sqlite: include_str!("../../migrations/sqlite/0002_keys.sql"),
    postgres: include_str!("../../migrations/postgres/0002_keys.sql"),
};

/// The schema of this release.
pub(crate) const SCHEMA: Schema = Schema { steps: &[IDENTITY, KEYS], needed: 2 };

/// Tables beside those of the steps: they are of one database, and are never copied to another.
pub(crate) const OWN_TABLES: [&str; 2] = ["schema_step", "node"];

/// Held while the schema is changed, and while servers announce themselves: several may start at once.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_lock(7163384690532115556)";
const POSTGRES_UNLOCK: &str = "SELECT pg_advisory_unlock(7163384690532115556)";

/// Begins a transaction in which no server changes the schema.
pub(crate) const SCHEMA_STAYS: &str = "BEGIN; SELECT pg_advisory_xact_lock_shared(7163384690532115556)";

/// One server may wait as long as another one changes the schema.
const UNLIMITED: &str = "SET lock_timeout = 0; SET statement_timeout = 0";
/// What waits for a table is waited for by all who use the table: better to try again later.
const STEP_LOCK_TIMEOUT: &str = "SET lock_timeout = '3s'";

/// A step that was not applied, though this release knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postponed {
    /// Its number.
    pub step: i64,
    /// What it waits for.
    pub cause: Cause,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The end of these servers, which can't work with the database after it. For people.
    Servers(String),
    /// The tables belong to another role: whoever has it must run `sealcard-server database prepare`.
    Owner,
}

impl fmt::Display for Postponed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema step {} waits until ", self.step)?;
        match &self.cause {
            Cause::Servers(nodes) => write!(f, "these servers are upgraded or stopped: {nodes}"),
            Cause::Owner => write!(f, "sealcard-server database prepare is run as the owner of the tables"),
        }
    }
}

/// A step that was applied: its number, the SHA-256 of its text, and the schema that it works with.
type Applied = (i64, Vec<u8>, i64);

impl Schema {
    /// The schema of this release.
    pub(crate) fn of_this_release() -> Self {
        #[cfg(feature = "failpoints")]
        if next::is_wanted() {
            return next::SCHEMA;
        }
        SCHEMA
    }

    /// The number of the newest step.
    pub(crate) fn newest(self) -> i64 {
        self.steps.last().map_or(0, |step| step.number)
    }

    /// Brings the schema up to date, as far as the servers allow that share the database. `node` is announced to them.
    /// The first step that is postponed, if one is.
    pub(crate) fn apply(self, conn: &mut Conn, node: Option<&Node>) -> Result<Option<Postponed>, StorageError> {
        match conn {
            Conn::Sqlite(_) => {
                let table = "CREATE TABLE IF NOT EXISTS schema_step (
                    number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, works_with INTEGER NOT NULL,
                    applied INTEGER NOT NULL) STRICT";
                conn.script(table)?;
                self.apply_missing(conn, None, true)
            }
            Conn::Postgres(_) => {
                conn.script(UNLIMITED)?;
                conn.script(POSTGRES_LOCK)?;
                let owns = roles::owns(conn)?;
                if owns {
                    conn.script(
                        "CREATE TABLE IF NOT EXISTS schema_step (
                            number BIGINT PRIMARY KEY, sha256 BYTEA NOT NULL, works_with BIGINT NOT NULL,
                            applied BIGINT NOT NULL)",
                    )?;
                    conn.script(nodes::TABLE)?;
                } else if !roles::has_tables(conn)? {
                    return Err(StorageError::OwnerNeeded { step: 1 });
                }
                conn.script(STEP_LOCK_TIMEOUT)?;
                // On error the caller drops the connection, and with it the lock.
                let postponed = self.apply_missing(conn, node, owns)?;
                conn.script(POSTGRES_UNLOCK)?;
                Ok(postponed)
            }
        }
    }

    fn apply_missing(
        self,
        conn: &mut Conn,
        node: Option<&Node>,
        owns: bool,
    ) -> Result<Option<Postponed>, StorageError> {
        let applied = applied(conn)?;
        self.expect_compatible(&applied)?;
        let mut missing = Vec::new();
        for step in self.steps {
            match applied.iter().find(|(number, ..)| *number == step.number) {
                Some((_, stored, _)) if *stored == step.checksum(conn) => {}
                Some(_) => return Err(StorageError::ChangedSchema(step.number)),
                None => missing.push(step),
            }
        }
        if let Some(first) = missing.first().filter(|first| applied.last().is_some_and(|(n, ..)| *n > first.number)) {
            return Err(StorageError::Damaged(format!("schema step {} is missing", first.number)));
        }
        let others = match conn {
            Conn::Sqlite(_) => Vec::new(),
            Conn::Postgres(_) => live_others(conn, node)?,
        };
        let behind = |step: &Step| {
            let behind = others.iter().filter(|other| other.schema < step.works_with);
            let names: Vec<String> = behind.map(ToString::to_string).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        // Before the server is announced, and before anything is changed.
        for step in missing.iter().filter(|step| step.number <= self.needed) {
            if let Some(nodes) = behind(step) {
                return Err(StorageError::NodesBehind { step: step.number, nodes });
            }
            if !owns {
                return Err(StorageError::OwnerNeeded { step: step.number });
            }
        }
        if let Some(node) = node {
            nodes::announce(conn, node, self.newest())?;
        }
        for step in missing {
            if let Some(nodes) = behind(step) {
                return Ok(Some(Postponed { step: step.number, cause: Cause::Servers(nodes) }));
            }
            if !owns {
                return Ok(Some(Postponed { step: step.number, cause: Cause::Owner }));
            }
            step.apply(conn)?;
        }
        Ok(None)
    }

    /// Whether a database with these steps can be used.
    fn expect_compatible(self, applied: &[Applied]) -> Result<(), StorageError> {
        let found = applied.last().map_or(0, |(number, ..)| *number);
        let lowest = applied.iter().map(|(.., works_with)| *works_with).max().unwrap_or(0);
        self.expect_works(found, lowest)
    }

    /// Whether a database can be used whose newest step is `found`, for releases that know step `lowest`.
    pub(crate) fn expect_works(self, found: i64, lowest: i64) -> Result<(), StorageError> {
        if lowest > self.newest() {
            return Err(StorageError::NewerSchema { found, lowest, known: self.newest() });
        }
        Ok(())
    }
}

/// All that a running server has to know of the schema: its newest step, and what releases must know.
pub(crate) const READ_NEWEST: &str = "SELECT coalesce(max(number), 0), coalesce(max(works_with), 0) FROM schema_step";

fn applied(conn: &mut Conn) -> Result<Vec<Applied>, StorageError> {
    conn.all("SELECT number, sha256, works_with FROM schema_step ORDER BY number", params![])
}

impl Step {
    fn sql(&self, conn: &Conn) -> &'static str {
        match conn {
            Conn::Sqlite(_) => self.sqlite,
            Conn::Postgres(_) => self.postgres,
        }
    }

    fn checksum(&self, conn: &Conn) -> Vec<u8> {
        digest(&SHA256, self.sql(conn).as_bytes()).as_ref().to_vec()
    }

    /// What ends in the middle is undone when the connection is dropped, which the caller does on error.
    fn apply(&self, conn: &mut Conn) -> Result<(), StorageError> {
        let (sql, checksum) = (self.sql(conn), self.checksum(conn));
        conn.script("BEGIN")?;
        conn.script(sql)?;
        conn.execute(
            "INSERT INTO schema_step (number, sha256, works_with, applied) VALUES ($1, $2, $3, $4)",
            params![self.number, checksum, self.works_with, Timestamp::now().unix()],
        )?;
        conn.script("COMMIT")?;
        tracing::info!(step = self.number, "storage: applied a step of the schema");
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_and_work_with_the_release_that_has_them() {
        for (number, step) in (1..).zip(SCHEMA.steps) {
            assert_eq!(step.number, number);
            assert!(step.works_with <= step.number, "step {number}");
        }
        assert!(SCHEMA.needed <= SCHEMA.newest());
        // Later steps are postponed as long as an earlier one is.
        let postponable = SCHEMA.steps.iter().filter(|step| step.number > SCHEMA.needed);
        assert!(postponable.into_iter().all(|step| step.works_with <= SCHEMA.newest()));
    }
}
