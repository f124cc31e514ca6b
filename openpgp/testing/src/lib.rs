//! OpenPGP keys in the clear for tests, and what tests ask of certificates. No program links this crate.
//!
//! - [`TestKey`]: a key with its secrets, and what its holder does with it in gpg.
//! - [`is_signature`], [`encrypt_rsa`]: what others do with a certificate.
//! - [`Secrets`], [`published`]: whether anything secret gets out.

// It runs in tests only, where a panic is a finding.
#![allow(clippy::unwrap_used, clippy::panic)]

mod holder;
mod others;
mod secrets;

pub use holder::TestKey;
pub use others::{encrypt_rsa, is_signature};
pub use secrets::{Secrets, published};
