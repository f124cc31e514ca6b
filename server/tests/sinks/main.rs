//! The record leaves by sinks to real receivers: rsyslog over TLS, and collectors that answer as they are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod collector;
mod delivery;
mod files;
mod harness;
mod receivers;
mod required;
mod syslog;
