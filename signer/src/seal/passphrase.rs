//! Passphrases.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Argon2Cost, SealError};
use crate::crypto;

pub use sealcard_signer_protocol::MIN_PASSPHRASE;

/// A passphrase: wiped when dropped, never shown.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes over `text`.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// A passphrase of 100 random bits, in groups that a person can type.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn generate() -> Result<Self, SealError> {
        const SYMBOLS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let bytes = crypto::random::<20>()?;
        let mut text = String::with_capacity(24);
        for (index, byte) in bytes.iter().enumerate() {
            if index > 0 && index % 4 == 0 {
                text.push('-');
            }
            text.extend(SYMBOLS.get(usize::from(byte % 32)).map(|symbol| char::from(*symbol)));
        }
        Ok(Self(text))
    }

    /// The text of these bytes, if they are text.
    pub(crate) fn from_utf8(mut bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        match String::from_utf8(std::mem::take(&mut *bytes)) {
            Ok(text) => Some(Self(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                None
            }
        }
    }

    /// Its length in characters.
    pub(crate) fn chars(&self) -> usize {
        self.0.chars().count()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// argon2id (RFC 9106) with an output of 32 bytes.
    pub(super) fn stretch(&self, salt: &[u8], cost: Argon2Cost) -> Result<crypto::Key, SealError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| SealError::Library)?;
        let mut key = crypto::Key::default();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(self.0.as_bytes(), salt, key.as_mut())
            .map_err(|_| SealError::Library)?;
        Ok(key)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}
