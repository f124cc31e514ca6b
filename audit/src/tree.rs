//! The tiles of a log, each checked against the one above it, so that a wrong one is named and nothing that follows from
//! it is believed.

use std::collections::{BTreeMap, HashMap};

use sealcard_record::export::LogFile;
use sealcard_transparency::{
    Hash, PartialTiles, TILE_WIDTH, Tile, Tiles, TreeHead, consistency_tiles, parse_bundle, partial_tiles,
    prove_consistency, verify_consistency,
};

use crate::{
    finding::{Finding, Findings},
    source::{Content, Source, SourceError},
};

/// The tree of a checkpoint. Keeps one tile of each level in memory.
pub(crate) struct Tree {
    source: Source,
    head: TreeHead,
    /// The tiles at the right edge that are not full, by their level.
    edge: BTreeMap<u8, Vec<Hash>>,
    /// The last full tile of each level that was asked for. None if it is wrong.
    last: BTreeMap<u8, (u64, Option<Vec<Hash>>)>,
    /// Files that were read in advance. None if they are missing.
    read: HashMap<LogFile, Option<Content>>,
}

impl Tree {
    /// The tree of a checkpoint, whose signatures the caller has verified. None if its tiles don't lead to the root.
    ///
    /// # Errors
    /// If a file can't be read.
    pub(crate) async fn open(
        source: &Source,
        head: TreeHead,
        findings: &mut Findings,
    ) -> Result<Option<Self>, SourceError> {
        let (last, read) = (BTreeMap::new(), HashMap::new());
        let mut tree = Self { source: source.clone(), head, edge: BTreeMap::new(), last, read };
        let mut missing = Vec::new();
        for tile in partial_tiles(head.size) {
            match tree.read_tile(tile).await? {
                Some(hashes) => drop(tree.edge.insert(tile.level(), hashes)),
                None => missing.push(tile),
            }
        }
        if missing.is_empty() && tree.leads_to_root() {
            return Ok(Some(tree));
        }
        // Each hash of a tile can be computed from what is below it.
        let doubted: Vec<Tile> = if missing.is_empty() { partial_tiles(head.size).collect() } else { missing.clone() };
        for tile in doubted {
            let Some(rebuilt) = tree.rebuild(tile).await? else { continue };
            let before = tree.edge.insert(tile.level(), rebuilt);
            if tree.edge.len() == partial_tiles(head.size).count() && tree.leads_to_root() {
                let wrong = if missing.is_empty() { vec![tile] } else { missing };
                wrong.into_iter().for_each(|tile| findings.add(tree.wrong(tile)));
                return Ok(Some(tree));
            }
            if let Some(before) = before {
                tree.edge.insert(tile.level(), before);
            }
        }
        missing.iter().for_each(|tile| findings.add(tree.wrong(*tile)));
        findings.add(Finding::Root);
        Ok(None)
    }

    fn leads_to_root(&self) -> bool {
        let edge = |tile: Tile| self.edge.get(&tile.level()).cloned().ok_or(());
        let partial = PartialTiles::restore(self.head.size, edge).ok();
        partial.and_then(|partial| partial.frontier()).is_some_and(|frontier| frontier.head() == self.head)
    }

    /// Takes a file that was read already, so that it is not read again.
    pub(crate) fn offer(&mut self, file: LogFile, content: Option<Content>) {
        self.read.insert(file, content);
    }

    /// Forgets files that nobody needed.
    pub(crate) fn forget(&mut self) {
        self.read.clear();
    }

    /// The hashes of a tile that the checkpoint covers. None if neither the tile nor what is below it has them.
    ///
    /// # Errors
    /// If a file can't be read.
    pub(crate) async fn hashes(
        &mut self,
        level: u8,
        index: u64,
        findings: &mut Findings,
    ) -> Result<Option<Vec<Hash>>, SourceError> {
        // Upwards to what is known, then downwards again.
        let mut way = Vec::new();
        let mut known = loop {
            let (level, index) = (level.saturating_add(way.len() as u8), index >> (8 * way.len()));
            let Some(tile) = Tile::in_tree(level, index, self.head.size) else { break None };
            if !tile.is_full() {
                break self.edge.get(&level).cloned();
            }
            match self.last.get(&level) {
                Some((last, hashes)) if *last == index => break hashes.clone(),
                _ => way.push(tile),
            }
        };
        while let Some(tile) = way.pop() {
            let place = usize::from(tile.index().to_le_bytes()[0]);
            let expected = known.as_ref().and_then(|hashes| hashes.get(place)).copied();
            known = match expected {
                Some(expected) => self.checked(tile, expected, findings).await?,
                None => None,
            };
            self.last.insert(tile.level(), (tile.index(), known.clone()));
        }
        Ok(known)
    }

    /// The hashes of a full tile with this root.
    async fn checked(
        &mut self,
        tile: Tile,
        expected: Hash,
        findings: &mut Findings,
    ) -> Result<Option<Vec<Hash>>, SourceError> {
        let fits = |hashes: &Vec<Hash>| tile.root(hashes) == Some(expected);
        let is_missing = self.content(LogFile::tile(tile)).await?.is_none();
        if let Some(hashes) = self.read_tile(tile).await?.filter(fits) {
            return Ok(Some(hashes));
        }
        let rebuilt = self.rebuild(tile).await?.filter(fits);
        findings.add(match (&rebuilt, is_missing) {
            (None, false) => Finding::Subtree { file: tile.path() },
            (_, true) => Finding::Missing { file: tile.path() },
            (Some(_), false) => Finding::Tile { file: tile.path() },
        });
        Ok(rebuilt)
    }

    /// What is wrong with a tile that others show to be wrong.
    fn wrong(&self, tile: Tile) -> Finding {
        match self.read.get(&LogFile::tile(tile)) {
            Some(Some(_)) => Finding::Tile { file: tile.path() },
            _ => Finding::Missing { file: tile.path() },
        }
    }

    /// The hashes in a tile's file, not checked. None if it is missing or malformed.
    async fn read_tile(&mut self, tile: Tile) -> Result<Option<Vec<Hash>>, SourceError> {
        let Some((file, bytes)) = self.content(LogFile::tile(tile)).await? else { return Ok(None) };
        let LogFile::Log(sealcard_transparency::Resource::Tile(read)) = file else { return Ok(None) };
        let mut hashes = read.parse(bytes);
        if let Some(hashes) = &mut hashes {
            hashes.truncate(usize::from(tile.width()));
        }
        Ok(hashes)
    }

    /// The hashes of a tile, from the tiles or leaves below it. None if one is missing.
    async fn rebuild(&mut self, tile: Tile) -> Result<Option<Vec<Hash>>, SourceError> {
        if tile.level() == 0 {
            let Some((_, bytes)) = self.content(LogFile::leaves(tile)).await? else { return Ok(None) };
            let hashes = parse_bundle(bytes).map(|leaves| leaves.into_iter().map(Hash::leaf));
            let hashes: Option<Vec<Hash>> = hashes.ok().map(|hashes| hashes.take(tile.width().into()).collect());
            return Ok(hashes.filter(|hashes| hashes.len() == usize::from(tile.width())));
        }
        let mut hashes = Vec::new();
        for place in 0..tile.width() {
            let below = Tile::new(tile.level() - 1, tile.node(place).index, TILE_WIDTH);
            let Some(below) = below else { return Ok(None) };
            let content = self.source.read(LogFile::tile(below)).await?;
            let root = content.and_then(|bytes| below.root(&below.parse(&bytes)?));
            match root {
                Some(root) => hashes.push(root),
                None => return Ok(None),
            }
        }
        Ok(Some(hashes))
    }

    /// A file, which is kept until [`Tree::forget`].
    pub(crate) async fn content(&mut self, file: LogFile) -> Result<Option<(LogFile, &[u8])>, SourceError> {
        if !self.read.contains_key(&file) {
            let content = self.source.read_or_full(file).await?;
            self.read.insert(file, content);
        }
        let content = self.read.get(&file).and_then(Option::as_ref);
        Ok(content.map(|(file, bytes)| (*file, bytes.as_slice())))
    }

    /// How many entries it has.
    pub(crate) const fn size(&self) -> u64 {
        self.head.size
    }

    /// Whether this tree begins with an older one, which must not be larger.
    ///
    /// # Errors
    /// If a file can't be read.
    pub(crate) async fn begins_with(&mut self, older: &TreeHead, findings: &mut Findings) -> Result<bool, SourceError> {
        let size = self.head.size;
        let Ok(wanted) = consistency_tiles(older.size, size) else { return Ok(false) };
        let mut tiles = Tiles::new();
        for tile in wanted {
            let hashes = self.hashes(tile.level(), tile.index(), findings).await?;
            let bytes = hashes.and_then(|hashes| tile.encode(&hashes));
            if bytes.is_none_or(|bytes| tiles.insert(tile, &bytes).is_err()) {
                return Ok(false);
            }
        }
        self.forget();
        let proof = prove_consistency(older.size, size, &mut tiles);
        Ok(proof.is_ok_and(|proof| verify_consistency(older, &self.head, &proof).is_ok()))
    }
}
