//! Whether this machine's clock can be right: compared with the times in the record, with how long the server runs, and
//! with a clock that can't be set.

mod doubt;
mod watch;

use std::{fmt, time::Instant};

use parking_lot::Mutex;
use sealcard_api::Timestamp;

use self::watch::Watch;
pub use doubt::ClockDoubt;

use super::{
    StorageError, Store,
    sql::{Conn, params},
};

/// How far the clock may be behind an earlier time before it is worth a warning, in seconds. Servers that share a
/// database differ a little.
const TOLERANCE: i64 = 60;

/// How far the clock may be behind at the start before a person has to confirm it, in seconds.
const JUMP: i64 = 5 * 60;

/// A step ahead that is worth a warning, in days. A server that is used makes an entry more often.
const STEP_DAYS: i64 = 90;

const DAY: i64 = 86_400;

/// The newest entries whose times are compared at the start.
const ENTRIES: i64 = 1000;

/// What is wrong with the clock, as a sentence without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockFault {
    /// It shows a time before that of an earlier entry of the record.
    Behind {
        /// By how much.
        seconds: i64,
    },
    /// It went ahead at once by more than a server is usually unused.
    Ahead {
        /// By how much.
        days: i64,
    },
}

impl fmt::Display for ClockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { seconds } if *seconds >= 2 * DAY => {
                let days = seconds / DAY;
                write!(f, "the server's clock is {days} days behind the newest entry of the record; set it right")
            }
            Self::Behind { seconds } => {
                write!(f, "the server's clock is {seconds} seconds behind the newest entry of the record; set it right")
            }
            Self::Ahead { days } => {
                write!(f, "the server's clock went {days} days ahead between two entries of the record; check it")
            }
        }
    }
}

/// What is known of this server's clock.
#[derive(Debug)]
pub(super) struct Clock {
    watch: Watch,
    past: Mutex<Past>,
}

/// What was known of the time when the database was opened, or when a person last confirmed the time.
#[derive(Debug)]
struct Past {
    opened: i64,
    running: Instant,
    /// The latest time in the record.
    newest: i64,
    /// The longest step from one entry to the next, or to the opening.
    step: i64,
    /// How often the time was confirmed until then.
    confirmations: i64,
}

impl Clock {
    pub(super) fn read(conn: &mut Conn, now: Timestamp) -> Result<Self, StorageError> {
        const NEWEST: &str = "SELECT time, event FROM record ORDER BY sequence DESC LIMIT $1";
        const CONFIRMATIONS: &str = "SELECT clock_confirmations FROM server";
        let entries: Vec<(i64, String)> = conn.all(NEWEST, params![ENTRIES])?;
        let confirmations: Option<i64> = conn.scalar(CONFIRMATIONS, params![])?;
        let entries = entries.iter().map(|(time, event)| (*time, event == CONFIRMED));
        let past = Past::new(since_confirmation(entries), now, confirmations.unwrap_or_default());
        Ok(Self { watch: Watch::start(), past: Mutex::new(past) })
    }

    /// Whether the clock has jumped and that is not recorded yet.
    pub(super) fn jumped(&self) -> bool {
        self.watch.look()
    }

    #[cfg(test)]
    pub(super) fn pretend_newest(&self, time: Timestamp) {
        self.past.lock().newest = time.unix();
    }

    #[cfg(test)]
    pub(super) fn pretend_step(&self, seconds: i64) {
        self.watch.pretend(seconds);
    }
}

/// The event by which a person says that the time is right, whatever came before.
const CONFIRMED: &str = "clock-confirmed";

/// The times of entries, the newest first, back to the last confirmation.
fn since_confirmation(entries: impl Iterator<Item = (i64, bool)>) -> impl Iterator<Item = i64> {
    let mut confirmed = false;
    // The confirmation itself is the last one.
    entries
        .take_while(move |(_, is_confirmation)| !std::mem::replace(&mut confirmed, *is_confirmation))
        .map(|(time, _)| time)
}

impl Past {
    /// With the times of entries, the newest first.
    fn new(times: impl Iterator<Item = i64>, now: Timestamp, confirmations: i64) -> Self {
        let (mut newest, mut step, mut after) = (i64::MIN, 0, now.unix());
        for time in times {
            newest = newest.max(time);
            // A step to a time that has not come yet was set back again.
            if after <= now.unix() {
                step = step.max(after.saturating_sub(time));
            }
            after = time;
        }
        Self { opened: now.unix(), running: Instant::now(), newest, step, confirmations }
    }

    /// What is wrong with `now`, so many seconds after the opening.
    fn fault(&self, now: i64, running: i64) -> Option<ClockFault> {
        let expected = self.opened.saturating_add(running);
        let seconds = self.newest.max(expected).saturating_sub(now);
        if seconds > TOLERANCE {
            return Some(ClockFault::Behind { seconds });
        }
        let days = self.step.max(now.saturating_sub(expected)) / DAY;
        (days >= STEP_DAYS).then_some(ClockFault::Ahead { days })
    }
}

impl ClockFault {
    /// By how many seconds the clock went ahead, or back if negative. None if that is too little to be a jump.
    #[must_use]
    pub fn jump(&self) -> Option<i64> {
        match *self {
            Self::Behind { seconds } => (seconds > JUMP).then_some(-seconds),
            Self::Ahead { days } => Some(days.saturating_mul(DAY)),
        }
    }
}

impl Store {
    /// What is wrong with this machine's clock, which shows `now`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clock_fault(&self, now: Timestamp) -> Result<Option<ClockFault>, StorageError> {
        const NEWEST: &str = "SELECT (SELECT time FROM record ORDER BY sequence DESC LIMIT 1), clock_confirmations
             FROM server";
        // Another server may have written since.
        let newest: Option<(Option<i64>, i64)> = self.reader().optional(NEWEST, params![]).await?;
        let (newest, confirmations) = newest.unwrap_or_default();
        let mut past = self.clock.past.lock();
        if past.confirmations != confirmations {
            *past = Past::new(newest.into_iter(), now, confirmations);
        }
        let running = i64::try_from(past.running.elapsed().as_secs()).unwrap_or(i64::MAX);
        if let Some(fault) = past.fault(now.unix(), running) {
            return Ok(Some(fault));
        }
        let seconds = newest.map_or(0, |time| time.saturating_sub(now.unix()));
        Ok((seconds > TOLERANCE).then_some(ClockFault::Behind { seconds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// The fault at `now`, an hour after a start at `opened` with entries of these times, the newest first.
    fn fault(entries: &[i64], opened: i64, now: i64) -> Option<ClockFault> {
        Past::new(entries.iter().copied(), Timestamp::from_unix(opened), 0).fault(now, 3600)
    }

    #[test]
    fn clock_that_goes_on_from_the_newest_entry_is_right() {
        assert_eq!(fault(&[], NOW, NOW + 3600), None);
        assert_eq!(fault(&[NOW - 10, NOW - 80 * DAY], NOW, NOW + 3600), None);
        // Another server's clock is a little ahead.
        assert_eq!(fault(&[NOW + 30], NOW, NOW + 3600), None);
        // A machine that slept.
        assert_eq!(fault(&[NOW - 10], NOW, NOW + 2 * DAY), None);
    }

    #[test]
    fn clock_that_is_behind_an_entry_stays_behind_after_more_entries() {
        let back = NOW - 400 * DAY;
        let behind = Some(ClockFault::Behind { seconds: 400 * DAY - 3600 });
        assert_eq!(fault(&[NOW], back, back + 3600), behind);
        assert_eq!(fault(&[back - 1, back - 2, NOW], back, back + 3600), behind);
        assert_eq!(fault(&[NOW - 5], NOW, NOW), Some(ClockFault::Behind { seconds: 3600 }), "set back while it runs");
    }

    #[test]
    fn clock_that_jumps_ahead_is_reported_also_after_more_entries() {
        let ahead = NOW + 800 * DAY;
        assert_eq!(fault(&[NOW], ahead, ahead + 3600), Some(ClockFault::Ahead { days: 800 }));
        assert_eq!(fault(&[ahead - 1, ahead - 2, NOW], ahead, ahead + 3600), Some(ClockFault::Ahead { days: 799 }));
        assert_eq!(fault(&[NOW - 5], NOW, ahead), Some(ClockFault::Ahead { days: 799 }), "while it runs");
        // Set right again: the entries are in the future.
        assert!(matches!(fault(&[ahead, NOW - 9], NOW, NOW + 3600), Some(ClockFault::Behind { .. })));
    }

    #[test]
    fn what_a_person_has_confirmed_is_not_compared_again() {
        let entries = [(NOW - 10, false), (NOW - 20, true), (NOW + 900 * DAY, false), (NOW - 900 * DAY, true)];
        let times: Vec<i64> = since_confirmation(entries.into_iter()).collect();
        assert_eq!(times, [NOW - 10, NOW - 20]);
        assert_eq!(since_confirmation([(NOW, false), (1, false)].into_iter()).count(), 2);
    }

    #[test]
    fn small_faults_are_no_jumps() {
        assert_eq!(ClockFault::Behind { seconds: 200 }.jump(), None);
        assert_eq!(ClockFault::Behind { seconds: 301 }.jump(), Some(-301));
        assert_eq!(ClockFault::Ahead { days: 90 }.jump(), Some(90 * DAY));
    }
}
