//! Open keys, parsed, so that an RSA key is not parsed and checked for each use.

use std::{collections::HashMap, sync::Arc};

use sealcard_signer_protocol::StoredKey;
use uuid::Uuid;

use crate::operations::PrivateKey;

/// A bounded cache that forgets the key that was not used for the longest time.
pub(super) struct Cache {
    limit: usize,
    clock: u64,
    entries: HashMap<Uuid, Entry>,
}

struct Entry {
    // The whole row: a row that differs in one bit must go through decryption, and fail there.
    row: StoredKey,
    key: Arc<PrivateKey>,
    used: u64,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, clock: 0, entries: HashMap::new() }
    }

    pub(super) fn get(&mut self, row: &StoredKey) -> Option<Arc<PrivateKey>> {
        self.clock += 1;
        let entry = self.entries.get_mut(&row.component).filter(|entry| entry.row == *row)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.key))
    }

    pub(super) fn put(&mut self, row: StoredKey, key: Arc<PrivateKey>) {
        if self.entries.len() >= self.limit && !self.entries.contains_key(&row.component) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.entries.remove(&id);
            }
        }
        self.clock += 1;
        self.entries.insert(row.component, Entry { row, key, used: self.clock });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_api::algorithm::{ComponentAlgorithm::EddsaEd25519, ComponentRole::Sign};

    use super::*;
    use crate::operations::generate;

    #[test]
    fn the_key_that_was_not_used_for_the_longest_time_goes_first() {
        let made = generate(EddsaEd25519, Sign).unwrap();
        let key = Arc::new(PrivateKey::parse(EddsaEd25519, Sign, &made.private, &made.public_key).unwrap());
        let row = |n| StoredKey {
            component: Uuid::from_u128(n),
            algorithm: EddsaEd25519,
            role: Sign,
            public_key: made.public_key.clone(),
            handle: vec![],
        };
        let mut cache = Cache::new(3);
        for n in 0..3 {
            cache.put(row(n), Arc::clone(&key));
        }
        assert!(cache.get(&row(0)).is_some());
        cache.put(row(3), Arc::clone(&key));
        let kept: Vec<u128> = (0..4).filter(|n| cache.get(&row(*n)).is_some()).collect();
        assert_eq!(kept, [0, 2, 3]);
        assert!(cache.get(&StoredKey { handle: vec![1], ..row(0) }).is_none(), "the whole row is compared");
    }
}
