//! Keys, their use and the record of it, with the real signer process: everything but HTTP.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod algorithms;
mod approvals;
mod budgets;
mod by_hand;
mod crashes;
mod denials;
mod harness;
mod life;
mod load;
mod record;
mod repetitions;
mod waits;
