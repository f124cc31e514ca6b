//! Witnesses of the log: how far each has cosigned it. One node asks a witness at a time: it has a lease.

use sealcard_api::Timestamp;
use uuid::Uuid;

use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// How a witness is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessRow {
    /// The name of its keys.
    pub name: String,
    /// How many entries the newest checkpoint covers that it has cosigned.
    pub size: u64,
    /// The node that asks it.
    pub node: Option<Uuid>,
    /// Until when that node has the witness for itself, Unix seconds.
    pub leased_until: Option<i64>,
    /// When it cosigned last, Unix seconds.
    pub last_success: Option<i64>,
    /// When an attempt failed last, Unix seconds.
    pub last_failure: Option<i64>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// Attempts that failed since the last success.
    pub failures: u64,
    /// When the next attempt is due, Unix seconds.
    pub next_attempt: i64,
    /// Whether it knows another log under this name.
    pub forked: bool,
}

impl FromRow for WitnessRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            name: row.get(0)?,
            size: row.get::<i64>(1)?.cast_unsigned(),
            node: row.get(2)?,
            leased_until: row.get(3)?,
            last_success: row.get(4)?,
            last_failure: row.get(5)?,
            last_error: row.get(6)?,
            failures: row.get::<i64>(7)?.cast_unsigned(),
            next_attempt: row.get(8)?,
            forked: row.get(9)?,
        })
    }
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessFailure {
    /// For people. Has no secret.
    pub error: String,
    /// When the next attempt is due.
    pub next_attempt: Timestamp,
    /// Whether it knows another log under this name.
    pub forked: bool,
}

/// The columns that [`WitnessRow`] is read from, with what follows.
macro_rules! witnesses {
    ($rest:literal) => {
        concat!(
            "SELECT name, size, node_id, leased_until, last_success, last_failure, last_error, failures, next_attempt,
                forked
             FROM log_witness WHERE origin = $1 ",
            $rest
        )
    };
}

const WITNESS: &str = witnesses!("AND name = $2");

impl Store {
    /// All witnesses of the log of this name that were asked, by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn witnesses(&self, origin: &str) -> Result<Vec<WitnessRow>, StorageError> {
        self.reader().all(witnesses!("ORDER BY name"), params![origin]).await
    }

    /// One of them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn witness(&self, origin: &str, name: &str) -> Result<Option<WitnessRow>, StorageError> {
        self.reader().optional(WITNESS, params![origin, name]).await
    }

    /// Takes a witness for this node for so many seconds. None if another node has it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn claim_witness(
        &self,
        origin: String,
        name: String,
        seconds: i64,
    ) -> Result<Option<WitnessRow>, StorageError> {
        let node = self.node();
        self.write(move |tx| tx.claim_witness(&origin, &name, node, seconds)).await
    }

    /// Lets other nodes have the witnesses of this one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release_witnesses(&self) -> Result<(), StorageError> {
        const RELEASE: &str = "UPDATE log_witness SET node_id = NULL, leased_until = NULL WHERE node_id = $1";
        let node = self.node();
        self.write(move |tx| tx.conn_for_uses().execute(RELEASE, params![node]).map(drop)).await
    }
}

impl WriteTx {
    fn claim_witness(
        &mut self,
        origin: &str,
        name: &str,
        node: Uuid,
        seconds: i64,
    ) -> Result<Option<WitnessRow>, StorageError> {
        const ADD: &str =
            "INSERT INTO log_witness (origin, name) VALUES ($1, $2) ON CONFLICT (origin, name) DO NOTHING";
        const CLAIM: &str = "UPDATE log_witness SET node_id = $3, leased_until = $4 WHERE origin = $1 AND name = $2";
        self.conn_for_uses().execute(ADD, params![origin, name])?;
        let Some(row) = self.conn_for_uses().optional::<WitnessRow>(WITNESS, params![origin, name])? else {
            return Ok(None);
        };
        let now = self.now().unix();
        if let Some(holder) = row.node.filter(|holder| *holder != node)
            && row.leased_until.is_some_and(|until| until > now && until <= now.saturating_add(2 * seconds))
            && !self.node_has_ended(holder)?
        {
            return Ok(None);
        }
        let until = now.saturating_add(seconds);
        self.conn_for_uses().execute(CLAIM, params![origin, name, node, until])?;
        Ok(Some(WitnessRow { node: Some(node), leased_until: Some(until), ..row }))
    }

    /// Notes that a witness has cosigned a checkpoint of this size.
    ///
    /// # Errors
    /// If the database fails.
    pub fn witness_cosigned(&mut self, origin: &str, name: &str, size: u64) -> Result<(), StorageError> {
        // A node whose lease is over may be late.
        const COSIGNED: &str = "UPDATE log_witness
            SET size = $3, last_success = $4, failures = 0, next_attempt = 0, forked = FALSE
            WHERE origin = $1 AND name = $2 AND size <= $3";
        let values = params![origin, name, size.cast_signed(), self.now().unix()];
        self.conn_for_uses().execute(COSIGNED, values).map(drop)
    }

    /// Notes why a witness did not cosign, if this node has it still.
    ///
    /// # Errors
    /// If the database fails.
    pub fn witness_failed(
        &mut self,
        origin: &str,
        name: &str,
        node: Uuid,
        failure: &WitnessFailure,
    ) -> Result<(), StorageError> {
        const FAILED: &str = "UPDATE log_witness SET last_failure = $4, last_error = $5, failures = failures + 1,
            next_attempt = $6, forked = $7 WHERE origin = $1 AND name = $2 AND node_id = $3";
        let WitnessFailure { error, next_attempt, forked } = failure;
        let values = params![origin, name, node, self.now().unix(), error, next_attempt.unix(), forked];
        self.conn_for_uses().execute(FAILED, values).map(drop)
    }
}
