//! How people name keys, in commands and in addresses.

use std::fmt;

use data_encoding::HEXUPPER_PERMISSIVE;

use crate::{Fingerprint, cards::Card, ids::KeyId, keys::Key};

/// A key as a person or program names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// The key's id.
    Id(KeyId),
    /// The certificate's fingerprint, with or without `0x` and blanks.
    Fingerprint(Fingerprint),
    /// The last 16 digits of the fingerprint, with or without `0x`.
    ShortId([u8; 8]),
    /// `NAME` or `PROJECT/NAME`.
    Name {
        /// The project's name or id.
        project: Option<String>,
        /// The key's name.
        name: String,
    },
}

impl KeyRef {
    /// Reads what a person typed. Every text names some key, if perhaps none that exists.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if let Ok(id) = text.parse() {
            return Self::Id(id);
        }
        if let Some(hex) = hex_of(text) {
            return hex;
        }
        match text.split_once('/') {
            Some((project, name)) => Self::Name { project: Some(project.to_owned()), name: name.to_owned() },
            None => Self::Name { project: None, name: text.to_owned() },
        }
    }

    /// Whether this card is meant.
    #[must_use]
    pub fn is_card(&self, card: &Card) -> bool {
        match self {
            Self::Id(id) => card.key_id == *id,
            Self::Fingerprint(fingerprint) => card.fingerprint == *fingerprint,
            Self::ShortId(digits) => card.fingerprint.0.ends_with(digits),
            Self::Name { project, name } => {
                let in_project = |wanted: &String| card.project == *wanted || card.project_id.to_string() == *wanted;
                card.name == *name && project.as_ref().is_none_or(in_project)
            }
        }
    }

    /// Whether a text could be taken for a fingerprint, key id or id, so that it must not be a key's name.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        !matches!(Self::parse(name), Self::Name { project: None, .. })
    }
}

fn hex_of(text: &str) -> Option<KeyRef> {
    let digits: String = text.chars().filter(|c| *c != ' ').collect();
    let digits = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(&digits);
    let bytes = HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
    if let Ok(fingerprint) = bytes.as_slice().try_into() {
        return Some(KeyRef::Fingerprint(Fingerprint(fingerprint)));
    }
    bytes.try_into().ok().map(KeyRef::ShortId)
}

/// `PROJECT/NAME`: how every message names a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyName<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The key's name.
    pub name: &'a str,
}

impl fmt::Display for KeyName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl Key {
    /// `PROJECT/NAME`, for messages.
    #[must_use]
    pub fn full_name(&self) -> KeyName<'_> {
        KeyName { project: &self.project, name: &self.name }
    }
}

impl Card {
    /// `PROJECT/NAME`, for messages.
    #[must_use]
    pub fn full_name(&self) -> KeyName<'_> {
        KeyName { project: &self.project, name: &self.name }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "93CF0123456789ABCDEF0123456789ABCDEF0123";

    #[test]
    fn a_fingerprint_is_read_as_gpg_prints_it() {
        let wanted = KeyRef::Fingerprint(FINGERPRINT.parse().unwrap());
        let spaced = "93CF 0123 4567 89AB CDEF  0123 4567 89AB CDEF 0123";
        for text in [FINGERPRINT, &FINGERPRINT.to_lowercase(), spaced, &format!("0x{FINGERPRINT}")] {
            assert_eq!(KeyRef::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn sixteen_digits_are_the_end_of_a_fingerprint() {
        let short = KeyRef::ShortId([0x67, 0x89, 0xAB, 0xCD, 0xEF, 0x01, 0x23, 0x45]);
        for text in ["6789ABCDEF012345", "0x6789abcdef012345"] {
            assert_eq!(KeyRef::parse(text), short, "{text}");
        }
    }

    #[test]
    fn all_else_is_a_name_with_or_without_its_project() {
        let name = |project: Option<&str>, name: &str| KeyRef::Name {
            project: project.map(str::to_owned),
            name: name.to_owned(),
        };
        assert_eq!(KeyRef::parse("tags"), name(None, "tags"));
        assert_eq!(KeyRef::parse("release/tags"), name(Some("release"), "tags"));
        assert_eq!(KeyRef::parse("cafe"), name(None, "cafe"));
        let id = KeyId::new();
        assert_eq!(KeyRef::parse(&id.to_string()), KeyRef::Id(id));
    }

    #[test]
    fn a_name_that_reads_as_an_id_is_reserved() {
        for name in [FINGERPRINT, "6789ABCDEF012345", &KeyId::new().to_string(), "a/b"] {
            assert!(KeyRef::is_reserved(name), "{name}");
        }
        for name in ["tags", "cafe", "2024", "release-6789ABCDEF012345"] {
            assert!(!KeyRef::is_reserved(name), "{name}");
        }
    }
}
