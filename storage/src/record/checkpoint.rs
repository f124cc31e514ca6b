//! The log's keys, its newest checkpoints, and those that are given out.

use sealcard_api::{Timestamp, ids::EnvironmentId};
use sealcard_signer_protocol::StoredCheckpointKey;

use crate::{
    StorageError, Store, WriteTx,
    sql::{FromRow, Row, params},
};

/// A key that signs the log's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKeyRow {
    /// The key, as its signer gave it.
    pub key: StoredCheckpointKey,
    /// The environment that has it.
    pub environment: EnvironmentId,
    /// When it was made.
    pub created: Timestamp,
}

impl FromRow for LogKeyRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        let ed25519 = row.get::<Vec<u8>>(3)?.try_into();
        let key = StoredCheckpointKey {
            component: row.get(0)?,
            origin: row.get(2)?,
            ed25519: ed25519.map_err(|_| StorageError::Damaged("a key of the log".to_owned()))?,
            ml_dsa_44: row.get(4)?,
            handle: row.get(5)?,
        };
        Ok(Self { key, environment: EnvironmentId(row.get(1)?), created: Timestamp::from_unix(row.get(6)?) })
    }
}

/// A checkpoint of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// The log's name.
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
    /// When it was made.
    pub time: Timestamp,
}

impl FromRow for CheckpointRow {
    fn from_row(row: &Row<'_>) -> Result<Self, StorageError> {
        Ok(Self {
            origin: row.get(0)?,
            size: row.get::<i64>(1)?.cast_unsigned(),
            note: row.get(2)?,
            time: Timestamp::from_unix(row.get(3)?),
        })
    }
}

const NEWEST: &str = "SELECT origin, size, note, time FROM log_checkpoint WHERE origin = $1";
const PUBLISHED: &str = "SELECT origin, size, note, time FROM log_published WHERE origin = $1";

impl Store {
    /// The key that signs for the log now: the newest one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn log_key(&self) -> Result<Option<LogKeyRow>, StorageError> {
        const NEWEST: &str = "SELECT component_id, environment_id, origin, ed25519, ml_dsa_44, handle, created
            FROM log_key ORDER BY component_id DESC LIMIT 1";
        self.reader().optional(NEWEST, params![]).await
    }

    /// The newest checkpoint of the log of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn checkpoint(&self, origin: &str) -> Result<Option<CheckpointRow>, StorageError> {
        self.reader().optional(NEWEST, params![origin]).await
    }
}

impl Store {
    /// The checkpoint of the log of this name that is given out.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn published_checkpoint(&self, origin: &str) -> Result<Option<CheckpointRow>, StorageError> {
        self.reader().optional(PUBLISHED, params![origin]).await
    }

    /// The checkpoints of each name that the log had: the newest ones, and those that are given out.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn checkpoints(&self) -> Result<Vec<CheckpointRow>, StorageError> {
        const ALL: &str = "SELECT origin, size, note, time FROM log_checkpoint
            UNION SELECT origin, size, note, time FROM log_published ORDER BY origin, size";
        self.reader().all(ALL, params![]).await
    }
}

impl WriteTx {
    /// Keeps a log's key, unless there is one. Whether there was none.
    ///
    /// # Errors
    /// If it is stored under another master key than the one that its environment uses, or the database fails.
    pub fn add_log_key(&mut self, key: &LogKeyRow) -> Result<bool, StorageError> {
        const ADD: &str = "INSERT INTO log_key
            (component_id, environment_id, origin, ed25519, ml_dsa_44, handle, created)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (origin) DO NOTHING";
        let LogKeyRow { key, environment, created } = key;
        let StoredCheckpointKey { component, origin, ed25519, ml_dsa_44, handle } = key;
        self.expect_master_key_of(*environment, handle)?;
        let ed25519 = ed25519.as_slice();
        let values = params![component, environment.0, origin, ed25519, ml_dsa_44, handle, created.unix()];
        Ok(self.conn().execute(ADD, values)? == 1)
    }

    /// Keeps a checkpoint, unless there is one that covers as much. Whether it is the newest.
    ///
    /// # Errors
    /// If the database fails.
    pub fn put_checkpoint(&mut self, checkpoint: &CheckpointRow) -> Result<bool, StorageError> {
        const PUT: &str = "INSERT INTO log_checkpoint (origin, size, note, time) VALUES ($1, $2, $3, $4)
            ON CONFLICT (origin) DO UPDATE SET size = excluded.size, note = excluded.note, time = excluded.time
            WHERE log_checkpoint.size < excluded.size";
        let CheckpointRow { origin, size, note, time } = checkpoint;
        let values = params![origin, size.cast_signed(), note, time.unix()];
        Ok(self.conn_for_uses().execute(PUT, values)? == 1)
    }

    /// The newest checkpoint of the log of this name.
    ///
    /// # Errors
    /// If the database fails.
    pub fn checkpoint(&mut self, origin: &str) -> Result<Option<CheckpointRow>, StorageError> {
        self.conn_for_uses().optional(NEWEST, params![origin])
    }

    /// The checkpoint of the log of this name that is given out.
    ///
    /// # Errors
    /// If the database fails.
    pub fn published_checkpoint(&mut self, origin: &str) -> Result<Option<CheckpointRow>, StorageError> {
        self.conn_for_uses().optional(PUBLISHED, params![origin])
    }

    /// Gives the newest checkpoint more signatures, unless there is a newer one by now.
    ///
    /// # Errors
    /// If the database fails.
    pub fn cosign_checkpoint(&mut self, checkpoint: &CheckpointRow) -> Result<(), StorageError> {
        const COSIGN: &str = "UPDATE log_checkpoint SET note = $3 WHERE origin = $1 AND size = $2";
        let CheckpointRow { origin, size, note, .. } = checkpoint;
        self.conn_for_uses().execute(COSIGN, params![origin, size.cast_signed(), note]).map(drop)
    }

    /// Gives a checkpoint out, unless one that covers more was given out.
    ///
    /// # Errors
    /// If the database fails.
    pub fn publish_checkpoint(&mut self, checkpoint: &CheckpointRow) -> Result<(), StorageError> {
        const PUBLISH: &str = "INSERT INTO log_published (origin, size, note, time) VALUES ($1, $2, $3, $4)
            ON CONFLICT (origin) DO UPDATE SET size = excluded.size, note = excluded.note, time = excluded.time
            WHERE log_published.size <= excluded.size";
        let CheckpointRow { origin, size, note, time } = checkpoint;
        let values = params![origin, size.cast_signed(), note, time.unix()];
        self.conn_for_uses().execute(PUBLISH, values).map(drop)
    }
}
