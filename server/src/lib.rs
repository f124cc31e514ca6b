//! The Sealcard server: who asks (`authn`), whether they may (`sealcard_policy`), what happened (`audit`,
//! `storage`), and the way to the process that holds the keys (`signers`); `requests` is the way of a signature.
//!
//! This process speaks to the network and therefore never holds a private key or an unsealing secret.

pub mod approvals;
pub mod audit;
pub mod authn;
pub mod backup;
pub mod cli;
mod clock;
pub mod config;
mod directory;
pub mod ends;
mod failpoint;
mod files;
pub mod http;
pub mod issuers;
pub mod keys;
mod limiter;
mod limits;
pub mod log;
pub mod memory;
mod metrics;
mod nodes;
pub mod notices;
pub mod outbound;
pub mod requests;
mod rules;
mod service_manager;
pub mod signers;
pub mod sinks;
mod telemetry;
pub mod tls;

pub use sealcard_storage as storage;
