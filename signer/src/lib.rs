//! The process that holds the signing keys.
//!
//! `sealcard-signer` is started by the server with one end of a Unix stream socket pair and answers typed requests:
//! the server never sees a private key, the signer never sees the network. It is two processes: the keeper, which holds
//! what opens the keys, and the worker, which uses them and is replaced when it fails.
//!
//! - [`seal`]: how the master key is kept while nobody uses it.
//! - [`sealed`]: how private keys are kept: under the master key, in the server's database.
//! - [`pkcs11`]: how private keys are kept in a PKCS#11 token.
//! - [`operations`]: what can be done with an open key.
//! - [`journal`]: the signer's own hash-chained list of key uses.
//! - [`keeper`] and [`worker`]: the processes.
//! - [`sandbox`]: what a worker may still do.

pub mod cli;
pub mod control;
mod crypto;
mod failpoint;
mod folder;
pub mod journal;
pub mod keeper;
mod log;
pub mod operations;
mod os;
pub mod pkcs11;
pub mod sandbox;
pub mod seal;
pub mod sealed;
pub mod worker;
