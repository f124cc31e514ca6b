//! Facts that were read, kept until something that they tell may have changed.
//!
//! The database counts the transactions that change anything else than uses of keys: `record_head.changes`. Facts carry
//! the count of their moment. This process writes an SQLite file alone, so there the newest count is known and cached
//! facts are true. PostgreSQL is shared, so there cached facts may be out of date: they are good enough to begin a use,
//! because the transaction in which it begins compares the counts again.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::facts::{Facts, FactsQuery, Version};

/// Facts that are kept at most; then all are read again.
const ENTRIES: usize = 2048;

/// The newest version that this process knows of, and what was read at it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Cache(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    version: Version,
    /// All of that version.
    facts: HashMap<FactsQuery, Facts>,
}

impl Cache {
    /// What was read at the newest known version.
    pub(super) fn get(&self, query: &FactsQuery) -> Option<Facts> {
        self.0.lock().facts.get(query).cloned()
    }

    /// Keeps facts, unless a newer version than theirs is known.
    pub(super) fn insert(&self, query: FactsQuery, facts: &Facts) {
        let mut state = self.0.lock();
        state.observe(facts.version);
        if facts.version == state.version {
            if state.facts.len() >= ENTRIES {
                state.facts.clear();
            }
            state.facts.insert(query, facts.clone());
        }
    }

    /// Takes note of a version. Where this process writes alone, call it after the commit and before anybody is told of
    /// it.
    pub(super) fn observe(&self, version: Version) {
        self.0.lock().observe(version);
    }

    /// Forgets everything: the writer has a new connection. Returns its number.
    pub(super) fn new_connection(&self) -> u32 {
        let mut state = self.0.lock();
        let connection = state.version.connection.saturating_add(1);
        state.observe(Version { connection, changes: 0 });
        connection
    }

    /// The writer's connection at this moment.
    pub(super) fn connection(&self) -> u32 {
        self.0.lock().version.connection
    }
}

impl State {
    fn observe(&mut self, version: Version) {
        if version > self.version {
            self.version = version;
            self.facts.clear();
        }
    }
}
