//! A log that proves itself, offline and against its own server: what a Merkle tree, its proofs and those who sign its
//! roots need. No I/O, no clock, no randomness: bytes in, bytes and verdicts out.
//!
//! - [`Hash`], [`Frontier`]: the tree and how it grows; [`TreeHead`]: its size and root.
//! - [`prove_inclusion`], [`prove_consistency`] and their verification.
//!
//! The formats are those of <https://c2sp.org>, so that the tools of others can read and check the log.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic))]

mod frontier;
mod hash;
mod node;
mod proof;

pub use frontier::{Frontier, FullError};
pub use hash::{HASH_LENGTH, Hash};
pub use node::{HashReader, MAX_SIZE, Node, root};
pub use proof::{
    MAX_PROOF, ProofError, ProveError, TreeHead, prove_consistency, prove_inclusion, verify_consistency,
    verify_inclusion,
};
