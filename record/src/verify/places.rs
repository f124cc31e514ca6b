//! How long the journals are, and how long the record says that they must be.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Finding;

/// What is kept of the journals as a whole: a number for each journal, and its number for each component key.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The last entry of each journal.
    ends: BTreeMap<u16, u64>,
    /// In which journals there is something of a component. As a rule it is in the one of its environment; with several
    /// servers, in one of each.
    of_component: BTreeSet<(Uuid, u16)>,
    /// The highest entry that the record names of each journal, among those that it lacks.
    missing: BTreeMap<u16, u64>,
}

impl Places {
    /// A journal has this entry.
    pub(super) fn note(&mut self, journal: u16, sequence: u64, component: Uuid) {
        let end = self.ends.entry(journal).or_default();
        *end = sequence.max(*end);
        self.of_component.insert((component, journal));
    }

    /// The record says that a component was used in entry `named`, and no journal has that use.
    pub(super) fn miss(&mut self, component: Uuid, named: u64) {
        let journals = self.of_component.range((component, 0)..=(component, u16::MAX)).map(|(_, journal)| *journal);
        let short: Vec<u16> =
            journals.filter(|journal| self.ends.get(journal).is_some_and(|end| *end < named)).collect();
        // Of several that are too short nobody knows which one had it.
        if let [journal] = short.as_slice() {
            let highest = self.missing.entry(*journal).or_default();
            *highest = named.max(*highest);
        }
    }

    /// Journals that end before an entry that the record names.
    pub(super) fn cut_journals(&self, names: &[String]) -> impl Iterator<Item = Finding> {
        self.missing.iter().map(|(journal, named)| Finding::JournalCut {
            journal: usize::from(*journal).checked_sub(1).and_then(|at| names.get(at)).cloned().unwrap_or_default(),
            has: self.ends.get(journal).copied().unwrap_or_default(),
            named: *named,
        })
    }
}
