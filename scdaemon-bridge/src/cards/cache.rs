//! The cache of public facts: `cards.json` in the state folder.
//!
//! `sealcard sync` and the daemon write it; the daemon answers every question about cards from it, so that gpg works
//! without the network for all that needs no private key.

use std::{collections::HashSet, path::Path};

use sealcard_api::cards::{Card, CardList};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, files};

/// The layout that this release writes.
const FORMAT: u32 = 1;

/// How many cards that vanished are remembered.
const MAX_RETIRED: usize = 256;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    format: u32,
    /// The address of the server that said it.
    pub server: String,
    /// What the server said.
    pub list: CardList,
    /// Cards of the same server that are no longer listed, newest first. They are shown to nobody, but gpg may still
    /// hold stubs of their keys: with these the daemon can ask the server, which says why, instead of letting gpg ask
    /// for a card to be inserted.
    #[serde(default)]
    pub retired: Vec<Card>,
}

impl Cache {
    /// A cache of this list. Cards that vanished since `previous` are retired; those of another server are forgotten.
    #[must_use]
    pub fn new(server: impl Into<String>, list: CardList, previous: Option<Self>) -> Self {
        let mut retired = Vec::new();
        if let Some(previous) = previous.filter(|previous| previous.list.server_id == list.server_id) {
            let mut known: HashSet<_> = list.cards.iter().map(|card| card.serial).collect();
            let candidates = previous.list.cards.into_iter().chain(previous.retired);
            retired.extend(candidates.filter(|card| known.insert(card.serial)).take(MAX_RETIRED));
        }
        Self { format: FORMAT, server: server.into(), list, retired }
    }

    /// Reads a cache from the text of its file.
    ///
    /// # Errors
    /// With a sentence, if it is not such a file or one of a newer release.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let cache: Self = serde_json::from_slice(content).map_err(|error| error.to_string())?;
        if cache.format == FORMAT {
            Ok(cache)
        } else {
            Err(format!("has format {}, but this release reads format {FORMAT}; run `sealcard sync`", cache.format))
        }
    }
}

/// Reads the cache; `None` if there is none.
///
/// # Errors
/// If the file can't be read or understood. Running `sealcard sync` makes it anew.
pub fn load(path: &Path) -> Result<Option<Cache>, ConfigError> {
    let Some(content) = files::read(path)? else { return Ok(None) };
    Cache::parse(&content).map(Some).map_err(|reason| ConfigError::Invalid { path: path.to_owned(), reason })
}

/// Replaces the cache as a whole, with mode 0600.
///
/// # Errors
/// If the file can't be written; the old one is then untouched.
pub fn save(path: &Path, cache: &Cache) -> Result<(), ConfigError> {
    let content = serde_json::to_vec(cache)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), reason: error.to_string() })?;
    files::write_private(path, &content)
}

/// Puts a new list in the cache and retires what vanished. An unreadable old cache is replaced.
///
/// # Errors
/// If the file can't be written.
pub fn update(path: &Path, server: &str, list: CardList) -> Result<Cache, ConfigError> {
    let cache = Cache::new(server, list, load(path).unwrap_or_default());
    save(path, &cache)?;
    Ok(cache)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn a_cache_survives_its_file_which_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/cards.json");
        assert_eq!(load(&path).unwrap(), None);
        let cache = update(&path, "https://localhost:1", sample_list()).unwrap();
        assert_eq!(load(&path).unwrap(), Some(cache));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn vanished_cards_are_retired_and_come_back_as_cards() {
        let all = sample_list();
        let mut fewer = all.clone();
        let gone = fewer.cards.remove(0);
        let first = Cache::new("https://localhost:1", all.clone(), None);
        let second = Cache::new("https://localhost:1", fewer.clone(), Some(first.clone()));
        assert_eq!(second.retired, std::slice::from_ref(&gone));
        let third = Cache::new("https://localhost:1", fewer.clone(), Some(second));
        assert_eq!(third.retired, [gone]);
        assert_eq!(Cache::new("https://localhost:1", all, Some(third)).retired, []);

        fewer.server_id = uuid::Uuid::from_u128(99);
        assert_eq!(Cache::new("https://other:1", fewer, Some(first)).retired, []);
    }

    #[test]
    fn an_unreadable_cache_is_an_error_and_is_replaced_by_an_update() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cards.json");
        for wrong in [&b""[..], b"{}", b"[1", b"\xFF\x00"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(load(&path).is_err());
        }
        update(&path, "https://localhost:1", sample_list()).unwrap();
        assert!(load(&path).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_cache(bytes: Vec<u8>) {
            let _ = Cache::parse(&bytes);
        }

        #[test]
        fn a_damaged_cache_never_panics(at in 0_usize..4000, byte: u8) {
            let mut bytes = serde_json::to_vec(&Cache::new("https://localhost:1", sample_list(), None)).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(cache) = Cache::parse(&bytes) {
                let _ = crate::cards::Registry::new(Some(cache));
            }
        }
    }
}
