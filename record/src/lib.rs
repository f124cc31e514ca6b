//! The record of a Sealcard server: what happened, for good.
//!
//! - [`Event`]: one variant for each thing that is recorded.
//! - [`Draft`]: an event with who caused it, before it has its place.
//! - [`Body`]: an entry in its place; its JSON text is what is stored and hashed.
//! - [`Head`]: the end of the record, with the root of the log of all entries.
//! - [`Line`]: an entry with its salt and hash, as it is exported.
//! - [`export`]: the log as plain files.
//! - [`verify`]: the proof that nothing was changed or left out.
//! - [`fold`]: what the database's tables must hold after all entries, and which entries lack an approval.
//!
//! # Canonical bytes
//!
//! The bytes that [`Draft::place`] makes are stored, exported and committed to as they are. Nothing writes them a second
//! time, so a verifier needs no rule for writing JSON. They are one JSON object in UTF-8 without line breaks: the
//! fields of [`Body`] in their order, then `event` with the event's name, then the event's fields in their order.
//! Absent optional fields are left out. There are no floating-point numbers, and no maps with keys that are data.
//!
//! An entry has at most [`MAX_ENTRY`] bytes.
//!
//! # The log
//!
//! Entries are the leaves of a Merkle tree, the first one at index 0. A leaf is [`sealcard_transparency::Leaf`]: time,
//! event and a salted commitment to the bytes, so that a body can be redacted while every proof holds. Its hash is
//! kept beside the entry; the root of all leaves is what checkpoints sign.
//!
//! # What may change
//!
//! New events and new optional fields keep [`SCHEMA`]. Readers ignore fields that they don't know, and read an event
//! with an unknown name as [`Event::Unknown`]; the log can be checked all the same. Whatever else changes, a new
//! value in one of the enums for instance, needs a higher `SCHEMA`: then older readers know that they can't read
//! everything.

mod change;
mod entry;
pub mod event;
pub mod export;
pub mod fold;
mod values;
pub mod verify;

pub use change::{MADE_ANEW, change_sha256};
pub use entry::{Body, BodyError, Draft, Head, Line, MAX_ENTRY, Placed, SCHEMA, leaf, leaf_hash, leaf_of, parse};
pub use event::Event;
pub use values::{Actor, HashPrefix, HexBytes, Named, Salt, Sha256};
