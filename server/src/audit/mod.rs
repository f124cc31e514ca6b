//! The record: every key use, denial and change, append-only and chained.
//!
//! Entries are written by [`crate::storage::WriteTx::append_record`], in the same transaction as what they tell of. Here is
//! how they are read and how their integrity is proved.

mod journal;
mod verify;

pub use verify::verify;
