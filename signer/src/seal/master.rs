//! Master keys in the clear.

use sealcard_signer_protocol::{MASTER_KEY_ID_LEN, MasterKeyId, envelope::PrivateKey};

use super::SealError;
use crate::{
    crypto::{self, CryptoError},
    os::LockedKey,
};

/// A store has so many master keys at most: the one in use, and while it is replaced its successor. Two more, in case
/// two servers have each been given a successor.
const MAX_KEYS: usize = 4;

/// The key over all keys, in the clear. Lives in memory only, wiped when dropped.
pub struct MasterKey {
    key: LockedKey,
    id: MasterKeyId,
}

impl MasterKey {
    /// The key of these bytes.
    pub(crate) fn new(bytes: crypto::Key) -> Result<Self, CryptoError> {
        let digest = crypto::hkdf(bytes.as_ref(), &[], b"sealcard master key id 1")?;
        let mut id = [0; MASTER_KEY_ID_LEN];
        id.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Ok(Self { key: LockedKey::new(bytes), id: MasterKeyId(id) })
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// How others name it.
    #[must_use]
    pub const fn id(&self) -> MasterKeyId {
        self.id
    }

    /// The key that opens envelopes for this store. Derived, so that every node that has the master key has this one
    /// too, and nothing more needs to be kept.
    pub(crate) fn envelope_key(&self) -> Result<PrivateKey, CryptoError> {
        crypto::hkdf(self.bytes(), &[], b"sealcard envelope key 1").map(PrivateKey::new)
    }
}

/// The master keys of a store, the oldest first: at least one.
pub struct MasterKeys {
    oldest: MasterKey,
    newer: Vec<MasterKey>,
}

impl MasterKeys {
    /// A new key alone.
    pub(crate) fn generate() -> Result<Self, CryptoError> {
        Ok(Self { oldest: MasterKey::new(crypto::random()?)?, newer: Vec::new() })
    }

    /// The keys of these bytes. None if there is none, or too many.
    pub(crate) fn from_keys(keys: impl IntoIterator<Item = crypto::Key>) -> Result<Option<Self>, CryptoError> {
        let mut keys = keys.into_iter().map(MasterKey::new);
        let Some(oldest) = keys.next().transpose()? else { return Ok(None) };
        let newer: Vec<MasterKey> = keys.collect::<Result<_, _>>()?;
        Ok((newer.len() < MAX_KEYS).then_some(Self { oldest, newer }))
    }

    /// Reads what [`MasterKeys::joined`] made.
    pub(crate) fn split(bytes: &[u8]) -> Result<Option<Self>, CryptoError> {
        let (keys, []) = bytes.as_chunks::<32>() else { return Ok(None) };
        Self::from_keys(keys.iter().map(|key| crypto::Key::new(*key)))
    }

    /// All keys, one after the other.
    pub(crate) fn joined(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(MAX_KEYS * 32));
        self.iter().for_each(|key| bytes.extend_from_slice(key.bytes()));
        bytes
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.oldest).chain(&self.newer)
    }

    /// The ids of all, the oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<MasterKeyId> {
        self.iter().map(MasterKey::id).collect()
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: MasterKeyId) -> Option<&MasterKey> {
        self.iter().find(|key| key.id == id)
    }

    /// The one that has been there for the longest time. Every server that shares the store has it.
    #[must_use]
    pub const fn oldest(&self) -> &MasterKey {
        &self.oldest
    }

    /// Whether the system keeps all of them out of swap. It refuses when `ulimit -l` is used up.
    #[must_use]
    pub fn are_locked_in_memory(&self) -> bool {
        self.iter().all(|key| key.key.is_locked())
    }

    /// Adds a new key, which becomes the newest.
    pub(crate) fn add(&mut self) -> Result<MasterKeyId, SealError> {
        if self.newer.len() + 1 >= MAX_KEYS {
            return Err(SealError::TooManyMasterKeys);
        }
        let key = MasterKey::new(crypto::random()?)?;
        let id = key.id;
        self.newer.push(key);
        Ok(id)
    }

    /// The same without these. None if nothing is left.
    pub(crate) fn without(self, ids: &[MasterKeyId]) -> Option<Self> {
        let all = std::iter::once(self.oldest).chain(self.newer);
        let mut left = all.filter(|key| !ids.contains(&key.id));
        let oldest = left.next()?;
        Some(Self { oldest, newer: left.collect() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_a_store_has_at_least_one() {
        let mut keys = MasterKeys::generate().unwrap();
        let (first, second) = (keys.ids(), keys.add().unwrap());
        assert_eq!(keys.ids(), [first[0], second]);
        assert_eq!(keys.oldest().id(), first[0]);
        let again = MasterKeys::split(&keys.joined()).unwrap().unwrap();
        assert_eq!(again.ids(), keys.ids());
        assert!(again.get(second).unwrap().bytes() == keys.get(second).unwrap().bytes());
        let left = again.without(&first).unwrap();
        assert_eq!(left.ids(), [second]);
        assert!(left.without(&[second]).is_none());
        for bad in [0, 31, 33, 32 * 5] {
            assert!(MasterKeys::split(&vec![1; bad]).unwrap().is_none(), "{bad}");
        }
        keys.add().unwrap();
        keys.add().unwrap();
        assert!(matches!(keys.add(), Err(SealError::TooManyMasterKeys)));
    }
}
