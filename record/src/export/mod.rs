//! The log as plain files: what a server serves, what a folder has that any web server can serve, and what an auditor
//! reads.
//!
//! | path | what |
//! |---|---|
//! | `checkpoint` | the newest checkpoint (C2SP, tlog-checkpoint) |
//! | `log.tlog-policy` | the keys of the log, as a tlog-policy without witnesses. They prove nothing by themselves |
//! | `tile/<L>/<N>[.p/<W>]` | hashes (C2SP, tlog-tiles) |
//! | `tile/entries/<N>[.p/<W>]` | leaves: time, event and commitment of each entry |
//! | `record/<N>[.p/<W>]` | the entries themselves with their salts, a [`crate::Line`] in each line. Not for everybody |
//!
//! `record/<N>` has the entries of the tile `tile/0/<N>`.

mod folder;
mod lines;

use std::{fmt, str::FromStr};

use sealcard_transparency::{PathError, Resource, Tile, VerifierKey};

pub use folder::{Export, ExportError, WriteError};
pub use lines::{LineError, MAX_LINES, check_line, lines};

/// The name of the file with the log's keys.
pub const KEYS_FILE: &str = "log.tlog-policy";

/// A file of an exported log, named by its path below the log's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogFile {
    /// A file that every log has.
    Log(Resource),
    /// [`KEYS_FILE`].
    Keys,
    /// The entries of this tile of level 0.
    Lines(Tile),
}

impl LogFile {
    /// The newest checkpoint.
    pub const CHECKPOINT: Self = Self::Log(Resource::Checkpoint);

    /// The hashes of a tile.
    #[must_use]
    pub const fn tile(tile: Tile) -> Self {
        Self::Log(Resource::Tile(tile))
    }

    /// The leaves of a tile of level 0.
    #[must_use]
    pub const fn leaves(tile: Tile) -> Self {
        Self::Log(Resource::Entries(tile))
    }

    /// The same file with all entries or hashes that there can be, if it has fewer.
    #[must_use]
    pub fn widened(self) -> Option<Self> {
        let full = |tile: Tile| {
            let full = Tile::new(tile.level(), tile.index(), sealcard_transparency::TILE_WIDTH);
            full.filter(|_| !tile.is_full())
        };
        match self {
            Self::Log(Resource::Tile(tile)) => full(tile).map(Self::tile),
            Self::Log(Resource::Entries(tile)) => full(tile).map(Self::leaves),
            Self::Lines(tile) => full(tile).map(Self::Lines),
            Self::Log(Resource::Checkpoint) | Self::Keys => None,
        }
    }
}

/// The leaves' prefix, which that of the lines takes the place of.
const LEAVES: &str = "tile/entries/";
const LINES: &str = "record/";

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(resource) => resource.fmt(f),
            Self::Keys => f.write_str(KEYS_FILE),
            Self::Lines(tile) => {
                let leaves = Resource::Entries(*tile).to_string();
                write!(f, "{LINES}{}", leaves.trim_start_matches(LEAVES))
            }
        }
    }
}

impl FromStr for LogFile {
    type Err = PathError;

    /// Reads exactly what is written: no other form of a path is accepted.
    fn from_str(path: &str) -> Result<Self, PathError> {
        if path == KEYS_FILE {
            return Ok(Self::Keys);
        }
        let Some(place) = path.strip_prefix(LINES) else { return path.parse().map(Self::Log) };
        match format!("{LEAVES}{place}").parse()? {
            Resource::Entries(tile) => Ok(Self::Lines(tile)),
            Resource::Checkpoint | Resource::Tile(_) => Err(PathError),
        }
    }
}

/// The content of [`KEYS_FILE`].
pub fn keys_file<'k>(keys: impl IntoIterator<Item = &'k VerifierKey>) -> String {
    let logs: String = keys.into_iter().map(|key| format!("log {key}\n")).collect();
    format!("{logs}quorum none\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_beside_their_leaves() {
        let tile = |index, width| Tile::new(0, index, width).unwrap();
        for (path, file) in [
            ("checkpoint", LogFile::CHECKPOINT),
            ("log.tlog-policy", LogFile::Keys),
            ("tile/0/000.p/3", LogFile::tile(tile(0, 3))),
            ("tile/entries/x001/234", LogFile::leaves(tile(1234, 256))),
            ("record/x001/234", LogFile::Lines(tile(1234, 256))),
            ("record/000.p/17", LogFile::Lines(tile(0, 17))),
        ] {
            assert_eq!(file.to_string(), path);
            assert_eq!(path.parse(), Ok(file));
        }
        for path in ["record/", "record/0", "record/000.p/256", "record/../checkpoint", "record", "log.tlog-policy/"] {
            assert_eq!(path.parse::<LogFile>(), Err(PathError), "{path}");
        }
    }
}
