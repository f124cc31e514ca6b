//! What `sealcard-audit` says of whole logs, and of logs that somebody has tampered with.

mod follow;
mod harness;
mod memory;
mod tampering;
mod web;
mod witness;
