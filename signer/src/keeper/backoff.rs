//! How long to wait before a worker is started again.

use std::time::{Duration, Instant};

/// The second pause; the first is none.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause while it fails for the first time.
const LONGEST: Duration = Duration::from_secs(1);
/// After so long without a worker that lasts, pauses grow further.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest pause of all.
const LONGEST_PAUSE_LATER: Duration = Duration::from_secs(30);
/// A worker that ran so long did not fail at its start.
const STEADY: Duration = Duration::from_secs(10);

/// None, 50 ms, 100 ms, … 1 s; after a minute of failures on to 30 s.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failing_since: Option<Instant>,
    last: Duration,
}

impl Backoff {
    /// The pause after a worker that ran from `started` to `now`.
    pub(super) fn next(&mut self, started: Instant, now: Instant) -> Duration {
        let since = match self.failing_since {
            Some(since) if now.saturating_duration_since(started) < STEADY => since,
            _ => {
                *self = Self { failing_since: Some(now), last: Duration::ZERO };
                return Duration::ZERO;
            }
        };
        let limit = if now.saturating_duration_since(since) < PATIENCE { LONGEST } else { LONGEST_PAUSE_LATER };
        self.last = if self.last.is_zero() { FIRST } else { (self.last * 2).min(limit) };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_workers_fail_and_begin_anew_after_one_that_lasted() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..100 {
            let pause = backoff.next(now, now);
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses.get(..8), Some([0, 50, 100, 200, 400, 800, 1000, 1000].as_slice()));
        let minute: u128 = pauses.iter().take_while(|pause| **pause <= 1000).sum();
        assert!((60_000..62_000).contains(&minute), "{minute}");
        assert_eq!(pauses.last(), Some(&30_000));
        assert_eq!(backoff.next(now, now + STEADY), Duration::ZERO);
        assert_eq!(backoff.next(now, now), FIRST);
    }
}
