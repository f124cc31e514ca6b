//! Tiles: which there are, and proofs that are made from them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sealcard_transparency::{
    Frontier, Hash, Node, PartialTiles, Resource, Tile, TileError, Tiles, consistency_tiles, full_tiles,
    inclusion_tiles, new_tiles, parse_bundle, partial_tiles, prove_consistency, prove_inclusion, verify_consistency,
    verify_inclusion,
};

fn leaf(entry: u64) -> Hash {
    Hash::leaf(&entry.to_be_bytes())
}

/// A log of this size: its frontier, and the files with its tiles.
fn log(size: u64) -> (Frontier, BTreeMap<String, Vec<u8>>) {
    let (mut frontier, mut partial, mut files) = (Frontier::new(), PartialTiles::new(), BTreeMap::new());
    for entry in 0..size {
        frontier.append(leaf(entry)).unwrap();
        let full = partial.append(leaf(entry));
        for (tile, hashes) in &full {
            let root = Node { level: 8 * (tile.level() + 1), index: tile.index() };
            let above = Tile::of_node(root, entry + 1).unwrap();
            assert_eq!((above.level(), above.index()), (tile.level() + 1, tile.index() / 256));
            assert!(tile.root(hashes).is_some() && tile.root(&hashes[1..]).is_none());
        }
        let expected: Vec<Tile> = full_tiles(entry, entry + 1).collect();
        assert_eq!(full.iter().map(|(tile, _)| *tile).collect::<Vec<_>>(), expected);
        files.extend(full.into_iter().map(|(tile, hashes)| (tile.path(), tile.encode(&hashes).unwrap())));
    }
    files.extend(partial.partial().map(|(tile, hashes)| (tile.path(), tile.encode(hashes).unwrap())));
    (frontier, files)
}

fn read(wanted: &BTreeSet<Tile>, files: &BTreeMap<String, Vec<u8>>) -> Tiles {
    let mut tiles = Tiles::new();
    for tile in wanted {
        tiles.insert(*tile, &files[&tile.path()]).unwrap();
    }
    tiles
}

#[test]
fn tiles_of_a_log_are_those_of_the_specification() {
    let tiles: Vec<Tile> = new_tiles(0, 70_000).collect();
    let count = |level, full| tiles.iter().filter(|tile| tile.level() == level && tile.is_full() == full).count();
    assert_eq!([count(0, true), count(0, false), count(1, true), count(1, false)], [273, 1, 1, 1]);
    let partial: Vec<String> = tiles.iter().filter(|tile| !tile.is_full()).map(Tile::path).collect();
    assert_eq!(partial, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    assert_eq!(tiles.len(), 277);
    let paths: Vec<String> = new_tiles(0, 256).map(|tile| tile.path()).collect();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(new_tiles(256, 256).count(), 0);
    assert_eq!(new_tiles(300, 200).count(), 0);
}

#[test]
fn proof_in_ten_million_entries_needs_at_most_three_full_tiles() {
    for index in (0..10_000_000).step_by(99_991) {
        let tiles = inclusion_tiles(index, 10_000_000).unwrap();
        // One of each level on the way to the root, and the right edge of the two lower levels.
        assert!(tiles.iter().filter(|tile| tile.is_full()).count() <= 3);
        assert!(tiles.len() <= 5, "{tiles:?}");
    }
}

#[test]
fn proofs_at_the_edges_of_tiles_hold() {
    let (frontier, files) = log(66_000);
    let tree = frontier.head();
    for index in [0, 1, 255, 256, 65_279, 65_280, 65_535, 65_536, 65_791, 65_792, 65_999] {
        let mut tiles = read(&inclusion_tiles(index, tree.size).unwrap(), &files);
        let proof = prove_inclusion(index, tree.size, &mut tiles).unwrap();
        verify_inclusion(&leaf(index), index, &tree, &proof).unwrap();
        let (mut older, at) = (Frontier::new(), index + 1);
        (0..at).for_each(|entry| drop(older.append(leaf(entry)).unwrap()));
        let mut tiles = read(&consistency_tiles(at, tree.size).unwrap(), &files);
        let proof = prove_consistency(at, tree.size, &mut tiles).unwrap();
        verify_consistency(&older.head(), &tree, &proof).unwrap();
    }
}

#[test]
fn files_are_exactly_the_tiles_of_the_tree() {
    for size in [1, 255, 256, 257, 700] {
        let (_, files) = log(size);
        let expected: BTreeSet<String> = new_tiles(0, size).map(|tile| tile.path()).collect();
        assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn tile_of_a_wrong_length_is_refused() {
    let tile = Tile::new(0, 0, 2).unwrap();
    let mut tiles = Tiles::new();
    assert_eq!(tiles.insert(tile, &[0; 65]), Err(TileError::Length(tile, 65)));
    assert_eq!(tiles.insert(tile, &[0; 32]), Err(TileError::Length(tile, 32)));
    assert_eq!(tile.encode(&[Hash::EMPTY_TREE]), None);
    assert_eq!(Tile::new(0, 0, 0), None);
    assert_eq!(Tile::new(0, 0, 257), None);
    assert_eq!(Tile::new(8, 0, 1), None);
    assert_eq!(Tile::new(7, 1, 1), None);
    assert_eq!(Tile::of_node(Node { level: 8, index: 0 }, 255), None);
    let full = Tile::of_node(Node { level: 8, index: 0 }, 256).unwrap();
    assert_eq!((full.level(), full.width()), (1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proofs_from_their_tiles_hold(size in 1..900u64, place in any::<u64>()) {
        let (frontier, files) = log(size);
        let (tree, index) = (frontier.head(), place % size);
        let mut tiles = read(&inclusion_tiles(index, size).unwrap(), &files);
        let proof = prove_inclusion(index, size, &mut tiles).unwrap();
        prop_assert!(verify_inclusion(&leaf(index), index, &tree, &proof).is_ok());
    }

    #[test]
    fn partial_tiles_are_restored_with_their_frontier(size in 0..70_000u64) {
        let (mut frontier, mut partial) = (Frontier::new(), PartialTiles::new());
        for entry in 0..size {
            frontier.append(leaf(entry)).unwrap();
            partial.append(leaf(entry));
        }
        prop_assert_eq!(partial.frontier(), Some(frontier.clone()));
        let tiles: BTreeMap<Tile, Vec<Hash>> = partial.partial().map(|(tile, hashes)| (tile, hashes.to_vec())).collect();
        let restored = PartialTiles::restore(size, |tile| tiles.get(&tile).cloned().ok_or(())).unwrap();
        prop_assert_eq!(&restored, &partial);
        prop_assert!(partial_tiles(size).eq(tiles.keys().copied()));
        let wrong = PartialTiles::restore(size, |_| Ok::<_, ()>(vec![Hash::EMPTY_TREE; 257])).unwrap();
        prop_assert!(size == 0 || wrong.frontier() != Some(frontier));
        prop_assert!(size == 0 || PartialTiles::restore(size, |_| Err(())).is_err());
    }

    #[test]
    fn paths_survive(level in 0..8u8, index in 0..1u64 << 55, width in 0..300u16) {
        if let Some(tile) = Tile::new(level, index, width) {
            prop_assert_eq!(tile.path().parse(), Ok(Resource::Tile(tile)));
        }
    }

    #[test]
    fn no_path_and_no_bundle_panics(
        path in "(tile/)?[0-9ex]{0,3}(/x?[0-9]{3}){0,9}(\\.p/[0-9]{0,3})?",
        bytes: Vec<u8>,
    ) {
        if let Ok(resource) = path.parse::<Resource>() {
            prop_assert_eq!(resource.to_string(), path);
        }
        if let Ok(entries) = parse_bundle(&bytes) {
            prop_assert_eq!(sealcard_transparency::encode_bundle(&entries).unwrap(), bytes);
        }
    }
}
