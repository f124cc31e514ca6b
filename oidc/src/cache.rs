//! When to fetch an issuer's keys.

use sealcard_api::Timestamp;

use crate::{Algorithm, KeySet};

/// For how many seconds keys are used without asking again.
const FRESH: i64 = 3600;

/// For how many seconds keys are used while the issuer can't be asked.
const USABLE: i64 = 86_400;

/// How many seconds lie between two attempts to fetch, whatever tokens come. It bounds the issuer's load and ours.
const COOLDOWN: i64 = 60;

/// The keys of one issuer as they were fetched. The caller fetches, one at a time for each issuer.
#[derive(Debug, Clone, Default)]
pub struct KeyCache {
    keys: Option<(KeySet, Timestamp)>,
    attempted: Option<Timestamp>,
}

/// What to do about a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// Verify it with these keys.
    Use(&'a KeySet),
    /// Fetch the keys, say what came of it ([`KeyCache::fetched`], [`KeyCache::failed`]), and ask again.
    Fetch,
    /// Refuse it: the issuer's keys don't have its key.
    UnknownKey,
    /// Refuse it for now: the issuer could not be asked.
    Unavailable,
}

impl KeyCache {
    /// What to do about a token with this key id and algorithm.
    #[must_use]
    pub fn next(&self, (id, algorithm): (Option<&str>, Algorithm), now: Timestamp) -> Next<'_> {
        let within = |since: Timestamp, seconds: i64| (0..seconds).contains(&(now.unix() - since.unix()));
        let known = self.keys.as_ref().filter(|(_, fetched)| within(*fetched, USABLE));
        let found = known.filter(|(keys, _)| keys.find(id, algorithm).is_some());
        match (found, known) {
            (Some((keys, fetched)), _) if within(*fetched, FRESH) => Next::Use(keys),
            _ if !self.attempted.is_some_and(|attempted| within(attempted, COOLDOWN)) => Next::Fetch,
            (Some((keys, _)), _) => Next::Use(keys),
            (None, Some(_)) => Next::UnknownKey,
            (None, None) => Next::Unavailable,
        }
    }

    /// The issuer has these keys.
    pub fn fetched(&mut self, keys: KeySet, now: Timestamp) {
        (self.keys, self.attempted) = (Some((keys, now)), Some(now));
    }

    /// The issuer could not be asked, or its answer was wrong.
    pub const fn failed(&mut self, now: Timestamp) {
        self.attempted = Some(now);
    }
}
