//! Where the files of a log are, below its prefix (C2SP tlog-tiles, "APIs").

use std::{fmt, str::FromStr};

use crate::{TILE_WIDTH, Tile, node::MAX_SIZE, text::number, tile::TILE_HEIGHT};

/// A file of a log, named by its path below the log's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `checkpoint`: the newest checkpoint. The only file that changes.
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`: hashes.
    Tile(Tile),
    /// `tile/entries/<N>[.p/<W>]`: the entries whose hashes the tile of level 0 has.
    Entries(Tile),
}

impl Resource {
    /// The bundle with the entries of this tile. `None` if the tile is not of level 0.
    #[must_use]
    pub fn entries(tile: Tile) -> Option<Self> {
        (tile.level() == 0).then_some(Self::Entries(tile))
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tile = match self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Tile(tile) => {
                write!(f, "tile/{}/", tile.level())?;
                tile
            }
            Self::Entries(tile) => {
                f.write_str("tile/entries/")?;
                tile
            }
        };
        // Groups of three digits from the right; all but the last begin with x.
        let (mut groups, mut rest) = (format!("{:03}", tile.index() % 1000), tile.index() / 1000);
        while rest > 0 {
            groups.insert_str(0, &format!("x{:03}/", rest % 1000));
            rest /= 1000;
        }
        f.write_str(&groups)?;
        if tile.is_full() { Ok(()) } else { write!(f, ".p/{}", tile.width()) }
    }
}

impl FromStr for Resource {
    type Err = PathError;

    /// Reads exactly what is written: no other form of a path is accepted.
    fn from_str(path: &str) -> Result<Self, PathError> {
        parse(path).filter(|resource| resource.to_string() == path).ok_or(PathError)
    }
}

fn parse(path: &str) -> Option<Resource> {
    if path == "checkpoint" {
        return Some(Resource::Checkpoint);
    }
    let (kind, place) = path.strip_prefix("tile/")?.split_once('/')?;
    let (groups, width) = match place.split_once(".p/") {
        Some((groups, width)) => (groups, u16::try_from(number(width)?).ok()?),
        None => (place, TILE_WIDTH),
    };
    let mut index: u64 = 0;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        if digits.len() != 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    if index > MAX_SIZE >> TILE_HEIGHT {
        return None;
    }
    if kind == "entries" {
        return Tile::new(0, index, width).map(Resource::Entries);
    }
    Tile::new(u8::try_from(number(kind)?).ok()?, index, width).map(Resource::Tile)
}

/// The path is not that of a file of a log. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no file of a log has this path")]
pub struct PathError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |level, index, width| Resource::Tile(Tile::new(level, index, width).unwrap());
        let entries = |index, width| Resource::entries(Tile::new(0, index, width).unwrap()).unwrap();
        for (path, resource) in [
            ("checkpoint", Resource::Checkpoint),
            ("tile/0/000", tile(0, 0, 256)),
            ("tile/0/x001/x234/067", tile(0, 1_234_067, 256)),
            ("tile/1/x001/000.p/17", tile(1, 1000, 17)),
            ("tile/entries/999.p/255", entries(999, 255)),
            ("tile/entries/x123/456", entries(123_456, 256)),
        ] {
            assert_eq!(resource.to_string(), path);
            assert_eq!(path.parse(), Ok(resource));
        }
    }

    #[test]
    fn other_forms_of_paths_are_refused() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/00/000",
            "tile/+0/000",
            "tile/8/000",
            "tile/64/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/007",
            "tile/0/000.p/",
            "tile/0/000.p/1/",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/+01",
            "tile/entries/x000/001",
            "tile/data/000",
            "checkpoint/",
            "tile/7/x001/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(path.parse::<Resource>(), Err(PathError), "{path}");
        }
    }
}
