//! The entries of Sealcard's log: commitments to entries of the record.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::{Hash, hash::sha256};

/// The version of the bytes that this crate writes.
pub const LEAF_VERSION: u8 = 1;

/// The longest name of a kind, in bytes.
pub const MAX_KIND: usize = 64;

/// The length of a salt in bytes.
pub const SALT_LENGTH: usize = 16;

/// The salt of an entry: fresh random bytes, so that a short body can't be guessed from its commitment. It is deleted
/// together with the body.
pub type Salt = [u8; SALT_LENGTH];

/// An entry of the log. It says when something of which kind was recorded, and commits to the rest without showing it.
///
/// | Bytes | What |
/// |---|---|
/// | 1 | [`LEAF_VERSION`] |
/// | 8 | time, seconds since 1970-01-01T00:00:00Z, big-endian |
/// | 1 | n, the length of the kind: 1 to [`MAX_KIND`] |
/// | n | the kind: lower-case letters, digits and `-` |
/// | 32 | commitment: SHA-256(salt ‖ body), the salt having [`SALT_LENGTH`] bytes |
///
/// Its [`Hash::leaf`] is a leaf of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    time: u64,
    kind: String,
    commitment: Hash,
}

impl Leaf {
    /// Commits to a body: the exact bytes of an entry of the record.
    ///
    /// # Errors
    /// If the kind is not such a name.
    pub fn new(time: u64, kind: &str, salt: &Salt, body: &[u8]) -> Result<Self, LeafError> {
        let leaf = Self { time, kind: kind.to_owned(), commitment: commit(salt, body) };
        if is_kind(kind) { Ok(leaf) } else { Err(LeafError::Kind) }
    }

    /// When it was recorded, in seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The name of what was recorded.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// SHA-256(salt ‖ body).
    #[must_use]
    pub const fn commitment(&self) -> &Hash {
        &self.commitment
    }

    /// Whether this is the body that it commits to. Takes the same time for every wrong one.
    #[must_use]
    pub fn opens(&self, salt: &Salt, body: &[u8]) -> bool {
        verify_slices_are_equal(&commit(salt, body).0, &self.commitment.0).is_ok()
    }

    /// The bytes of the entry.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![LEAF_VERSION];
        bytes.extend(self.time.to_be_bytes());
        bytes.push(self.kind.len() as u8);
        bytes.extend(self.kind.as_bytes());
        bytes.extend(self.commitment.0);
        bytes
    }

    /// Reads the bytes of an entry.
    ///
    /// # Errors
    /// If they are none of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let (version, rest) = bytes.split_first().ok_or(LeafError::Length)?;
        if *version != LEAF_VERSION {
            return Err(LeafError::Version(*version));
        }
        let (time, rest) = rest.split_first_chunk().ok_or(LeafError::Length)?;
        let (length, rest) = rest.split_first().ok_or(LeafError::Length)?;
        let (kind, commitment) = rest.split_at_checked(usize::from(*length)).ok_or(LeafError::Length)?;
        let kind = std::str::from_utf8(kind).ok().filter(|kind| is_kind(kind)).ok_or(LeafError::Kind)?;
        let commitment = Hash::from_slice(commitment).ok_or(LeafError::Length)?;
        Ok(Self { time: u64::from_be_bytes(*time), kind: kind.to_owned(), commitment })
    }

    /// The hash of the entry: the leaf of the tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::leaf(&self.to_bytes())
    }
}

/// Why bytes are no entry of the log, or one can't be made. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// A newer version, or no entry.
    #[error("an entry of version {0}; this program reads version {LEAF_VERSION}")]
    Version(u8),
    /// The kind is not 1 to 64 lower-case letters, digits and `-`.
    #[error("the kind of the entry is not a name of 1 to {MAX_KIND} lower-case letters, digits and hyphens")]
    Kind,
    /// Too few or too many bytes.
    #[error("the entry has a wrong length")]
    Length,
}

/// The salt has a fixed length, so no other salt and body give the same bytes.
fn commit(salt: &Salt, body: &[u8]) -> Hash {
    sha256(&[salt, body])
}

fn is_kind(kind: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_KIND).contains(&kind.len()) && kind.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_the_documented_ones() {
        let leaf = Leaf::new(1_700_000_000, "use-intent", &[7; 16], b"{}").unwrap();
        let mut expected = b"\x01\x00\x00\x00\x00\x65\x53\xF1\x00\x0Ause-intent".to_vec();
        expected.extend(sha256(&[&[7; 16], b"{}"]).0);
        assert_eq!(leaf.to_bytes(), expected);
        assert_eq!(leaf.hash(), Hash::leaf(&expected));
        assert_eq!(expected.len(), 1 + 8 + 1 + 10 + crate::HASH_LENGTH);
    }

    #[test]
    fn only_the_body_with_its_salt_opens_it() {
        let leaf = Leaf::new(0, "login", &[7; 16], b"body").unwrap();
        assert!(leaf.opens(&[7; 16], b"body"));
        assert!(!leaf.opens(&[8; 16], b"body"));
        assert!(!leaf.opens(&[7; 16], b"bodz"));
    }

    #[test]
    fn kinds_are_names() {
        for kind in ["", "Login", "log in", "login\n", "löschen", &"a".repeat(65)] {
            assert_eq!(Leaf::new(0, kind, &[0; 16], b""), Err(LeafError::Kind), "{kind}");
        }
        let mut bytes = Leaf::new(0, "login", &[0; 16], b"").unwrap().to_bytes();
        bytes[0] = 2;
        assert_eq!(Leaf::parse(&bytes), Err(LeafError::Version(2)));
    }

    proptest! {
        #[test]
        fn entry_survives_its_bytes(
            time: u64, kind in "[a-z0-9-]{1,64}", salt: [u8; 16], body: Vec<u8>, bit: usize,
        ) {
            let leaf = Leaf::new(time, &kind, &salt, &body).unwrap();
            let bytes = leaf.to_bytes();
            prop_assert_eq!(Leaf::parse(&bytes), Ok(leaf.clone()));
            prop_assert!(Leaf::parse(&bytes[..bytes.len() - 1]).is_err());
            prop_assert!(Leaf::parse(&[&bytes[..], &[0]].concat()).is_err());
            // A flipped bit makes another entry, or none.
            let mut other = bytes.clone();
            other[bit / 8 % bytes.len()] ^= 1 << (bit % 8);
            if let Ok(other) = Leaf::parse(&other) {
                prop_assert_ne!(other.hash(), leaf.hash());
            }
        }

        #[test]
        fn parser_takes_any_bytes(bytes: Vec<u8>) {
            if let Ok(leaf) = Leaf::parse(&bytes) {
                prop_assert_eq!(leaf.to_bytes(), bytes);
            }
        }
    }
}
