//! The log as it is kept: the hashes of the leaves beside the entries, and the roots of complete subtrees of 256 of them,
//! of 256 of those, and so on. That is what the tiles of C2SP's tlog-tiles hold.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use parking_lot::Mutex;
use sealcard_api::Timestamp;
use sealcard_record::{Head, Salt, Sha256, leaf_of};
use sealcard_transparency::{
    Frontier, Hash, Leaf, Tile, Tiles, consistency_tiles, inclusion_tiles, prove_consistency, prove_inclusion, root,
};

use crate::{
    StorageError, Store,
    sql::{Conn, params},
};

/// The height of a tile: it holds the hashes of 2^8 nodes.
pub(crate) const TILE_HEIGHT: u8 = 8;

/// Hashes of a tile.
const TILE: i64 = 1 << TILE_HEIGHT;

/// The hashes of the last tile of leaves that is not full.
const LEAVES: &str = "SELECT hash FROM record WHERE sequence > $1 ORDER BY sequence";

/// Those of the last tile of a level.
const SUBTREES: &str = "SELECT hash FROM record_subtree WHERE level = $1 AND number >= $2 ORDER BY number";

/// The log of all entries that are there. Reads less than 256 hashes for each level.
pub(crate) fn read_log(conn: &mut Conn) -> Result<Frontier, StorageError> {
    let size: Option<Option<i64>> = conn.scalar("SELECT max(sequence) FROM record", params![])?;
    let size = size.flatten().unwrap_or_default();
    // From the leaves upwards: how many there are of a level, and the last ones of them.
    let (mut levels, mut count) = (vec![conn.all::<(Vec<u8>,)>(LEAVES, params![size - size % TILE])?], size / TILE);
    let mut level = 1_i64;
    while count > 0 {
        levels.push(conn.all(SUBTREES, params![level, count - count % TILE])?);
        (level, count) = (level + 1, count / TILE);
    }
    let mut bytes = size.to_be_bytes().to_vec();
    for hashes in levels.into_iter().rev() {
        bytes.extend(edge(hashes)?);
    }
    Frontier::from_bytes(&bytes).ok_or_else(|| damaged("entries are missing"))
}

/// The hashes of the frontier of these nodes, one after the other.
fn edge(hashes: Vec<(Vec<u8>,)>) -> Result<Vec<u8>, StorageError> {
    let mut edge = Frontier::new();
    for (hash,) in hashes {
        let hash = Hash::from_slice(&hash).ok_or_else(|| damaged("a hash has another length"))?;
        edge.append(hash).map_err(|error| damaged(&error.to_string()))?;
    }
    Ok(edge.to_bytes().split_off(size_of::<u64>()))
}

/// The log that these bytes say, which are kept beside the record.
pub(crate) fn stored_log(bytes: &[u8]) -> Result<Frontier, StorageError> {
    Frontier::from_bytes(bytes).ok_or_else(|| damaged("its end can't be read"))
}

/// The log that is kept beside the record must be that of its entries. In one transaction that sees one moment: others
/// append meanwhile.
pub(crate) fn check_log(conn: &mut Conn) -> Result<(), StorageError> {
    conn.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let stored: Option<Vec<u8>> = conn.scalar("SELECT log FROM record_head", params![])?;
    let found = read_log(conn);
    conn.script("COMMIT")?;
    if stored_log(&stored.unwrap_or_default())? == found? {
        Ok(())
    } else {
        Err(damaged("the newest entry is not the one that was written last"))
    }
}

/// The end of the record after the last transaction that this server committed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastHead(Arc<Mutex<Option<Head>>>);

impl LastHead {
    pub(crate) fn set(&self, log: &Frontier) {
        *self.0.lock() = Some(Head::of(log));
    }
}

impl Store {
    /// The end of the record after the last transaction that this server committed. None before the first one.
    #[must_use]
    pub fn last_head(&self) -> Option<Head> {
        *self.last_head.0.lock()
    }

    /// The hashes of so many nodes of a level of tiles, from this one on: of entries at level 0, of subtrees of
    /// 256^level entries above. Fewer if the log is not that long.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn log_hashes(&self, level: u8, first: u64, count: u16) -> Result<Vec<Hash>, StorageError> {
        const ENTRIES: &str = "SELECT hash FROM record WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence";
        const NODES: &str = "SELECT hash FROM record_subtree WHERE level = $3 AND number >= $1 AND number < $2
            ORDER BY number";
        let (first, end) = (first.cast_signed(), first.saturating_add(count.into()).cast_signed());
        let rows: Vec<(Vec<u8>,)> = match level {
            0 => self.reader().all(ENTRIES, params![first, end]).await?,
            level => self.reader().all(NODES, params![first, end, i64::from(level)]).await?,
        };
        rows.iter().map(|(hash,)| Hash::from_slice(hash).ok_or_else(|| damaged("a hash has another length"))).collect()
    }

    /// The log's head when it had so many leaves. None if it has fewer.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn log_head_at(&self, size: u64) -> Result<Option<Head>, StorageError> {
        if self.record_length().await? < size {
            return Ok(None);
        }
        let mut tiles = self.read_tiles(tiles_of_root(size)).await?;
        let root = root(size, &mut tiles).map_err(|error| damaged(&error.to_string()))?;
        Ok(Some(Head { sequence: size, root: Sha256(root.0) }))
    }

    /// The proof that the leaf at this index is one of the first `size` leaves.
    ///
    /// # Errors
    /// If there are not so many, or the database fails.
    pub async fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, StorageError> {
        let tiles = inclusion_tiles(index, size).map_err(|_| NOT_THERE)?;
        let mut tiles = self.read_tiles(tiles).await?;
        prove_inclusion(index, size, &mut tiles).map_err(|error| damaged(&error.to_string()))
    }

    /// The proof that the first `older` leaves are those of the first `size` too.
    ///
    /// # Errors
    /// If there are not so many, or the database fails.
    pub async fn prove_consistency(&self, older: u64, size: u64) -> Result<Vec<Hash>, StorageError> {
        let tiles = consistency_tiles(older, size).map_err(|_| NOT_THERE)?;
        let mut tiles = self.read_tiles(tiles).await?;
        prove_consistency(older, size, &mut tiles).map_err(|error| damaged(&error.to_string()))
    }

    async fn read_tiles(&self, wanted: BTreeSet<Tile>) -> Result<Tiles, StorageError> {
        let mut tiles = Tiles::new();
        for tile in wanted {
            let first = tile.node(0).index;
            let hashes = self.log_hashes(tile.level(), first, tile.width()).await?;
            let bytes = tile.encode(&hashes).ok_or_else(|| damaged("hashes are missing"))?;
            tiles.insert(tile, &bytes).map_err(|error| damaged(&error.to_string()))?;
        }
        Ok(tiles)
    }

    /// So many leaves of the log, from this index on. Fewer if the log is not that long.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn log_leaves(&self, first: u64, count: u16) -> Result<Vec<Leaf>, StorageError> {
        const LEAVES: &str = "SELECT time, event, salt, body FROM record WHERE sequence > $1 AND sequence <= $2
            ORDER BY sequence";
        let (first, end) = (first.cast_signed(), first.saturating_add(count.into()).cast_signed());
        let rows: Vec<(i64, String, Vec<u8>, String)> = self.reader().all(LEAVES, params![first, end]).await?;
        let leaf = |(time, event, salt, body): (i64, String, Vec<u8>, String)| {
            let salt = salt.try_into().map(Salt).map_err(|_| damaged("a salt has another length"))?;
            let leaf = leaf_of(Timestamp::from_unix(time), &event, &salt, &body);
            leaf.map_err(|error| damaged(&error.to_string()))
        };
        rows.into_iter().map(leaf).collect()
    }
}

/// The tiles that a root is computed from.
fn tiles_of_root(size: u64) -> BTreeSet<Tile> {
    let mut tiles = BTreeSet::new();
    let Ok(_) = root(size, &mut |node| {
        tiles.extend(Tile::of_node(node, size));
        Ok::<_, Infallible>(Hash::EMPTY_TREE)
    });
    tiles
}

const NOT_THERE: StorageError = StorageError::NotFound("so long a log");

fn damaged(what: &str) -> StorageError {
    StorageError::Damaged(format!("the record's log: {what}"))
}
