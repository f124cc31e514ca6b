//! Open keys, parsed, so that an RSA key is not parsed and checked for each use.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use crate::{operations::PrivateKey, protocol::SealedKey};

/// A bounded cache that forgets the key that was not used for the longest time.
pub(super) struct Cache {
    limit: usize,
    clock: u64,
    entries: HashMap<Uuid, Entry>,
}

struct Entry {
    // The whole row: a row that differs in one bit must go through decryption, and fail there.
    row: SealedKey,
    key: Arc<PrivateKey>,
    used: u64,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, clock: 0, entries: HashMap::new() }
    }

    pub(super) fn get(&mut self, row: &SealedKey) -> Option<Arc<PrivateKey>> {
        self.clock += 1;
        let entry = self.entries.get_mut(&row.component).filter(|entry| entry.row == *row)?;
        entry.used = self.clock;
        Some(Arc::clone(&entry.key))
    }

    pub(super) fn put(&mut self, row: SealedKey, key: Arc<PrivateKey>) {
        if self.entries.len() >= self.limit && !self.entries.contains_key(&row.component) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.entries.remove(&id);
            }
        }
        self.clock += 1;
        self.entries.insert(row.component, Entry { row, key, used: self.clock });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
