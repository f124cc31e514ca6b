//! The log as files, read-only: what `sealcard_record::export` names.

use sealcard_record::{
    Line,
    export::{LogFile, keys_file},
};
use sealcard_transparency::{Resource, Tile, encode_bundle};
use serde_json::value::RawValue;

use super::{Log, Published};
use crate::storage::{RecordFilter, StorageError};

impl Log {
    /// A file of the published log. None if the newest checkpoint does not cover it, or nothing is published.
    ///
    /// Costs one query for at most 256 rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn file(&self, file: LogFile) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(Published { keys, checkpoint }) = self.published().await? else { return Ok(None) };
        let is_covered = |tile: Tile| {
            let last = tile.node(tile.width().saturating_sub(1));
            last.end().is_some_and(|end| end <= checkpoint.size)
        };
        Ok(match file {
            LogFile::Log(Resource::Checkpoint) => Some(checkpoint.note.into_bytes()),
            LogFile::Keys => Some(keys_file(&keys).into_bytes()),
            LogFile::Log(Resource::Tile(tile) | Resource::Entries(tile)) | LogFile::Lines(tile)
                if !is_covered(tile) =>
            {
                None
            }
            LogFile::Log(Resource::Tile(tile)) => {
                let hashes = self.store.log_hashes(tile.level(), tile.node(0).index, tile.width()).await?;
                Some(tile.encode(&hashes).ok_or_else(|| damaged(&file))?)
            }
            LogFile::Log(Resource::Entries(tile)) => {
                let leaves = self.store.log_leaves(tile.node(0).index, tile.width()).await?;
                let leaves: Vec<Vec<u8>> = leaves.iter().map(sealcard_transparency::Leaf::to_bytes).collect();
                let is_whole = leaves.len() == usize::from(tile.width());
                Some(encode_bundle(&leaves).ok().filter(|_| is_whole).ok_or_else(|| damaged(&file))?)
            }
            LogFile::Lines(tile) => Some(self.lines(tile).await?),
        })
    }

    /// The entries of a tile of level 0.
    async fn lines(&self, tile: Tile) -> Result<Vec<u8>, StorageError> {
        let (after, limit) = (Some(tile.node(0).index), tile.width().into());
        let rows = self.store.record(RecordFilter { after, limit, ..RecordFilter::default() }).await?;
        let damaged = || damaged(&LogFile::Lines(tile));
        if rows.len() != usize::from(tile.width()) {
            return Err(damaged());
        }
        let mut text = Vec::new();
        for row in rows {
            let entry = RawValue::from_string(row.body).map_err(|_| damaged())?;
            serde_json::to_writer(&mut text, &Line { hash: row.hash, salt: row.salt, entry }).map_err(|_| damaged())?;
            text.push(b'\n');
        }
        Ok(text)
    }
}

fn damaged(file: &LogFile) -> StorageError {
    StorageError::Damaged(format!("the record's log: entries of {file} are missing"))
}
