//! Values that have the same form in every event.

use std::{borrow::Cow, fmt};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use sealcard_api::ids::{GrantId, PrincipalId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A thing with the name that it had at the time: `{"id": …, "name": …}`. The record is read without looking up ids,
/// also after the thing was renamed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Named<Id> {
    /// The id. It never changes and is never given to another thing.
    pub id: Id,
    /// The name at the time of the entry. Empty if it was not known any more.
    pub name: String,
}

impl<Id> Named<Id> {
    /// A thing and its name.
    pub fn new(id: Id, name: impl Into<String>) -> Self {
        Self { id, name: name.into() }
    }
}

/// The principal that caused an entry: the requester of a use, or the actor of an administrative act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The principal.
    pub id: PrincipalId,
    /// Its name at the time of the entry.
    pub name: String,
    /// The grant that it was authenticated with. Absent at a login.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant: Option<GrantId>,
}

impl Actor {
    /// A principal that was authenticated with a grant.
    pub fn new(id: PrincipalId, name: impl Into<String>, grant: GrantId) -> Self {
        Self { id, name: name.into(), grant: Some(grant) }
    }
}

/// A SHA-256 value, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = HexBytes::deserialize(deserializer)?.0;
        bytes.try_into().map(Self).map_err(|_| de::Error::custom("expected 64 lower-case hexadecimal digits"))
    }
}

/// The first 16 bytes of a SHA-256 value, written as 32 lower-case hexadecimal digits: enough that nothing else has the
/// same, and no more than that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashPrefix(pub [u8; 16]);

impl HashPrefix {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_hash(digest(&SHA256, bytes).as_ref())
    }

    /// Of a SHA-256 value. What it lacks is zero.
    #[must_use]
    pub fn of_hash(hash: &[u8]) -> Self {
        let mut prefix = [0; 16];
        prefix.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
        Self(prefix)
    }
}

impl fmt::Display for HashPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for HashPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HashPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HashPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = HexBytes::deserialize(deserializer)?.0;
        bytes.try_into().map(Self).map_err(|_| de::Error::custom("expected 32 lower-case hexadecimal digits"))
    }
}

/// 16 random bytes of one entry, written as 32 lower-case hexadecimal digits. Without them nobody can guess a redacted
/// entry and check the guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt(pub [u8; 16]);

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = HexBytes::deserialize(deserializer)?.0;
        bytes.try_into().map(Self).map_err(|_| de::Error::custom("expected 32 lower-case hexadecimal digits"))
    }
}

/// Bytes, written as lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HexBytes(pub Vec<u8>);

impl fmt::Display for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes());
        bytes.map(Self).map_err(|_| de::Error::custom("expected lower-case hexadecimal digits"))
    }
}
