//! The record: every key use, denial and change, append-only and provable.
//!
//! Entries are written by [`crate::storage::WriteTx::append_record`], in the same transaction as what they tell of.
//! `sealcard_record::verify` proves their integrity; here is what it needs of a running server.

mod job;
mod verify;

pub use job::{Audit, to_report};
pub use verify::{AuditError, IsRunning, Verification, verify};
