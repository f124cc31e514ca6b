//! Every card ever seen here. A serial number is a card's name in gpg's stubs, so it must never stand for two keys.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use sealcard_api::{
    CardSerial, Fingerprint,
    cards::{Card, CardList},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    cards::keygrip,
    config::{Paths, files},
    gpg::CardKey,
};

/// What is remembered of each serial number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct KnownCards {
    cards: BTreeMap<String, KnownCard>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KnownCard {
    server_id: Uuid,
    /// The server's address, for messages.
    server: String,
    fingerprint: Fingerprint,
    /// The key's name, for messages.
    name: String,
    /// Whether the last sync with that server found it.
    listed: bool,
    /// Whether a sync brought the certificate into gpg's keyring, where it was not before.
    #[serde(default)]
    imported: bool,
    /// The keygrips of all keys that it ever had: gpg may hold a stub of each.
    #[serde(default)]
    grips: BTreeSet<String>,
}

/// A card that the last sync found and this one did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Vanished {
    pub(super) name: String,
    pub(super) fingerprint: Fingerprint,
    pub(super) serial: String,
}

impl KnownCards {
    pub(super) fn load(paths: &Paths) -> anyhow::Result<Self> {
        let path = paths.known_cards_file();
        let Some(content) = files::read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&content)
            .with_context(|| format!("{} can't be understood; remove it if it is damaged", path.display()))
    }

    pub(super) fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        Ok(files::write_private(&paths.known_cards_file(), &serde_json::to_vec(self)?)?)
    }

    /// Adds the cards of a list, or refuses the whole list if a serial number stands for another key already. Gives
    /// those of the same server that are not listed any more.
    ///
    /// The cache can't tell those: the daemon replaces it too, and tells nobody.
    pub(super) fn add(&mut self, server: &str, list: &CardList) -> anyhow::Result<Vec<Vanished>> {
        let mut added = self.cards.clone();
        for card in added.values_mut().filter(|card| card.server_id == list.server_id) {
            card.listed = false;
        }
        for card in &list.cards {
            let new = KnownCard {
                server_id: list.server_id,
                server: server.to_owned(),
                fingerprint: card.fingerprint,
                name: card.name.clone(),
                listed: true,
                imported: false,
                grips: card_keys(card).iter().map(|key| key.grip.to_string()).collect(),
            };
            match added.get_mut(&card.serial.to_string()) {
                Some(old) if old.server_id != new.server_id || old.fingerprint != new.fingerprint => {
                    bail!(collision(card.serial, old, &new));
                }
                Some(old) => {
                    let grips = old.grips.union(&new.grips).cloned().collect();
                    *old = KnownCard { imported: old.imported, grips, ..new };
                }
                None => {
                    added.insert(card.serial.to_string(), new);
                }
            }
        }
        let before = std::mem::replace(&mut self.cards, added);
        let gone = before
            .into_iter()
            .filter(|(serial, card)| card.listed && self.cards.get(serial).is_some_and(|card| !card.listed));
        Ok(gone.map(|(serial, card)| Vanished { name: card.name, fingerprint: card.fingerprint, serial }).collect())
    }
}

impl KnownCards {
    /// Remembers what a sync did to gpg's keyring, so that it can be taken back.
    pub(super) fn note(&mut self, imported: &[Fingerprint]) {
        for card in self.cards.values_mut() {
            card.imported |= imported.contains(&card.fingerprint);
        }
    }

    /// All keys ever fetched, with their names.
    pub(super) fn keys(&self) -> impl Iterator<Item = FetchedKey<'_>> {
        self.cards.iter().map(|(serial, card)| FetchedKey {
            name: &card.name,
            fingerprint: card.fingerprint,
            imported: card.imported,
            listed: card.listed,
            stubs: stubs(serial, card),
        })
    }

    /// Forgets the cards that the last sync with their server did not find.
    pub(super) fn forget_unlisted(&mut self) {
        self.cards.retain(|_, card| card.listed);
    }
}

fn stubs(serial: &str, card: &KnownCard) -> Vec<CardKey> {
    let Ok(serial) = serial.parse::<CardSerial>() else { return Vec::new() };
    card.grips.iter().filter_map(|grip| Some(CardKey { grip: grip.parse().ok()?, serial })).collect()
}

/// The keys of a card for which gpg can hold a stub.
pub(in crate::cli) fn card_keys(card: &Card) -> Vec<CardKey> {
    let grips = card.components.iter().filter_map(|component| keygrip(&component.public_key).ok());
    grips.map(|grip| CardKey { grip, serial: card.serial }).collect()
}

/// A key that was fetched at some time.
#[derive(Debug, Clone)]
pub(super) struct FetchedKey<'a> {
    pub(super) name: &'a str,
    pub(super) fingerprint: Fingerprint,
    /// Whether a sync brought it into gpg's keyring.
    pub(super) imported: bool,
    /// Whether the last sync with its server found it.
    pub(super) listed: bool,
    /// The stubs that gpg may hold of it.
    pub(super) stubs: Vec<CardKey>,
}

fn collision(serial: CardSerial, old: &KnownCard, new: &KnownCard) -> String {
    format!(
        "the card number {serial} stands for two keys: {} of {} and {} of {}. gpg would take one for the other, so \
         nothing was fetched. Use another GnuPG home and configuration folder (GNUPGHOME, SEALCARD_CONFIG_FOLDER, \
         SEALCARD_STATE_FOLDER) for one of the servers, or have a new key made there",
        old.fingerprint, old.server, new.fingerprint, new.server
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::scd::testing::sample_list;

    #[test]
    fn the_same_cards_again_are_no_collision() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("c"), folder.path().join("s")).unwrap();
        let mut known = KnownCards::load(&paths).unwrap();
        known.add("https://a", &sample_list()).unwrap();
        known.save(&paths).unwrap();
        let mut again = KnownCards::load(&paths).unwrap();
        assert_eq!(again, known);
        assert_eq!(again.add("https://renamed", &sample_list()).unwrap(), []);
    }

    #[test]
    fn a_card_that_vanishes_is_told_once_and_may_come_back() {
        let mut known = KnownCards::default();
        let all = sample_list();
        known.add("https://a", &all).unwrap();
        let mut fewer = all.clone();
        let gone = fewer.cards.remove(0);
        let told = known.add("https://a", &fewer).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!((&told[0].name, told[0].fingerprint), (&gone.name, gone.fingerprint));
        assert_eq!(known.add("https://a", &fewer).unwrap(), []);
        assert_eq!(known.add("https://a", &all).unwrap(), []);
        assert_eq!(known.add("https://a", &fewer).unwrap(), told);
    }

    #[test]
    fn a_serial_number_of_two_servers_is_refused_and_nothing_is_remembered_of_it() {
        let mut known = KnownCards::default();
        known.add("https://a", &sample_list()).unwrap();
        let before = known.clone();
        let mut other = sample_list();
        other.server_id = Uuid::from_u128(7);
        let error = known.add("https://b", &other).unwrap_err().to_string();
        assert!(error.contains("https://a") && error.contains("https://b"), "{error}");
        assert_eq!(known, before);
    }

    #[test]
    fn a_serial_number_of_two_keys_is_refused() {
        let mut known = KnownCards::default();
        known.add("https://a", &sample_list()).unwrap();
        let mut changed = sample_list();
        changed.cards[0].fingerprint = Fingerprint([7; 20]);
        assert!(known.add("https://a", &changed).is_err());
    }
}
