//! How long a batch waits for more jobs: nothing on a quiet server, and a small part of what a use takes anyway on a busy
//! one, where a commit that is shared by many costs each of them little.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// With fewer uses in work nobody waits for anybody.
const COMPANY: usize = 4;

/// The part of a use's time that a batch waits.
const PART: u32 = 16;

/// The longest wait.
const LONGEST: Duration = Duration::from_millis(5);

/// How many of the latest uses count in the average, about.
const MEMORY: u64 = 16;

/// The uses of keys in work, and how long they take.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    in_work: AtomicUsize,
    average_micros: AtomicU64,
}

/// One use in work.
#[derive(Debug)]
pub(crate) struct Paced<'a> {
    pace: &'a Pace,
    began: Instant,
}

impl Pace {
    /// A use begins; it ends with the guard.
    pub(crate) fn begin(&self) -> Paced<'_> {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        Paced { pace: self, began: Instant::now() }
    }

    /// How long a batch that has a job waits for more of them, if at all.
    pub(super) fn patience(&self) -> Option<Duration> {
        if self.in_work.load(Ordering::Relaxed) < COMPANY {
            return None;
        }
        let average = Duration::from_micros(self.average_micros.load(Ordering::Relaxed));
        Some((average / PART).min(LONGEST))
    }

    fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let before = self.average_micros.load(Ordering::Relaxed);
        // A use that ends at the same moment may be lost in the average, which harms nobody.
        self.average_micros.store(before - before / MEMORY + micros / MEMORY, Ordering::Relaxed);
    }
}

impl Drop for Paced<'_> {
    fn drop(&mut self) {
        self.pace.in_work.fetch_sub(1, Ordering::Relaxed);
        self.pace.took(self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_alone_and_no_batch_waits_long() {
        let pace = Pace::default();
        pace.took(Duration::from_secs(3600));
        let some: Vec<_> = (1..COMPANY).map(|_| pace.begin()).collect();
        assert_eq!(pace.patience(), None);
        let last = pace.begin();
        assert_eq!(pace.patience(), Some(LONGEST));
        drop(last);
        assert_eq!(pace.patience(), None);
        drop(some);
        for _ in 0..1000 {
            pace.took(Duration::from_millis(8));
        }
        let company: Vec<_> = (0..COMPANY).map(|_| pace.begin()).collect();
        let patience = pace.patience().unwrap_or_default();
        assert!(patience.abs_diff(Duration::from_micros(500)) < Duration::from_micros(10), "{patience:?}");
        drop(company);
    }
}
