//! Whether this machine's clock can be right: compared with the times in the record, and with how long the server runs.

use std::{fmt, time::Instant};

use sealcard_api::Timestamp;

use super::{
    StorageError, Store,
    sql::{Conn, params},
};

/// How far the clock may be behind an earlier time before it is worth a warning, in seconds. Servers that share a
/// database differ a little.
const TOLERANCE: i64 = 60;

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

/// What was known of the time when the database was opened.
#[derive(Debug)]
pub(super) struct Clock {
    opened: i64,
    running: Instant,
    /// The latest time in the record.
    newest: i64,
    /// The longest step from one entry to the next, or to the opening.
    step: i64,
}

impl Clock {
    pub(super) fn read(conn: &mut Conn, now: Timestamp) -> Result<Self, StorageError> {
        const NEWEST: &str = "SELECT time FROM record ORDER BY sequence DESC LIMIT $1";
        let times: Vec<(i64,)> = conn.all(NEWEST, params![ENTRIES])?;
        Ok(Self::new(times.into_iter().map(|(time,)| time), now))
    }

    /// With the times of entries, the newest first.
    fn new(times: impl Iterator<Item = i64>, now: Timestamp) -> Self {
        let (mut newest, mut step, mut after) = (i64::MIN, 0, now.unix());
        for time in times {
            newest = newest.max(time);
            // A step to a time that has not come yet was set back again.
            if after <= now.unix() {
                step = step.max(after.saturating_sub(time));
            }
            after = time;
        }
        Self { opened: now.unix(), running: Instant::now(), newest, step }
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

impl Store {
    /// What is wrong with this machine's clock, which shows `now`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn clock_fault(&self, now: Timestamp) -> Result<Option<ClockFault>, StorageError> {
        const NEWEST: &str = "SELECT time FROM record ORDER BY sequence DESC LIMIT 1";
        let running = i64::try_from(self.clock.running.elapsed().as_secs()).unwrap_or(i64::MAX);
        if let Some(fault) = self.clock.fault(now.unix(), running) {
            return Ok(Some(fault));
        }
        // Another server may have written since.
        let newest: Option<(i64,)> = self.reader().optional(NEWEST, params![]).await?;
        let seconds = newest.map_or(0, |(time,)| time.saturating_sub(now.unix()));
        Ok((seconds > TOLERANCE).then_some(ClockFault::Behind { seconds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// The fault at `now`, an hour after a start at `opened` with entries of these times, the newest first.
    fn fault(entries: &[i64], opened: i64, now: i64) -> Option<ClockFault> {
        Clock::new(entries.iter().copied(), Timestamp::from_unix(opened)).fault(now, 3600)
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
}
