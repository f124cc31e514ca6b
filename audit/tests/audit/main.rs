//! What `sealcard-audit` says of whole logs, and of logs that somebody has tampered with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod follow;
mod harness;
mod memory;
mod tampering;
mod web;
mod witness;
