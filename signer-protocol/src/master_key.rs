//! Which master key of a sealed store a stored component is encrypted under.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Bytes of an id.
pub const MASTER_KEY_ID_LEN: usize = 8;

/// The first byte of each sealed handle.
pub const SEALED_VERSION: u8 = 1;

/// The id of a master key. It is derived from the key and tells nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MasterKeyId(pub [u8; MASTER_KEY_ID_LEN]);

/// Not an id. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a master key has 16 hexadecimal digits")]
pub struct MasterKeyIdError;

impl MasterKeyId {
    /// The id in a [`crate::StoredKey::handle`] of a sealed store: version (1), id (8), ciphertexts.
    #[must_use]
    pub fn of_handle(handle: &[u8]) -> Option<Self> {
        handle.strip_prefix(&[SEALED_VERSION])?.first_chunk().copied().map(Self)
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for MasterKeyId {
    type Err = MasterKeyIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 2 * MASTER_KEY_ID_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| digits).ok_or(MasterKeyIdError)?;
        Ok(Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_survive_their_text(bytes: [u8; 8]) {
            let id = MasterKeyId(bytes);
            prop_assert_eq!(id.to_string().len(), 16);
            prop_assert_eq!(id.to_string().parse::<MasterKeyId>().unwrap(), id);
        }

        #[test]
        fn other_text_is_refused(text: String) {
            if let Ok(id) = text.parse::<MasterKeyId>() {
                prop_assert_eq!(id.to_string(), text.to_lowercase());
            }
        }

        #[test]
        fn handle_has_an_id_if_it_is_long_enough(handle: Vec<u8>) {
            let expected = handle.len() >= 9 && handle.first() == Some(&1);
            prop_assert_eq!(MasterKeyId::of_handle(&handle).is_some(), expected);
        }
    }
}
