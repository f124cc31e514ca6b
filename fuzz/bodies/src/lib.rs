//! The bodies of the fuzz targets: one function for each, which panics when a parser breaks a promise.
//!
//! `fuzz/fuzz_targets` calls them with a fuzzer's inputs, `tests/corpora.rs` with the corpora.

mod openpgp;

pub use openpgp::{import_certificate, import_exported_key};
