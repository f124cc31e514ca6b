//! The process that holds the signing keys.
//!
//! `sealcard-signer` is started by the server with one end of a Unix stream socket pair and answers typed requests:
//! the server never sees a private key, the signer never sees the network.

pub mod protocol;
