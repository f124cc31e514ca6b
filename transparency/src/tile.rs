//! Tiles: the tree as files of 256 hashes (C2SP tlog-tiles, "Merkle Tree").

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use crate::{
    Frontier, Hash, Node,
    hash::HASH_LENGTH,
    node::{HashReader, MAX_SIZE, fold},
    path::Resource,
    proof::{ProveError, prove_consistency, prove_inclusion},
};

/// The height of the subtree that a tile has.
pub const TILE_HEIGHT: u8 = 8;

/// How many hashes a full tile has.
pub const TILE_WIDTH: u16 = 1 << TILE_HEIGHT;

/// The highest level of tiles that a tree of [`MAX_SIZE`] leaves has.
pub(crate) const MAX_TILE_LEVEL: u8 = 7;

/// Consecutive hashes of one level: at level 0 those of leaves, at level 1 those of full tiles of level 0, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// A tile with `width` hashes. `None` if no tree has it: levels are 0 to 7, widths 1 to 256.
    #[must_use]
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let tile = Self { level, index, width };
        let exists = level <= MAX_TILE_LEVEL
            && (1..=TILE_WIDTH).contains(&width)
            && index <= MAX_SIZE >> TILE_HEIGHT
            && tile.node(width - 1).end().is_some();
        exists.then_some(tile)
    }

    /// The level, from 0: the hashes are those of subtrees with 256^level leaves.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The place among the tiles of its level.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes it has.
    #[must_use]
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it has all hashes, so that it never changes again.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The node of the hash at this place in the tile.
    #[must_use]
    pub fn node(&self, place: u16) -> Node {
        Node { level: self.level * TILE_HEIGHT, index: (self.index << TILE_HEIGHT) + u64::from(place) }
    }

    /// The path below the log's prefix, such as `tile/0/x001/x234/067.p/8`.
    #[must_use]
    pub fn path(&self) -> String {
        Resource::Tile(*self).to_string()
    }

    /// The bytes of the tile with these hashes. `None` if their number is not its width.
    #[must_use]
    pub fn encode(&self, hashes: &[Hash]) -> Option<Vec<u8>> {
        let right_width = hashes.len() == usize::from(self.width);
        right_width.then(|| hashes.iter().flat_map(|hash| hash.0).collect())
    }

    /// The hashes in the bytes of the tile. `None` if their number is not its width.
    #[must_use]
    pub fn parse(&self, bytes: &[u8]) -> Option<Vec<Hash>> {
        let (hashes, rest) = bytes.as_chunks::<HASH_LENGTH>();
        let right_width = rest.is_empty() && hashes.len() == usize::from(self.width);
        right_width.then(|| hashes.iter().map(|hash| Hash(*hash)).collect())
    }

    /// The tile that has the hash of this node, or those that it is computed from, in a tree of `size` leaves. `None`
    /// if the node is not complete in that tree.
    #[must_use]
    pub fn of_node(node: Node, size: u64) -> Option<Self> {
        node.end().filter(|end| *end <= size.min(MAX_SIZE))?;
        let (level, below) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
        Self::in_tree(level, (node.index << below) >> TILE_HEIGHT, size)
    }

    /// The root of the subtree that a full tile is: the hash of its node in the tile above. `None` if it is not full, or
    /// these are not as many hashes.
    #[must_use]
    pub fn root(&self, hashes: &[Hash]) -> Option<Hash> {
        (self.is_full() && hashes.len() == usize::from(TILE_WIDTH)).then(|| complete_root(hashes.to_vec()))
    }

    /// The tile at this place in a tree of `size` leaves. `None` if it would be empty.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size >> (level * TILE_HEIGHT);
        let width = hashes.saturating_sub(index << TILE_HEIGHT).min(u64::from(TILE_WIDTH));
        Self::new(level, index, u16::try_from(width).ok()?)
    }
}

/// The tiles that appear when a tree grows from `older` to `size` leaves, lowest level first: the full ones, and the
/// partial ones that a checkpoint of the new size needs. With `older` 0 these are all tiles of the tree.
pub fn new_tiles(older: u64, size: u64) -> impl Iterator<Item = Tile> {
    let size = size.min(MAX_SIZE);
    (0..=MAX_TILE_LEVEL).flat_map(move |level| {
        let (before, after) = (older >> (level * TILE_HEIGHT), size >> (level * TILE_HEIGHT));
        // A level without new hashes has no new tile.
        let indices = if before < after { before >> TILE_HEIGHT..after.div_ceil(u64::from(TILE_WIDTH)) } else { 0..0 };
        indices.filter_map(move |index| Tile::in_tree(level, index, size))
    })
}

/// The tiles at the right edge of a tree that are not full, lowest level first: those that its root is computed from.
pub fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    let last = move |level: u8| Tile::in_tree(level, size >> (level * TILE_HEIGHT) >> TILE_HEIGHT, size);
    (0..=MAX_TILE_LEVEL).filter_map(last)
}

/// The tiles that become full when a tree grows from `older` to `size` leaves: they are to be stored for good.
pub fn full_tiles(older: u64, size: u64) -> impl Iterator<Item = Tile> {
    new_tiles(older, size).filter(Tile::is_full)
}

/// The tiles that [`prove_inclusion`] reads.
///
/// # Errors
/// If there is no such leaf.
pub fn inclusion_tiles(index: u64, size: u64) -> Result<BTreeSet<Tile>, ProveError<Infallible>> {
    let mut tiles = BTreeSet::new();
    prove_inclusion(index, size, &mut note_tiles(size, &mut tiles))?;
    Ok(tiles)
}

/// The tiles that [`prove_consistency`] reads.
///
/// # Errors
/// If `older` is larger than `size`.
pub fn consistency_tiles(older: u64, size: u64) -> Result<BTreeSet<Tile>, ProveError<Infallible>> {
    let mut tiles = BTreeSet::new();
    prove_consistency(older, size, &mut note_tiles(size, &mut tiles))?;
    Ok(tiles)
}

/// A reader that only notes which tiles are read.
fn note_tiles(size: u64, tiles: &mut BTreeSet<Tile>) -> impl FnMut(Node) -> Result<Hash, Infallible> {
    move |node| {
        tiles.extend(Tile::of_node(node, size));
        Ok(Hash::EMPTY_TREE)
    }
}

/// Tiles in memory, to make proofs from.
///
/// Their hashes are not checked: a proof that is made from wrong ones does not lead to the root, so verify it.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

impl Tiles {
    /// No tiles yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds a tile. A wider one at the same place is kept.
    ///
    /// # Errors
    /// If the number of hashes in the bytes is not the tile's width. Reading the tile again may help.
    pub fn insert(&mut self, tile: Tile, bytes: &[u8]) -> Result<(), TileError> {
        let hashes = tile.parse(bytes).ok_or(TileError::Length(tile, bytes.len()))?;
        let there = self.0.entry((tile.level, tile.index)).or_default();
        if there.len() < hashes.len() {
            *there = hashes;
        }
        Ok(())
    }
}

impl HashReader for Tiles {
    type Error = TileError;

    fn read(&mut self, node: Node) -> Result<Hash, TileError> {
        let (level, below) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
        let missing = TileError::Missing(node);
        let first = node.index.checked_shl(u32::from(below)).filter(|first| first >> below == node.index);
        let first = first.ok_or(missing)?;
        let tile = self.0.get(&(level, first >> TILE_HEIGHT)).ok_or(missing)?;
        let start = usize::from(first.to_le_bytes()[0]);
        let hashes = tile.get(start..start + (1 << below)).ok_or(missing)?;
        Ok(complete_root(hashes.to_vec()))
    }
}

/// The root of a complete subtree with these hashes, whose number is a power of two.
pub(crate) fn complete_root(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(fold).collect();
    }
    fold(&hashes)
}

/// Why a tile can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Its bytes don't have its length. Reading it again may help.
    #[error("{} has {} bytes instead of {}", .0.path(), .1, usize::from(.0.width()) * HASH_LENGTH)]
    Length(Tile, usize),
    /// No tile with this node was added.
    #[error("no tile has node {} of level {}", .0.index, .0.level)]
    Missing(Node),
}

/// The hashes that are not yet in a full tile, level by level: what a log or an auditor keeps to write tiles while the
/// tree grows. At most 255 hashes for each level.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialTiles {
    size: u64,
    levels: [Vec<Hash>; MAX_TILE_LEVEL as usize + 1],
}

impl PartialTiles {
    /// Those of a tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, levels: [const { Vec::new() }; MAX_TILE_LEVEL as usize + 1] }
    }

    /// Those of a tree of `size` leaves, from its partial tiles. `read` gives the hashes of a tile. They are not checked:
    /// compare [`PartialTiles::frontier`] with one that is known.
    ///
    /// # Errors
    /// If a tile can't be read.
    pub fn restore<E>(size: u64, mut read: impl FnMut(Tile) -> Result<Vec<Hash>, E>) -> Result<Self, E> {
        let mut partial = Self { size, ..Self::new() };
        for (level, hashes) in (0..=MAX_TILE_LEVEL).zip(&mut partial.levels) {
            let last = size >> (level * TILE_HEIGHT) >> TILE_HEIGHT;
            if let Some(tile) = Tile::in_tree(level, last, size) {
                *hashes = read(tile)?;
            }
        }
        Ok(partial)
    }

    /// The frontier of the tree. `None` if restored tiles did not have as many hashes as the tree.
    #[must_use]
    pub fn frontier(&self) -> Option<Frontier> {
        let mut hashes = Vec::new();
        for level in self.levels.iter().rev() {
            // The complete subtrees above the hashes of the level, the largest first.
            let mut rest = level.as_slice();
            while !rest.is_empty() {
                let (complete, after) = rest.split_at_checked(1 << rest.len().ilog2())?;
                hashes.push(complete_root(complete.to_vec()));
                rest = after;
            }
        }
        Frontier::from_parts(self.size, hashes)
    }

    /// How many leaves were appended.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and gives the tiles that are full with it, lowest level first, with their hashes.
    pub fn append(&mut self, leaf: Hash) -> Vec<(Tile, Vec<Hash>)> {
        self.size += 1;
        let (mut full, mut hash) = (Vec::new(), leaf);
        for (level, hashes) in (0..=MAX_TILE_LEVEL).zip(&mut self.levels) {
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            let hashes = std::mem::take(hashes);
            let index = (self.size >> (level * TILE_HEIGHT) >> TILE_HEIGHT).saturating_sub(1);
            hash = complete_root(hashes.clone());
            full.extend(Tile::new(level, index, TILE_WIDTH).map(|tile| (tile, hashes)));
        }
        full
    }

    /// The partial tiles of the tree, lowest level first: a checkpoint of this size needs them.
    pub fn partial(&self) -> impl Iterator<Item = (Tile, &[Hash])> {
        (0..=MAX_TILE_LEVEL).zip(&self.levels).filter_map(|(level, hashes)| {
            let index = self.size >> (level * TILE_HEIGHT) >> TILE_HEIGHT;
            Some((Tile::new(level, index, u16::try_from(hashes.len()).ok()?)?, hashes.as_slice()))
        })
    }
}
