//! When a delivery that failed is tried again: over about three days.

use std::time::Duration;

use sealcard_api::Timestamp;
use uuid::Uuid;

/// What passes between the attempts, in seconds, as Standard Webhooks proposes it.
const PAUSES: [i64; 9] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

/// The longest time that a receiver may ask for.
const LONGEST: i64 = 24 * 3600;

/// When the next attempt is due after one more has failed; none after the last one. `attempts` are those that failed
/// before, `asked` is what the receiver asks for.
pub(super) fn next_attempt(now: Timestamp, attempts: u32, asked: Option<Duration>) -> Option<Timestamp> {
    let pause = usize::try_from(attempts).ok().and_then(|attempts| PAUSES.get(attempts))?;
    // Those that failed together are not tried again together.
    let jitter = i64::from(Uuid::new_v4().as_fields().0 % 1000) * pause / 4000;
    let asked = asked.map_or(0, |asked| i64::try_from(asked.as_secs()).unwrap_or(LONGEST).min(LONGEST));
    Some(Timestamp::from_unix(now.unix().saturating_add((pause + jitter).max(asked))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_ten_times_over_days() {
        let mut now = Timestamp::from_unix(0);
        for attempts in 0..9 {
            now = next_attempt(now, attempts, None).unwrap();
        }
        assert_eq!(next_attempt(now, 9, None), None);
        let days = now.unix() / 86_400;
        assert!((3..=4).contains(&days), "{days}");
    }

    #[test]
    fn pause_is_at_least_what_the_receiver_asks_for() {
        let now = Timestamp::from_unix(1000);
        let after = |seconds| next_attempt(now, 0, Some(Duration::from_secs(seconds))).unwrap().unix() - 1000;
        assert!((5..=6).contains(&after(0)));
        assert_eq!(after(90), 90);
        assert_eq!(after(u64::MAX), LONGEST);
    }
}
