//! What a backup has, as a file says it.

use std::collections::HashSet;

use sealcard_api::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DATABASE, JOURNAL, OWN_FILES, OWN_SIGNERS, SIGNER_FILES, SIGNERS, TLS};

/// The present format.
const FORMAT: u32 = 1;

/// The longest manifest that is read, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// All of a backup's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The release that made the backup.
    pub release: String,
    /// When it was begun.
    pub created: Timestamp,
    /// Which database the server has.
    pub database: BackedUp,
    /// The newest entry of the record in the copied database.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<RecordHead>,
    /// The files, the manifest apart.
    pub files: Vec<FileEntry>,
}

/// Which database a backup is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackedUp {
    /// A file, which the backup has.
    Sqlite,
    /// PostgreSQL, which its own tools back up.
    Postgres,
}

/// The newest entry of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordHead {
    /// Its number.
    pub sequence: u64,
    /// Its hash, in hexadecimal.
    pub hash: String,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its place in the backup, with `/` between folders.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// Why a text is no manifest. Retrying can't help.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    /// Too long.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Not the JSON that is expected.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Of a later release.
    #[error("it has format {0}, this release knows format {FORMAT}: restore with the release that made the backup")]
    Format(u32),
    /// Not a path that a backup can have.
    #[error("a backup has no file {0:?}")]
    Path(String),
    /// Twice the same file.
    #[error("it names {0} twice")]
    Twice(String),
    /// A file that each backup of its kind has is missing.
    #[error("it does not name {0}")]
    Missing(&'static str),
}

impl Manifest {
    /// A manifest of this release.
    #[must_use]
    pub fn new(created: Timestamp, database: BackedUp, record: Option<RecordHead>, files: Vec<FileEntry>) -> Self {
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").to_owned(), created, database, record, files }
    }

    /// Reads a manifest. Each of its paths stays inside the backup's folder, and leads to a place that a server has.
    ///
    /// # Errors
    /// See [`BadManifest`].
    pub fn parse(text: &[u8]) -> Result<Self, BadManifest> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if text.len() > MAX_BYTES {
            return Err(BadManifest::TooLong);
        }
        let Format { format } = serde_json::from_slice(text)?;
        if format != FORMAT {
            return Err(BadManifest::Format(format));
        }
        let manifest: Self = serde_json::from_slice(text)?;
        let mut seen = HashSet::new();
        for FileEntry { path, .. } in &manifest.files {
            if !is_allowed(path) {
                return Err(BadManifest::Path(path.clone()));
            }
            if !seen.insert(path.as_str()) {
                return Err(BadManifest::Twice(path.clone()));
            }
        }
        for (needed, name) in [(true, crate::config::FILE), (manifest.database == BackedUp::Sqlite, DATABASE)] {
            if needed && !seen.contains(name) {
                return Err(BadManifest::Missing(name));
            }
        }
        Ok(manifest)
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        // Plain structs always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Whether a backup can have a file at this path. Nothing else is restored.
fn is_allowed(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [file] => *file == DATABASE || OWN_FILES.contains(file),
        [TLS, file] => is_name(file),
        [SIGNERS | OWN_SIGNERS, name, file] => is_name(name) && (*file == JOURNAL || SIGNER_FILES.contains(file)),
        _ => false,
    }
}

/// A name without a separator that is neither hidden nor a step up.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(allowed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    fn manifest(paths: &[&str]) -> Manifest {
        let file = |path: &&str| FileEntry { path: (*path).to_owned(), bytes: 1, sha256: String::new() };
        Manifest::new(Timestamp::from_unix(0), BackedUp::Sqlite, None, paths.iter().map(file).collect())
    }

    #[test]
    fn manifest_survives_its_text() {
        let paths =
            ["server.toml", "sealcard.db", "tls/ca.pem", "signer/default/seal.json", "own-signers/a/journal.jsonl"];
        let whole = manifest(&paths);
        assert_eq!(Manifest::parse(whole.text().as_bytes()).unwrap(), whole);
    }

    #[test]
    fn paths_that_leave_the_folder_or_name_secrets_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../server.toml",
            "tls/../x",
            "tls/..",
            "tls/a/b",
            "tls/.hidden",
            "signer/default/master.key",
            "signer/../seal.json",
            "signer//seal.json",
            "signer/default",
            "master.key",
            "tls/a\0b",
            "tls\\a",
        ] {
            let text = manifest(&["server.toml", "sealcard.db", path]).text();
            let refused = Manifest::parse(text.as_bytes());
            assert!(matches!(&refused, Err(BadManifest::Path(refused)) if refused == path), "{path:?}: {refused:?}");
        }
    }

    #[test]
    fn what_is_missing_twice_or_of_a_later_format_is_named() {
        let text = |paths: &[&str]| manifest(paths).text();
        assert!(matches!(Manifest::parse(text(&["server.toml"]).as_bytes()), Err(BadManifest::Missing("sealcard.db"))));
        let twice = text(&["server.toml", "sealcard.db", "tls/a", "tls/a"]);
        assert!(matches!(Manifest::parse(twice.as_bytes()), Err(BadManifest::Twice(_))));
        let later = Manifest { format: 2, ..manifest(&["server.toml", "sealcard.db"]) };
        assert!(matches!(Manifest::parse(later.text().as_bytes()), Err(BadManifest::Format(2))));
    }

    proptest! {
        #[test]
        fn allowed_paths_stay_in_their_folder(path in "[a-z./]{0,30}") {
            let normal = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
            prop_assert!(!is_allowed(&path) || (normal && !path.is_empty()));
        }
    }
}
