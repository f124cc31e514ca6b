//! Secrets that the server gives out.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use sealcard_api::grants::SecretText;
use zeroize::Zeroizing;

/// What grants begin with, so that scanners for leaked secrets can tell them.
pub const GRANT_PREFIX: &str = "scg_";

/// What service tokens begin with.
pub const SERVICE_TOKEN_PREFIX: &str = "sct_";

/// 32 random bytes behind a prefix.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn new(prefix: &str) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(bytes.as_mut())?;
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 43));
        text.push_str(prefix);
        BASE64URL_NOPAD.encode_append(bytes.as_ref(), &mut text);
        Ok(Self(text))
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }

    /// The secret, for its holder.
    #[must_use]
    pub fn into_text(mut self) -> SecretText {
        SecretText(std::mem::take(&mut *self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A password for one login: 80 random bits in four groups that a person can type.
///
/// # Errors
/// If the system gives no random bytes.
pub fn one_time_password() -> Result<Zeroizing<String>, aws_lc_rs::error::Unspecified> {
    let mut bytes = Zeroizing::new([0; 10]);
    rand::fill(bytes.as_mut())?;
    let symbols = Zeroizing::new(BASE32_NOPAD.encode(bytes.as_ref()).to_ascii_lowercase());
    let mut text = Zeroizing::new(String::with_capacity(19));
    for (index, symbol) in symbols.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        text.push(symbol);
    }
    Ok(text)
}

/// What is stored of a secret: with 256 random bits in it, a plain hash is as good as a slow one.
#[must_use]
pub fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_time_passwords_are_four_groups_and_differ() {
        let (a, b) = (one_time_password().unwrap(), one_time_password().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4]);
        assert_eq!(sealcard_api::rules::NewPassword::check(&a, "alice", 12), Ok(()));
    }

    #[test]
    fn secrets_differ_and_their_hash_is_that_of_the_text() {
        let (a, b) = (Secret::new(GRANT_PREFIX).unwrap(), Secret::new(GRANT_PREFIX).unwrap());
        let stored = a.hash();
        let (a, b) = (a.into_text().0, b.into_text().0);
        assert_ne!(a, b);
        assert_eq!((a.len(), a.starts_with("scg_")), (47, true));
        assert_eq!(stored, hash(&a));
    }
}
