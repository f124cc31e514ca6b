//! Why a key is used, in the words of its user.

use sealcard_api::{
    Timestamp,
    context::MAX_JUSTIFICATION,
    text::{self, is_plain},
};
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Paths, files};

/// The variable of the asking process that says why.
pub(super) const VARIABLE: &str = "SEALCARD_JUSTIFICATION";

/// The longest time that a stored justification is in force, in seconds.
pub const MAX_PERIOD: i64 = 24 * 60 * 60;

/// A justification for what is signed until its time is over: `justification.json` in the state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredJustification {
    /// The text.
    pub text: String,
    /// When it ends.
    pub until: Timestamp,
}

impl StoredJustification {
    /// The justification in force, if there is one. One that is over is removed.
    ///
    /// # Errors
    /// When the file can't be read or understood.
    pub fn load(paths: &Paths) -> Result<Option<Self>, ConfigError> {
        let path = paths.justification_file();
        let Some(content) = files::read_secret(&path)? else { return Ok(None) };
        let stored: Self = serde_json::from_slice(&content).map_err(|error| ConfigError::invalid(&path, error))?;
        let rest = stored.until.unix().saturating_sub(Timestamp::now().unix());
        // A clock that was set back must not lengthen it.
        if (1..=MAX_PERIOD).contains(&rest) {
            return Ok(clean_justification(&stored.text).map(|text| Self { text, ..stored }));
        }
        files::remove(&path)?;
        Ok(None)
    }

    /// Stores it, in place of an earlier one.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, paths: &Paths) -> Result<(), ConfigError> {
        let path = paths.justification_file();
        let content = serde_json::to_vec(self).map_err(|error| ConfigError::invalid(&path, error))?;
        files::write_private(&path, &content)
    }

    /// Removes what is stored. Says whether there was something.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub fn clear(paths: &Paths) -> Result<bool, ConfigError> {
        files::remove(&paths.justification_file())
    }
}

/// The text as one line without spaces around it, what is not plain escaped, cut where it is too long. None if nothing
/// is left.
#[must_use]
pub fn clean_justification(text: &str) -> Option<String> {
    // Of a longer text nothing more can be kept.
    let line: String = text.trim().chars().take(4 * MAX_JUSTIFICATION).map(space_for_control).collect();
    let clean: String = text::cleaned(line.trim()).chars().take(MAX_JUSTIFICATION).collect();
    let clean = clean.trim_end();
    (!clean.is_empty()).then(|| clean.to_owned())
}

fn space_for_control(c: char) -> char {
    if c.is_control() || (c.is_whitespace() && !is_plain(c)) { ' ' } else { c }
}

/// The value of a variable in an environment, each variable of which has a zero behind it. The first one counts.
#[must_use]
pub fn variable<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The justification in this environment.
pub(super) fn of_environment(environment: &[u8]) -> Option<String> {
    clean_justification(&String::from_utf8_lossy(variable(environment, VARIABLE)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use proptest::prelude::*;
    use sealcard_api::context::UseContext;

    use super::*;

    fn paths(folder: &tempfile::TempDir) -> Paths {
        Paths::new(folder.path().join("config"), folder.path().join("state")).unwrap()
    }

    #[test]
    fn stored_text_is_private_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder);
        assert_eq!(StoredJustification::load(&paths).unwrap(), None);
        let now = Timestamp::now().unix();
        let stored = |until| StoredJustification { text: "Release 1.0".to_owned(), until: Timestamp::from_unix(until) };
        stored(now + 60).save(&paths).unwrap();
        let file = paths.justification_file();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(StoredJustification::load(&paths).unwrap(), Some(stored(now + 60)));
        for over in [now - 1, now + MAX_PERIOD + 60] {
            stored(over).save(&paths).unwrap();
            assert_eq!(StoredJustification::load(&paths).unwrap(), None);
            assert!(!file.exists());
        }
        stored(now + 60).save(&paths).unwrap();
        assert!(StoredJustification::clear(&paths).unwrap());
        assert!(!StoredJustification::clear(&paths).unwrap());
    }

    #[test]
    fn text_becomes_one_clean_line() {
        for (text, clean) in [
            (" Release 1.0\n", Some("Release 1.0")),
            ("two\nlines\tand a tab", Some("two lines and a tab")),
            ("a\u{2028}b", Some("a b")),
            ("a\u{202e}b", Some("a\\u{202e}b")),
            ("\n \t", None),
            ("", None),
        ] {
            assert_eq!(clean_justification(text).as_deref(), clean, "{text:?}");
        }
        assert_eq!(clean_justification(&"ä".repeat(5000)).unwrap(), "ä".repeat(MAX_JUSTIFICATION));
    }

    #[test]
    fn variable_is_found_by_its_whole_name() {
        let environment = b"HOME=/root\0XSEALCARD_JUSTIFICATION=no\0SEALCARD_JUSTIFICATION=Release=1\0A=B\0";
        assert_eq!(of_environment(environment).as_deref(), Some("Release=1"));
        assert_eq!(of_environment(b"SEALCARD_JUSTIFICATION\0SEALCARD_JUSTIFICATION_2=x\0"), None);
        assert_eq!(of_environment(b"SEALCARD_JUSTIFICATION=\0"), None);
    }

    proptest! {
        #[test]
        fn whatever_the_text_is_the_claim_is_valid(text: String, bytes: Vec<u8>) {
            let environment = [b"SEALCARD_JUSTIFICATION=".as_slice(), &bytes].concat();
            for justification in [clean_justification(&text), of_environment(&environment)] {
                prop_assert_eq!(UseContext { justification, ..UseContext::default() }.check(), Ok(()));
            }
        }
    }
}
