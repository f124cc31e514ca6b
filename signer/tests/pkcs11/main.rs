//! Keys in a real SoftHSM2 token.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adopt;
mod login;
mod odd;
mod probe;
mod softhsm;
mod uses;
