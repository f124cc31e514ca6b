//! Nodes of a tree, and reading their hashes from where they are stored.

use crate::Hash;

/// The most leaves that a tree can have: other implementations keep the size in a signed number of 64 bits.
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// The root of a complete subtree: it never changes again once its leaves are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// The height above the leaves: the subtree has 2^level leaves.
    pub level: u8,
    /// The place among the nodes of its level, from the left, from 0.
    pub index: u64,
}

impl Node {
    /// A leaf.
    #[must_use]
    pub const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// How many leaves the subtrees up to the end of this one have. `None` if no tree can be that large.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let end = u128::from(self.index).checked_add(1)?.checked_shl(u32::from(self.level))?;
        u64::try_from(end).ok().filter(|end| self.level < 63 && *end <= MAX_SIZE)
    }
}

/// Reads the hashes of complete subtrees. A closure from [`Node`] to `Result<Hash, _>` is one.
pub trait HashReader {
    /// Why a hash can't be read.
    type Error;

    /// Reads the hash of a node.
    ///
    /// # Errors
    /// If it can't be read.
    fn read(&mut self, node: Node) -> Result<Hash, Self::Error>;
}

impl<F: FnMut(Node) -> Result<Hash, E>, E> HashReader for F {
    type Error = E;

    fn read(&mut self, node: Node) -> Result<Hash, E> {
        self(node)
    }
}

/// The root of the first `size` leaves: RFC 9162, section 2.1.1.
///
/// # Errors
/// If a hash can't be read.
pub fn root<R: HashReader>(size: u64, reader: &mut R) -> Result<Hash, R::Error> {
    if size == 0 { Ok(Hash::EMPTY_TREE) } else { range_root(0, size, reader) }
}

/// The root of the leaves from `start` to before `end`. `start` must be a multiple of the least power of two that is
/// not smaller than their number, which holds for every subtree of a tree.
pub(crate) fn range_root<R: HashReader>(start: u64, end: u64, reader: &mut R) -> Result<Hash, R::Error> {
    // The complete subtrees of the range from the left, each smaller than the one before.
    let (mut at, mut hashes) = (start, Vec::new());
    while at < end {
        let level = (end - at).ilog2();
        hashes.push(reader.read(Node { level: level as u8, index: at >> level })?);
        at += 1 << level;
    }
    Ok(fold(&hashes))
}

/// The root above complete subtrees of falling size.
pub(crate) fn fold(hashes: &[Hash]) -> Hash {
    let mut from_right = hashes.iter().rev();
    let Some(last) = from_right.next() else { return Hash::EMPTY_TREE };
    from_right.fold(*last, |right, left| Hash::node(left, &right))
}

/// The number of leaves in the left subtree of a tree with `size` > 1 leaves: the largest power of two below it.
pub(crate) fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
