//! A log that proves itself, offline and against its own server: what a Merkle tree, its proofs and those who sign its
//! roots need. No I/O, no clock, no randomness: bytes in, bytes and verdicts out.
//!
//! - [`struct@Hash`], [`Frontier`]: the tree and how it grows; [`TreeHead`]: its size and root.
//! - [`prove_inclusion`], [`prove_consistency`] and their verification.
//! - [`Tile`], [`PartialTiles`], [`Resource`], [`parse_bundle`]: the tree and its entries as files.
//! - [`Leaf`]: an entry of Sealcard's log.
//! - [`Note`], [`VerifierKey`], [`Signer`]: signed texts; [`Checkpoint`]: the text that a log and its witnesses sign.
//! - [`AddCheckpoint`], [`judge`], [`Answer`]: how a log asks a witness, and when that agrees.
//! - [`Receipt`], [`TrustPolicy`]: the proof for offline use, and whom its reader trusts.
//!
//! The formats are those of <https://c2sp.org>, so that the tools of others can read and check the log.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic))]

mod bundle;
mod checkpoint;
mod frontier;
mod hash;
mod leaf;
mod node;
mod note;
mod path;
mod policy;
mod proof;
mod receipt;
mod text;
mod tile;
mod witness;

pub use bundle::{BundleError, MAX_ENTRY, encode_bundle, parse_bundle};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use frontier::{Frontier, FullError};
pub use hash::{HASH_LENGTH, Hash};
pub use leaf::{LEAF_VERSION, Leaf, LeafError, MAX_KIND, SALT_LENGTH, Salt};
pub use node::{HashReader, MAX_SIZE, Node, root};
pub use note::{
    KeyError, KeyId, KeyName, KeyType, MAX_NOTE, MAX_SIGNATURES, Note, NoteError, SEED_LENGTH, SeedSigner, SignError,
    Signature, Signer, Verified, VerifierKey, VerifyError, parse_signatures, sign,
};
pub use path::{PathError, Resource};
pub use policy::{Accepted, MAX_POLICY, Party, PolicyError, Problem, TrustError, TrustPolicy};
pub use proof::{
    MAX_PROOF, ProofError, ProveError, TreeHead, prove_consistency, prove_inclusion, verify_consistency,
    verify_inclusion,
};
pub use receipt::{MAX_EXTRA, RECEIPT_EXTENSION, Receipt, ReceiptError};
pub use tile::{
    PartialTiles, TILE_HEIGHT, TILE_WIDTH, Tile, TileError, Tiles, consistency_tiles, full_tiles, inclusion_tiles,
    new_tiles, partial_tiles,
};
pub use witness::{
    AddCheckpoint, Answer, AnswerError, KnownLog, MAX_REQUEST, Refusal, RequestError, SIZE_CONTENT_TYPE, check_growth,
    judge, monitoring_path,
};
