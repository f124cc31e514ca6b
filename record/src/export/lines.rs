//! The lines of a file of entries, each checked against its leaf in the log.

use sealcard_transparency::{Hash, TILE_WIDTH};

use crate::{Body, BodyError, Line, MAX_ENTRY, Sha256, leaf};

/// The longest line, in bytes: an entry, and what is around it.
const MAX_LINE: usize = MAX_ENTRY + 256;

/// The longest file of entries, in bytes.
pub const MAX_LINES: usize = TILE_WIDTH as usize * (MAX_LINE + 1);

/// The lines of a file of entries. Each line has an end, so that a cut one is not taken for a whole one.
///
/// # Errors
/// If the last line has no end.
pub fn lines(file: &[u8]) -> Result<impl Iterator<Item = &[u8]>, LineError> {
    match file.strip_suffix(b"\n") {
        Some(lines) => Ok(lines.split(|byte| *byte == b'\n')),
        None => Err(LineError::Cut),
    }
}

/// Reads a line, and checks that it is the entry with this number, whose leaf has this hash.
///
/// # Errors
/// If it is not.
pub fn check_line(line: &[u8], number: u64, hash: &Hash) -> Result<(Line, Body), LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    let line: Line = serde_json::from_slice(line).map_err(LineError::Json)?;
    let leaf = leaf(line.entry.get(), &line.salt).map_err(LineError::Unreadable)?;
    if leaf.hash() != *hash {
        return Err(LineError::OtherEntry);
    }
    if line.hash != Sha256(hash.0) {
        return Err(LineError::OtherHash);
    }
    let body = line.body().map_err(LineError::Unreadable)?;
    if body.sequence != number {
        return Err(LineError::Number(body.sequence));
    }
    Ok((line, body))
}

/// Why a line is not the entry that the log commits to. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The end of the file is missing.
    #[error("the last line has no end: the file was cut off")]
    Cut,
    /// Longer than any entry.
    #[error("the line is longer than any entry")]
    TooLong,
    /// Not the JSON of an exported entry.
    #[error("the line is no exported entry: {0}")]
    Json(serde_json::Error),
    /// The entry can't be read.
    #[error("the entry can't be read: {0}")]
    Unreadable(BodyError),
    /// Entry or salt are not those that the log commits to.
    #[error("the log commits to another entry: the entry or its salt was changed")]
    OtherEntry,
    /// The stated hash is not that of the leaf.
    #[error("the hash in the line is not that of its leaf")]
    OtherHash,
    /// The entry states another number than its place.
    #[error("it states that its number is {0}")]
    Number(u64),
}
