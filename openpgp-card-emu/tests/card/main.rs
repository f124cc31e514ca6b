//! The card through its APDUs, with keys in memory.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod client;
mod data_objects;
mod decryption;
mod key_holder;
mod passwords;
mod properties;
mod refusals;
mod signing;
mod transport;
