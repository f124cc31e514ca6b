//! Times as people say them.

use sealcard_api::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// `2026-01-31T12:00:00Z (in 3 days)`.
pub(super) fn with_distance(time: Timestamp) -> String {
    format!("{time} ({})", distance(time.unix(), Timestamp::now().unix()))
}

/// The day alone; a dash if there is none.
pub(super) fn day(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| time.to_string().chars().take(10).collect())
}

/// `3 hours ago`.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    distance(time.unix().min(now.unix()), now.unix())
}

/// `45s`, `12m`, `3h` or `5d`: whole units, so that no more time is promised than there is.
pub(super) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..MINUTE => format!("{seconds}s"),
        seconds @ ..HOUR => format!("{}m", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        seconds => format!("{}d", seconds / DAY),
    }
}

/// Rounded to the nearest unit: what has just been given for 30 days ends in 30 days.
fn distance(time: i64, now: i64) -> String {
    let seconds = time.saturating_sub(now);
    let size = seconds.saturating_abs();
    if size < MINUTE {
        return if seconds > 0 { "in less than a minute" } else { "just now" }.to_owned();
    }
    let rounded = |unit: i64| size / unit + i64::from(size % unit >= unit / 2);
    let amount = match (rounded(MINUTE), rounded(HOUR)) {
        (minutes @ ..60, _) => of(minutes, "minute"),
        (_, hours @ ..24) => of(hours, "hour"),
        _ => of(rounded(DAY), "day"),
    };
    if seconds >= 0 { format!("in {amount}") } else { format!("{amount} ago") }
}

fn of(number: i64, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_units() {
        for (seconds, text) in
            [(-5, "0s"), (59, "59s"), (119, "1m"), (HOUR, "1h"), (2 * DAY - 1, "47h"), (2 * DAY, "2d")]
        {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn distances_are_rounded_to_the_nearest_unit() {
        for (seconds, text) in [
            (5, "in less than a minute"),
            (0, "just now"),
            (-5, "just now"),
            (60, "in 1 minute"),
            (2 * HOUR + 5, "in 2 hours"),
            (30 * DAY - 1, "in 30 days"),
            (DAY - 1, "in 1 day"),
            (HOUR - 20, "in 1 hour"),
            (-DAY, "1 day ago"),
            (90 * DAY, "in 90 days"),
        ] {
            assert_eq!(distance(1_000_000_000 + seconds, 1_000_000_000), text);
        }
        assert_eq!(distance(i64::MIN, i64::MAX), format!("{} days ago", i64::MAX / DAY + 1));
    }
}
