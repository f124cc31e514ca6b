//! Bundles of entries (C2SP tlog-tiles, "Log entries"): each entry with its length in two bytes, big-endian.

use crate::tile::TILE_WIDTH;

/// The longest entry, in bytes.
pub const MAX_ENTRY: usize = 65_535;

/// Why bytes are no bundle, or entries can't be in one. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A bundle has 1 to 256 entries.
    #[error("a bundle has 1 to 256 entries, not {0}")]
    Count(usize),
    /// The entry at this place is longer than [`MAX_ENTRY`].
    #[error("entry {0} of the bundle is longer than {MAX_ENTRY} bytes")]
    TooLong(usize),
    /// The bytes end within the entry at this place.
    #[error("the bundle ends within entry {0}")]
    Truncated(usize),
}

/// The bytes of a bundle with these entries.
///
/// # Errors
/// If there are none or more than 256, or one is longer than [`MAX_ENTRY`].
pub fn encode_bundle<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, BundleError> {
    check_count(entries.len())?;
    let mut bytes = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len()).map_err(|_| BundleError::TooLong(place))?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(entry);
    }
    Ok(bytes)
}

/// The entries in the bytes of a bundle.
///
/// # Errors
/// If there are none or more than 256, or the last is cut.
pub fn parse_bundle(mut bytes: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        check_count(entries.len() + 1)?;
        let truncated = BundleError::Truncated(entries.len());
        let (length, rest) = bytes.split_first_chunk().ok_or(truncated)?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(truncated)?;
        entries.push(entry);
        bytes = rest;
    }
    check_count(entries.len())?;
    Ok(entries)
}

fn check_count(count: usize) -> Result<(), BundleError> {
    if (1..=usize::from(TILE_WIDTH)).contains(&count) { Ok(()) } else { Err(BundleError::Count(count)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_length_in_two_bytes() {
        let bytes = encode_bundle(&[&b"ab"[..], b"", b"c"]).unwrap();
        assert_eq!(bytes, b"\x00\x02ab\x00\x00\x00\x01c");
        assert_eq!(parse_bundle(&bytes), Ok(vec![&b"ab"[..], b"", b"c"]));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(encode_bundle(&[vec![0; 65_536]]), Err(BundleError::TooLong(0)));
        assert!(encode_bundle(&[vec![0; 65_535]]).is_ok());
        assert_eq!(encode_bundle::<&[u8]>(&[]), Err(BundleError::Count(0)));
        assert_eq!(encode_bundle(&[[]; 257]), Err(BundleError::Count(257)));
        assert_eq!(parse_bundle(&[]), Err(BundleError::Count(0)));
        assert_eq!(parse_bundle(&[0; 514]), Err(BundleError::Count(257)));
        assert_eq!(parse_bundle(&[0, 0, 0]), Err(BundleError::Truncated(1)));
        assert_eq!(parse_bundle(&[0, 2, 7]), Err(BundleError::Truncated(0)));
    }
}
