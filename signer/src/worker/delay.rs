//! Slowing down whoever makes decryptions fail.
//!
//! Attacks on PKCS#1 v1.5 padding (Bleichenbacher, Marvin) need many thousands of failing decryptions. Each failure of
//! a key is answered later than the one before. The signer only counts and says how long: the server waits, so that
//! nothing here is kept meanwhile.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use uuid::Uuid;

/// The first failure's delay.
const FIRST: Duration = Duration::from_millis(20);
/// No delay is longer.
const LONGEST: Duration = Duration::from_secs(5);
/// A quiet time of this length takes back one doubling.
const FORGET: Duration = Duration::from_secs(10);
/// Keys whose failures are remembered at most.
const KEYS: usize = 1024;

/// Counts failures.
#[derive(Default)]
pub(super) struct Delays {
    failures: Mutex<HashMap<Uuid, Failures>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Delays {
    /// Counts a failure of a key at `now`. How long its caller has to wait for the answer.
    pub(super) fn after_failure(&self, key: Uuid, now: Instant) -> Duration {
        let mut failures = self.failures.lock();
        if failures.len() >= KEYS {
            failures.retain(|_, f| f.now(now) > 0);
        }
        let before = failures.get(&key).map_or(0, |f| f.now(now));
        failures.insert(key, Failures { count: before.saturating_add(1), last: now });
        FIRST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(LONGEST)
    }
}

impl Failures {
    /// The count that is left at `now`.
    fn now(self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs() / FORGET.as_secs();
        // Beyond 16 doublings nothing grows, so nothing more needs forgetting.
        self.count.min(16).saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_are_forgotten_in_quiet_times() {
        let delays = Delays::default();
        let (key, other, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        assert_eq!(delays.after_failure(key, now), FIRST);
        assert_eq!(delays.after_failure(key, now), FIRST * 2);
        assert_eq!(delays.after_failure(key, now), FIRST * 4);
        assert_eq!(delays.after_failure(other, now), FIRST, "each key has its own count");
        for _ in 0..100 {
            delays.after_failure(key, now);
        }
        assert_eq!(delays.after_failure(key, now), LONGEST);
        assert_eq!(delays.after_failure(key, now + FORGET * 20), FIRST);
    }
}
