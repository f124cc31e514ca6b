//! Times of the person's time zone.

use sealcard_api::Timestamp;

/// A point in time as a calendar shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calendar {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
}

/// `2026-01-31 14:05:09` in the time zone of the process.
pub(crate) fn shown(time: Timestamp) -> String {
    let Some(Calendar { year, month, day, hour, minute, second }) = libc_time::local(time.unix()) else {
        return time.to_string();
    };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// `14:05`, with the day before it unless that is today.
pub(crate) fn clock(time: Timestamp) -> String {
    clock_at(time, Timestamp::now())
}

fn clock_at(time: Timestamp, now: Timestamp) -> String {
    let (Some(then), Some(today)) = (libc_time::local(time.unix()), libc_time::local(now.unix())) else {
        return time.to_string();
    };
    let Calendar { year, month, day, hour, minute, .. } = then;
    if (year, month, day) == (today.year, today.month, today.day) {
        return format!("{hour:02}:{minute:02}");
    }
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// As [`parse`], but a span is one after now.
///
/// # Errors
/// What is expected, as a sentence.
pub(crate) fn parse_later(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let later = match span(text) {
        Some(seconds) => now.unix().checked_add(seconds).map(Timestamp::from_unix),
        None => parse_at(text, now),
    };
    later.ok_or_else(|| {
        "expected a time such as 2026-01-31, 2026-01-31T14:05, 14:05 or 2026-01-31T13:05:00Z, or a span after now \
         such as 30m, 2h, 7d or 4w"
            .to_owned()
    })
}

/// A point in time as a person writes it: RFC 3339, a local date with or without a time, a time of today, or a span
/// before now, such as `30m`, `2h`, `7d` or `4w`.
///
/// # Errors
/// What is expected, as a sentence.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, Timestamp::now()).ok_or_else(|| {
        "expected a time such as 2026-01-31, 2026-01-31T14:05, 14:05 or 2026-01-31T13:05:00Z, or a span before now \
         such as 30m, 2h, 7d or 4w"
            .to_owned()
    })
}

fn parse_at(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Some(seconds) = span(text) {
        return Some(Timestamp::from_unix(now.unix().checked_sub(seconds)?));
    }
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (Some(date), Some(time)),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let today = libc_time::local(now.unix())?;
    let (year, month, day) = match date {
        Some(date) => {
            let [year, month, day] = numbers(date, '-')?;
            (year, month, day)
        }
        None => (today.year, today.month, today.day),
    };
    let (hour, minute, second) = match time {
        None => (0, 0, 0),
        Some(time) if time.matches(':').count() == 1 => {
            let [hour, minute] = numbers(time, ':')?;
            (hour, minute, 0)
        }
        Some(time) => {
            let [hour, minute, second] = numbers(time, ':')?;
            (hour, minute, second)
        }
    };
    let calendar = Calendar { year, month, day, hour, minute, second };
    let unix = libc_time::unix(calendar)?;
    // The C library takes the 31st of February for the 3rd of March, and an hour that summer time skips for the next.
    let same = libc_time::local(unix)?;
    let is_same_day = (same.year, same.month, same.day) == (year, month, day);
    ((1970..10_000).contains(&year) && is_same_day && (0..24).contains(&hour) && (0..60).contains(&minute))
        .then(|| Timestamp::from_unix(unix))
}

/// Seconds of a span such as `2h`.
pub(crate) fn span(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let [number]: [i32; 1] = numbers(text.strip_suffix(unit)?, '-')?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    seconds.checked_mul(number.into())
}

fn numbers<const N: usize>(text: &str, between: char) -> Option<[i32; N]> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Option<Vec<i32>> =
        text.split(between).map(|part| part.parse().ok().filter(|_| is_number(part))).collect();
    numbers?.try_into().ok()
}

/// The C library knows the time zone.
#[allow(unsafe_code)]
mod libc_time {
    use std::mem::MaybeUninit;

    use super::Calendar;

    /// The calendar's view of a time. None if the calendar has no such year.
    pub(super) fn local(unix: i64) -> Option<Calendar> {
        let time: libc::time_t = unix;
        let mut filled = MaybeUninit::<libc::tm>::zeroed();
        // SAFETY: both pointers are to values of this function; localtime_r writes the second one and keeps neither.
        let answer = unsafe { libc::localtime_r(&raw const time, filled.as_mut_ptr()) };
        if answer.is_null() {
            return None;
        }
        // SAFETY: localtime_r has filled it, and all bytes zero are a valid `tm`.
        let tm = unsafe { filled.assume_init() };
        Some(Calendar {
            year: tm.tm_year.checked_add(1900)?,
            month: tm.tm_mon + 1,
            day: tm.tm_mday,
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
        })
    }

    /// The time that the calendar shows so.
    pub(super) fn unix(calendar: Calendar) -> Option<i64> {
        // SAFETY: all bytes zero are a valid `tm`: its fields are numbers and a pointer that mktime does not read.
        let mut tm: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
        tm.tm_year = calendar.year.checked_sub(1900)?;
        tm.tm_mon = calendar.month.checked_sub(1)?;
        tm.tm_mday = calendar.day;
        tm.tm_hour = calendar.hour;
        tm.tm_min = calendar.minute;
        tm.tm_sec = calendar.second;
        // Whether summer time is in force follows from the date.
        tm.tm_isdst = -1;
        // SAFETY: the pointer is to a value of this function, which mktime changes and does not keep.
        let unix = unsafe { libc::mktime(&raw mut tm) };
        (unix != -1).then_some(unix)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

    fn at(text: &str) -> Option<i64> {
        parse_at(text, NOW).map(Timestamp::unix)
    }

    #[test]
    fn spans_are_before_now() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("4w", 2_419_200)]
        {
            assert_eq!(at(text), Some(NOW.unix() - seconds), "{text}");
        }
    }

    #[test]
    fn clock_names_the_day_unless_it_is_today() {
        let noon = Timestamp::from_unix(at("2026-03-05 12:00").unwrap());
        assert_eq!(clock_at(noon, Timestamp::from_unix(noon.unix() - 60)), "12:00");
        assert_eq!(clock_at(noon, Timestamp::from_unix(noon.unix() - 86_400)), "2026-03-05 12:00");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "x", "h", "-2h", "+2h", "2y", "2026-02-30", "2026-13-01", "24:00", "12:60", "1-1", "2026-1-1T", "é"]
        {
            assert_eq!(at(text), None, "{text:?}");
        }
    }

    #[test]
    fn rfc_3339_needs_no_time_zone_of_the_process() {
        assert_eq!(at("2026-01-31T13:05:00Z"), Some(1_769_864_700));
    }

    #[test]
    fn day_begins_at_local_midnight() {
        let midnight = Timestamp::from_unix(at("2026-03-05").unwrap());
        assert_eq!(shown(midnight), "2026-03-05 00:00:00");
        assert_eq!(at("2026-03-05 00:00"), Some(midnight.unix()));
        assert_eq!(at("2026-03-05T11:00"), Some(midnight.unix() + 11 * 3600));
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back(unix in 86_400_i64..4_000_000_000) {
            let shown = shown(Timestamp::from_unix(unix));
            let again = parse_at(&shown, NOW).unwrap().unix();
            // An hour that occurs twice at the end of summer time is one of two.
            prop_assert!((again - unix).abs() <= 3600, "{} {} {}", shown, unix, again);
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = parse_at(&text, NOW);
        }
    }
}
