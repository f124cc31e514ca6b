//! What is in progress, and since when: cheap enough for every operation, for the keeper to see what hangs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::control::Ages;
use parking_lot::Mutex;

/// How long operations of a kind may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Milliseconds.
    Operation,
    /// Seconds: the making of an RSA key.
    Generation,
}

/// A place for each thread that works.
#[derive(Debug)]
pub(crate) struct Busy {
    start: Instant,
    slots: Mutex<Vec<(Kind, Arc<AtomicU64>)>>,
}

/// A thread's place: 0, or when it began, in milliseconds after [`Busy::start`] and 1 more.
#[derive(Debug)]
pub(crate) struct Slot {
    start: Instant,
    since: Arc<AtomicU64>,
}

/// An operation in progress; dropping it says that it has ended.
pub(crate) struct Working<'a>(&'a AtomicU64);

impl Busy {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), slots: Mutex::default() }
    }

    /// A place for one more thread.
    pub(crate) fn slot(&self, kind: Kind) -> Slot {
        let since = Arc::new(AtomicU64::new(0));
        self.slots.lock().push((kind, Arc::clone(&since)));
        Slot { start: self.start, since }
    }

    /// How long the oldest operations have taken.
    pub(crate) fn ages(&self) -> Ages {
        let now = millis(self.start);
        let slots = self.slots.lock();
        let oldest = |wanted: Kind| {
            let since =
                slots.iter().filter(|(kind, _)| *kind == wanted).map(|(_, since)| since.load(Ordering::Relaxed));
            since.filter(|since| *since > 0).map(|since| now.saturating_sub(since)).max().unwrap_or(0)
        };
        Ages { operation_ms: oldest(Kind::Operation), generation_ms: oldest(Kind::Generation) }
    }
}

impl Slot {
    /// An operation begins.
    pub(crate) fn begin(&self) -> Working<'_> {
        self.since.store(millis(self.start), Ordering::Relaxed);
        Working(&self.since)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_what_is_in_progress_has_an_age_and_each_kind_its_own() {
        let mut busy = Busy::new();
        let (one, two, slow) = (busy.slot(Kind::Operation), busy.slot(Kind::Operation), busy.slot(Kind::Generation));
        let working = one.begin();
        drop(two.begin());
        let _making = slow.begin();
        // A minute later.
        busy.start = busy.start.checked_sub(Duration::from_secs(60)).unwrap_or(busy.start);
        let ages = busy.ages();
        assert!((60_000..65_000).contains(&ages.operation_ms) && ages.generation_ms >= 60_000, "{ages:?}");
        drop(working);
        assert_eq!(busy.ages().operation_ms, 0);
    }
}
