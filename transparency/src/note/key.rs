//! Keys that verify notes: `name+id+base64(type ‖ key)` (signed-note, "Verifier keys").

use std::{fmt, str::FromStr};

use aws_lc_rs::signature::{ED25519, ML_DSA_44, UnparsedPublicKey, VerificationAlgorithm};
use data_encoding::{BASE64, HEXLOWER};

use super::Signature;
use crate::{Checkpoint, hash::sha256, node::MAX_SIZE, text};

/// The longest name of an ML-DSA-44 key and of the origin that it signs, in bytes: their length is signed in one byte.
pub(crate) const MAX_NAME: usize = 255;

/// The name of a key, as a rule an address without a scheme: not empty, no spaces, no `+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let forbidden = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if name.is_empty() || name.contains(forbidden) { Err(KeyError::Name) } else { Ok(Self(name.to_owned())) }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Distinguishes the keys of one name. It has 32 bits and proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// What a key signs (signed-note, "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyType {
    /// 0x01: Ed25519 over the text of a note.
    Ed25519,
    /// 0x04: Ed25519 over a checkpoint with the time, a `cosignature/v1`.
    Ed25519Cosignature,
    /// 0x06: ML-DSA-44 over the origin, size and root of a checkpoint with the time, a `subtree/v1`.
    MlDsa44,
}

impl KeyType {
    const ALL: [Self; 3] = [Self::Ed25519, Self::Ed25519Cosignature, Self::MlDsa44];

    /// Its byte in a key.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44 => 0x06,
        }
    }

    /// The length of a public key in bytes.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 32,
            Self::MlDsa44 => 1312,
        }
    }

    /// Whether the time is signed too: then the signature begins with it.
    #[must_use]
    pub const fn is_timestamped(self) -> bool {
        matches!(self, Self::Ed25519Cosignature | Self::MlDsa44)
    }

    const fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => &ED25519,
            Self::MlDsa44 => &ML_DSA_44,
        }
    }
}

/// A public key with its name and what it signs. Written as the specification's `vkey`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    pub(super) name: KeyName,
    pub(super) id: KeyId,
    key_type: KeyType,
    key: Vec<u8>,
}

impl VerifierKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// If the bytes don't have the length of such a key, or the name is too long for the type.
    pub fn new(name: KeyName, key_type: KeyType, key: &[u8]) -> Result<Self, KeyError> {
        if key.len() != key_type.key_length() {
            return Err(KeyError::Key);
        }
        if key_type == KeyType::MlDsa44 && name.0.len() > MAX_NAME {
            return Err(KeyError::LongName);
        }
        let [a, b, c, d, ..] = sha256(&[name.0.as_bytes(), b"\n", &[key_type.byte()], key]).0;
        Ok(Self { name, id: KeyId([a, b, c, d]), key_type, key: key.to_vec() })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Its id: the first bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key).
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The public key alone.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The message that is signed for the text of a note. `time` counts for cosignatures only. `None` if the text is no
    /// checkpoint and the type of the key needs one, or the time is later than the format allows.
    #[must_use]
    pub fn message(&self, text: &str, time: u64) -> Option<Vec<u8>> {
        match self.key_type {
            KeyType::Ed25519 => Some(text.as_bytes().to_vec()),
            _ if time > MAX_SIZE => None,
            KeyType::Ed25519Cosignature => Some(Checkpoint::parse(text).ok()?.cosignature_message(time)),
            KeyType::MlDsa44 => Checkpoint::parse(text).ok()?.subtree_message(&self.name, time),
        }
    }

    /// The signature with the bytes that the key made over [`VerifierKey::message`].
    pub(super) fn signature(&self, time: u64, made: Vec<u8>) -> Signature {
        let bytes = if self.key_type.is_timestamped() { [&time.to_be_bytes()[..], &made].concat() } else { made };
        Signature { name: self.name.clone(), id: self.id, bytes }
    }

    /// Verifies a signature that names this key, and gives the time that it states. `None` if it is wrong.
    pub(super) fn verify(&self, text: &str, signature: &Signature) -> Option<Option<u64>> {
        let (time, made) = if self.key_type.is_timestamped() {
            let (time, made) = signature.bytes.split_first_chunk()?;
            (Some(u64::from_be_bytes(*time)), made)
        } else {
            (None, signature.bytes.as_slice())
        };
        let message = self.message(text, time.unwrap_or_default())?;
        UnparsedPublicKey::new(self.key_type.algorithm(), &self.key).verify(&message, made).ok()?;
        Some(time)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.key_type.byte()], &self.key[..]].concat();
        write!(f, "{}+{}+{}", self.name, self.id, BASE64.encode(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(vkey: &str) -> Result<Self, KeyError> {
        // Base64 may have further plus signs.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let bytes = text::base64(encoded).ok_or(KeyError::Form)?;
        let (byte, key) = bytes.split_first().ok_or(KeyError::Form)?;
        let known = KeyType::ALL.into_iter().find(|known| known.byte() == *byte);
        let parsed = Self::new(name.parse()?, known.ok_or(KeyError::Type(*byte))?, key)?;
        if parsed.id.to_string() == id { Ok(parsed) } else { Err(KeyError::Id) }
    }
}

/// Why a text is no key. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A name is empty, or has spaces, control characters or `+`.
    #[error("the name of a key must not be empty or have spaces, control characters or plus signs")]
    Name,
    /// The name of an ML-DSA-44 key is longer than its signatures can state.
    #[error("the name of an ML-DSA-44 key has at most {MAX_NAME} bytes")]
    LongName,
    /// Not `name+id+base64`.
    #[error("a key has the form NAME+ID+BASE64")]
    Form,
    /// A type of key that is not known.
    #[error("keys of type {0:#04x} are not known")]
    Type(u8),
    /// The public key has a wrong length.
    #[error("the public key has a wrong length")]
    Key,
    /// The id is not that of this name and key.
    #[error("the id is not that of this name and key")]
    Id,
}
