//! Proofs that a leaf is in a tree, and that a tree only grew: RFC 9162, sections 2.1.3 and 2.1.4.

use crate::{
    Hash,
    node::{HashReader, MAX_SIZE, range_root, split},
};

/// The most hashes that a proof has.
pub const MAX_PROOF: usize = 63;

/// A size and the root that goes with it: all that a verifier has to remember of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHead {
    /// How many leaves there are.
    pub size: u64,
    /// The root of the tree of these leaves.
    pub root: Hash,
}

impl TreeHead {
    /// The tree without leaves.
    pub const EMPTY: Self = Self { size: 0, root: Hash::EMPTY_TREE };
}

/// Why a proof can't be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The leaf or the older tree is not part of the tree. Retrying can't help.
    #[error("{0} is not in a tree of {1} leaves")]
    OutOfRange(u64, u64),
    /// A hash can't be read. Retrying helps if reading it then works.
    #[error("a hash of the tree can't be read")]
    Read(#[source] E),
}

/// Why a proof is refused. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf or the older tree can't be part of the tree.
    #[error("{0} is not in a tree of {1} leaves")]
    OutOfRange(u64, u64),
    /// It has too few or too many hashes for these sizes.
    #[error("the proof has a wrong number of hashes: {0}")]
    Length(usize),
    /// Its hashes lead to another root than that of the older tree.
    #[error("the proof does not lead to the older root")]
    OlderRoot,
    /// Its hashes lead to another root than that of the tree.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Proves that leaf `index` is in the tree of the first `size` leaves: the hashes of the siblings on the way from the
/// leaf to the root (RFC 9162, section 2.1.3.1).
///
/// # Errors
/// If there is no such leaf, or a hash can't be read.
pub fn prove_inclusion<R: HashReader>(
    index: u64,
    size: u64,
    reader: &mut R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if index >= size || size > MAX_SIZE {
        return Err(ProveError::OutOfRange(index, size));
    }
    let (mut start, mut end, mut siblings) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push((middle, end));
            end = middle;
        } else {
            siblings.push((start, middle));
            start = middle;
        }
    }
    // The siblings were found from the root downwards.
    read_ranges(siblings.iter().rev(), reader)
}

/// Checks that the leaf with this hash has place `index` in the tree: RFC 9162, section 2.1.3.2.
///
/// # Errors
/// If the proof does not show it.
pub fn verify_inclusion(leaf: &Hash, index: u64, tree: &TreeHead, proof: &[Hash]) -> Result<(), ProofError> {
    if index >= tree.size || tree.size > MAX_SIZE {
        return Err(ProofError::OutOfRange(index, tree.size));
    }
    let (mut at, mut last, mut hash) = (index, tree.size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if at & 1 == 1 || at == last {
            hash = Hash::node(sibling, &hash);
            // At the right edge, levels at which the node has no sibling are skipped.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    if hash == tree.root { Ok(()) } else { Err(ProofError::Root) }
}

/// Proves that the tree of the first `size` leaves begins with that of the first `older`: RFC 9162, section 2.1.4.1.
/// The proof is empty if the trees are the same, or the older one is empty.
///
/// # Errors
/// If `older` is larger than `size`, or a hash can't be read.
pub fn prove_consistency<R: HashReader>(
    older: u64,
    size: u64,
    reader: &mut R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if older > size || size > MAX_SIZE {
        return Err(ProveError::OutOfRange(older, size));
    }
    if older == 0 || older == size {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut ranges) = (0, size, Vec::new());
    while older != end {
        let middle = start + split(end - start);
        if older <= middle {
            ranges.push((middle, end));
            end = middle;
        } else {
            ranges.push((start, middle));
            start = middle;
        }
    }
    // If this is the whole older tree, the verifier knows its root.
    if start != 0 {
        ranges.push((start, end));
    }
    read_ranges(ranges.iter().rev(), reader)
}

/// Checks that `tree` begins with `older`: RFC 9162, section 2.1.4.2. Nothing was taken out, changed or put in between.
///
/// # Errors
/// If the proof does not show it.
pub fn verify_consistency(older: &TreeHead, tree: &TreeHead, proof: &[Hash]) -> Result<(), ProofError> {
    if older.size > tree.size || tree.size > MAX_SIZE {
        return Err(ProofError::OutOfRange(older.size, tree.size));
    }
    if older.size == 0 && older.root != Hash::EMPTY_TREE {
        return Err(ProofError::OlderRoot);
    }
    if older.size == 0 || older.size == tree.size {
        if !proof.is_empty() {
            return Err(ProofError::Length(proof.len()));
        }
        let same = older.size == 0 && tree.size != 0 || older.root == tree.root;
        return if same { Ok(()) } else { Err(ProofError::Root) };
    }
    // The older tree is a single complete subtree: its root is the first hash, which the proof leaves out.
    let known = older.size.is_power_of_two().then_some(older.root);
    let mut hashes = known.iter().chain(proof);
    let Some(first) = hashes.next() else { return Err(ProofError::Length(proof.len())) };
    let skipped = (older.size - 1).trailing_ones();
    let (mut at, mut last) = ((older.size - 1) >> skipped, (tree.size - 1) >> skipped);
    let (mut older_root, mut root) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if at & 1 == 1 || at == last {
            older_root = Hash::node(sibling, &older_root);
            root = Hash::node(sibling, &root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = Hash::node(&root, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    if older_root != older.root {
        return Err(ProofError::OlderRoot);
    }
    if root == tree.root { Ok(()) } else { Err(ProofError::Root) }
}

fn read_ranges<'a, R: HashReader>(
    ranges: impl Iterator<Item = &'a (u64, u64)>,
    reader: &mut R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    ranges.map(|(start, end)| range_root(*start, *end, reader).map_err(ProveError::Read)).collect()
}
