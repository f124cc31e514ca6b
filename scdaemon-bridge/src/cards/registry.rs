//! Looking up cards and keys.

use std::{collections::HashMap, rc::Rc};

use super::{CardEntry, Keygrip, Slot, cache::Cache};

/// All cards of one cache. It never changes; a new cache gives a new registry, and sessions go on with the card they
/// have.
#[derive(Debug, Default)]
pub struct Registry {
    version: Option<u64>,
    server: Option<String>,
    /// Listed cards first, in the cache's order, then retired ones.
    cards: Vec<Rc<CardEntry>>,
    by_grip: HashMap<Keygrip, (usize, u8)>,
}

/// A key, found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The card.
    pub card: Rc<CardEntry>,
    /// The slot's number.
    pub number: u8,
}

impl Found {
    /// The slot.
    #[must_use]
    pub fn slot(&self) -> Option<&Slot> {
        self.card.slot(self.number)
    }
}

impl Registry {
    /// The registry of a cache, or an empty one. Of two cards with one serial number, and two keys with one keygrip,
    /// the first counts.
    #[must_use]
    pub fn new(cache: Option<Cache>) -> Self {
        let Some(cache) = cache else { return Self::default() };
        let mut registry =
            Self { version: Some(cache.list.registry_version), server: Some(cache.server), ..Self::default() };
        // A card whose key can't be used is as good as gone for gpg, but its stubs' uses go to the server, which says
        // why.
        let listed = cache.list.cards.into_iter().map(|card| {
            let hidden = !card.state.has_card();
            CardEntry::new(card, hidden)
        });
        let retired = cache.retired.into_iter().map(|card| CardEntry::new(card, true));
        for entry in listed.chain(retired) {
            if registry.cards.iter().any(|other| other.is_named(entry.serial())) {
                continue;
            }
            let index = registry.cards.len();
            for slot in entry.slots() {
                registry.by_grip.entry(slot.grip).or_insert((index, slot.number));
            }
            registry.cards.push(Rc::new(entry));
        }
        registry
    }

    /// The server's registry version; `None` if there is no cache.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The server's address as the cache has it.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The cards that may be shown.
    pub fn listed(&self) -> impl Iterator<Item = &Rc<CardEntry>> {
        self.cards.iter().filter(|card| !card.is_retired())
    }

    /// The card that is current when nobody chose one.
    #[must_use]
    pub fn first(&self) -> Option<&Rc<CardEntry>> {
        self.listed().next()
    }

    /// The card with this serial number, retired ones too.
    #[must_use]
    pub fn by_serial(&self, serial: &str) -> Option<&Rc<CardEntry>> {
        self.cards.iter().find(|card| card.is_named(serial))
    }

    /// The key with this keygrip on any card, retired ones too.
    #[must_use]
    pub fn by_grip(&self, grip: &Keygrip) -> Option<Found> {
        let (index, number) = *self.by_grip.get(grip)?;
        Some(Found { card: Rc::clone(self.cards.get(index)?), number })
    }

    /// Whether both show the same cards.
    #[must_use]
    pub fn lists_the_same(&self, other: &Self) -> bool {
        self.listed().map(|card| card.facts().serial).eq(other.listed().map(|card| card.facts().serial))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use sealcard_api::keys::KeyState;

    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn every_key_is_found_over_all_cards_and_retired_ones_are_not_listed() {
        let list = sample_list();
        let mut fewer = list.clone();
        fewer.cards.remove(1);
        let old = Cache::new("https://localhost:1", list.clone(), None);
        let registry = Registry::new(Some(Cache::new("https://localhost:1", fewer, Some(old))));
        assert_eq!(registry.listed().count(), list.cards.len() - 1);
        for card in &list.cards {
            let entry = registry.by_serial(&card.serial.to_string()).unwrap();
            assert_eq!(entry.is_retired(), card.serial == list.cards[1].serial);
            for slot in entry.slots() {
                let found = registry.by_grip(&slot.grip).unwrap();
                assert_eq!((found.card.serial(), found.number), (entry.serial(), slot.number));
            }
        }
    }

    #[test]
    fn a_card_is_shown_as_long_as_something_can_be_done_with_it() {
        for (state, shown) in [
            (KeyState::Active, true),
            (KeyState::Expired, true),
            (KeyState::Disabled, false),
            (KeyState::Revoked, false),
            (KeyState::Destroyed, false),
        ] {
            let mut list = sample_list();
            list.cards[0].state = state;
            let serial = list.cards[0].serial.to_string();
            let registry = Registry::new(Some(Cache::new("https://localhost:1", list, None)));
            assert_eq!(registry.listed().any(|card| card.is_named(&serial)), shown, "{state:?}");
            assert!(registry.by_serial(&serial).is_some(), "its use goes to the server, which says why: {state:?}");
        }
    }

    #[test]
    fn of_two_cards_with_one_serial_number_the_first_counts() {
        let mut list = sample_list();
        list.cards[1].serial = list.cards[0].serial;
        let first = list.cards[0].name.clone();
        let registry = Registry::new(Some(Cache::new("https://localhost:1", list, None)));
        assert_eq!(registry.first().unwrap().facts().name, first);
        assert_eq!(registry.listed().count(), 2);
    }
}
