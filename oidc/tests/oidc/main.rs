//! Tokens of a small issuer of our own, in the shape of each platform's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cache;
mod issuer;
mod keys;
mod platforms;
mod properties;
mod tokens;
mod trusts;
