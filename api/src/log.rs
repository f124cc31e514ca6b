//! The record's log: `GET /v1/log`, `GET /v1/log/consistency`, and receipts: `GET /v1/receipts/{signature}`.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The record's log, as far as the newest checkpoint covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogStatus {
    /// Its name: the first line of its checkpoints.
    pub origin: String,
    /// Its public keys, as C2SP's signed notes name them (`NAME+ID+KEY`): Ed25519, then ML-DSA-44.
    pub keys: Vec<String>,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The checkpoint, a signed note (C2SP, tlog-checkpoint).
    pub checkpoint: String,
    /// When it was made.
    pub time: Timestamp,
}

/// The proof that the log of `to` entries is that of `from` entries with more at its end (RFC 9162, section 2.1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogConsistency {
    /// The size of the older tree.
    pub from: u64,
    /// The size of the newer one.
    pub to: u64,
    /// The hashes of the proof, in base64.
    pub proof: Vec<String>,
}
