//! Names typed at login that belong to no user. One may be a password in the wrong field, so only a keyed hash is
//! recorded.

use std::{fmt, path::Path};

use aws_lc_rs::{
    hmac::{HMAC_SHA256, Key, sign},
    rand,
};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// The key's file in the data folder. Apart from the database: who has only that can't try out what was typed.
pub const NAME_KEY_FILE: &str = "login-names.key";

/// Bytes of the hash that are recorded: enough to tell names apart.
const RECORDED: usize = 8;

/// Hashes what was typed, so that the same text is recognised again by this server and by no other.
pub struct NameKey(Key);

/// Why there is no key. Retrying helps once the file was put right.
#[derive(Debug, thiserror::Error)]
pub enum NameKeyError {
    /// The file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file holds something else.
    #[error("{0} does not hold 64 hexadecimal digits: remove it, and the server makes a new one")]
    Damaged(String),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl NameKey {
    /// A key that lives as long as this process.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn random() -> Result<Self, NameKeyError> {
        Ok(Self(Key::new(HMAC_SHA256, random()?.as_ref())))
    }

    /// The key of the data folder; made if it is absent. A new key only means that earlier hashes are not recognised
    /// again.
    ///
    /// # Errors
    /// See [`NameKeyError`].
    pub fn of(data: &Path) -> Result<Self, NameKeyError> {
        let path = data.join(NAME_KEY_FILE);
        if !path.exists() {
            let text = Zeroizing::new(HEXLOWER.encode(random()?.as_ref()));
            files::write_new(&path, text.as_bytes())?;
        }
        let text = files::read_secret(&path)?;
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).map(Zeroizing::new).ok().filter(|bytes| bytes.len() == 32);
        let bytes = bytes.ok_or_else(|| NameKeyError::Damaged(path.display().to_string()))?;
        Ok(Self(Key::new(HMAC_SHA256, &bytes)))
    }

    /// What is recorded in the place of the name.
    #[must_use]
    pub fn hash(&self, typed: &str) -> String {
        let tag = sign(&self.0, typed.as_bytes());
        HEXLOWER.encode(tag.as_ref().get(..RECORDED).unwrap_or_default())
    }
}

fn random() -> Result<Zeroizing<[u8; 32]>, NameKeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut()).map_err(|_| NameKeyError::Random)?;
    Ok(bytes)
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_hash_for_each_key() {
        let folder = tempfile::tempdir().unwrap();
        let (first, again) = (NameKey::of(folder.path()).unwrap(), NameKey::of(folder.path()).unwrap());
        assert_eq!(first.hash("hunter2"), again.hash("hunter2"));
        assert_ne!(first.hash("hunter2"), first.hash("hunter3"));
        assert_ne!(first.hash("hunter2"), NameKey::random().unwrap().hash("hunter2"));
        std::fs::write(folder.path().join(NAME_KEY_FILE), "short").unwrap();
        assert!(NameKey::of(folder.path()).unwrap_err().to_string().contains(NAME_KEY_FILE));
    }
}
