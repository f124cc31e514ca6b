//! The right edge of a tree: all that is needed to append to it.

use crate::{
    Hash, Node, TreeHead,
    hash::HASH_LENGTH,
    node::{MAX_SIZE, fold},
};

/// The roots of the complete subtrees that a tree consists of, from the left: one for each bit that is set in its size.
/// Also called a compact range.
///
/// An append costs two hashes on average and needs nothing but the frontier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// INVARIANT: as many as bits are set in `size`.
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of a tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, hashes: Vec::new() }
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.hashes)
    }

    /// Size and root of the tree.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    /// Appends a leaf and gives the nodes that are complete with it: the leaf first, then upwards.
    ///
    /// # Errors
    /// If the tree has [`MAX_SIZE`] leaves. Retrying can't help.
    pub fn append(&mut self, leaf: Hash) -> Result<Vec<(Node, Hash)>, FullError> {
        if self.size >= MAX_SIZE {
            return Err(FullError);
        }
        let mut complete = vec![(Node::leaf(self.size), leaf)];
        let (mut node, mut hash) = (Node::leaf(self.size), leaf);
        // Each right child is joined with its left sibling, which is the last of the frontier.
        while node.index & 1 == 1 {
            let Some(left) = self.hashes.pop() else { break };
            hash = Hash::node(&left, &hash);
            node = Node { level: node.level + 1, index: node.index >> 1 };
            complete.push((node, hash));
        }
        self.hashes.push(hash);
        self.size += 1;
        Ok(complete)
    }

    /// The bytes to store: the size in 8 bytes, big-endian, then the hashes from the left.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.size.to_be_bytes().to_vec();
        self.hashes.iter().for_each(|hash| bytes.extend(hash.0));
        bytes
    }

    /// Reads what [`Frontier::to_bytes`] wrote. `None` if the number of hashes is not the one that the size asks for.
    /// The hashes can't be checked here: compare [`Frontier::head`] with one that is known.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, hashes) = bytes.split_first_chunk()?;
        let size = u64::from_be_bytes(*size);
        let (hashes, rest) = hashes.as_chunks::<HASH_LENGTH>();
        let hashes = hashes.iter().map(|hash| Hash(*hash)).collect();
        Self::from_parts(size, hashes).filter(|_| rest.is_empty())
    }

    /// The frontier with these hashes. `None` if their number is not the one that the size asks for.
    pub(crate) fn from_parts(size: u64, hashes: Vec<Hash>) -> Option<Self> {
        let right_length = hashes.len() == size.count_ones() as usize;
        (size <= MAX_SIZE && right_length).then_some(Self { size, hashes })
    }
}

/// The tree has as many leaves as it can have. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree is full: it has {MAX_SIZE} leaves")]
pub struct FullError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frontier_with_a_missing_or_additional_hash_is_refused() {
        let mut frontier = Frontier::new();
        for entry in 0..7u8 {
            frontier.append(Hash::leaf(&[entry])).unwrap();
        }
        let bytes = frontier.to_bytes();
        assert_eq!(bytes.len(), 8 + 3 * 32);
        assert_eq!(Frontier::from_bytes(&bytes), Some(frontier));
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 32]), None);
        assert_eq!(Frontier::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()), None);
        assert_eq!(Frontier::from_bytes(&bytes[..7]), None);
        let too_large = [&(1u64 << 63).to_be_bytes()[..], &[0; 32]].concat();
        assert_eq!(Frontier::from_bytes(&too_large), None);
    }

    #[test]
    fn full_tree_takes_no_further_leaf() {
        let bytes = [&MAX_SIZE.to_be_bytes()[..], &[7; 63 * 32]].concat();
        let mut frontier = Frontier::from_bytes(&bytes).unwrap();
        assert_eq!(frontier.append(Hash::leaf(b"one more")), Err(FullError));
        assert_eq!(frontier.to_bytes(), bytes);
    }
}
