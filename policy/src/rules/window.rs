//! Time windows: hours of days in a time zone.

use std::fmt;

use jiff::{
    civil::{DateTime, Time, Weekday},
    tz::TimeZone,
};
use sealcard_api::Timestamp;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::fields::FieldError;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Hours of some days. A moment is inside if a clock on the wall of the zone shows a time between `from` (included) and
/// `to` (excluded) on one of the days. Where `to` is not later than `from`, the window ends on the next day. So an hour
/// that the clock shows twice is inside twice, and one that it skips is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    days: [bool; 7],
    from: Time,
    /// None: the end of the day.
    to: Option<Time>,
    zone: TimeZone,
    zone_name: String,
    /// What people wrote for the days.
    days_text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHours {
    #[serde(default = "every_day")]
    days: String,
    #[serde(default = "midnight")]
    from: String,
    #[serde(default = "end_of_day")]
    to: String,
    zone: String,
}

fn every_day() -> String {
    "mon-sun".to_owned()
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn end_of_day() -> String {
    "24:00".to_owned()
}

impl Hours {
    /// Whether the moment is inside.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        let Some(local) = self.local(now) else { return false };
        let (today, time) = (local.date().weekday(), local.time());
        let yesterday = today.previous();
        let after_from = time >= self.from;
        match self.to {
            None => self.on(today) && after_from,
            Some(to) if to > self.from => self.on(today) && after_from && time < to,
            Some(to) => (self.on(today) && after_from) || (self.on(yesterday) && time < to),
        }
    }

    /// What the clock on the wall shows, such as `Saturday 14:03`.
    pub(super) fn shown(&self, now: Timestamp) -> String {
        match self.local(now) {
            Some(local) => {
                format!("{} {:02}:{:02}", day_name(local.date().weekday()), local.hour(), local.minute())
            }
            None => now.to_string(),
        }
    }

    fn local(&self, now: Timestamp) -> Option<DateTime> {
        let moment = jiff::Timestamp::from_second(now.unix()).ok()?;
        Some(self.zone.to_datetime(moment))
    }

    fn on(&self, day: Weekday) -> bool {
        DAYS.iter().zip(self.days).any(|((_, name), on)| on && *name == day)
    }
}

fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:02}:{:02} to ", self.days_text, self.from.hour(), self.from.minute())?;
        match self.to {
            Some(to) => write!(f, "{:02}:{:02} {}", to.hour(), to.minute(), self.zone_name),
            None => write!(f, "24:00 {}", self.zone_name),
        }
    }
}

impl TryFrom<RawHours> for Hours {
    type Error = FieldError;

    fn try_from(raw: RawHours) -> Result<Self, FieldError> {
        let zone = TimeZone::get(&raw.zone).map_err(|_| {
            FieldError(format!("{:?} is no time zone: write a name of IANA's, such as Europe/Berlin or UTC", raw.zone))
        })?;
        let from = clock(&raw.from)?.ok_or_else(|| FieldError("a window can't begin at 24:00".to_owned()))?;
        let to = clock(&raw.to)?;
        if to == Some(from) {
            return Err(FieldError(format!("from and to are both {}: leave out both for the whole day", raw.to)));
        }
        Ok(Self { days: days(&raw.days)?, from, to, zone, zone_name: raw.zone, days_text: raw.days })
    }
}

/// A time such as `06:00`; none for `24:00`.
fn clock(text: &str) -> Result<Option<Time>, FieldError> {
    let wrong = || FieldError(format!("{text:?} is no time of day: write 06:00"));
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| {
        let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if two_digits { text.parse::<i8>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    match (number(hour)?, number(minute)?) {
        (24, 0) => Ok(None),
        (hour, minute) => Time::new(hour, minute, 0, 0).map(Some).map_err(|_| wrong()),
    }
}

/// Days such as `mon-fri`, `sat,sun`, `fri-mon`.
fn days(text: &str) -> Result<[bool; 7], FieldError> {
    let wrong = || FieldError(format!("{text:?} are no days: write mon-fri or sat,sun"));
    let index = |name: &str| DAYS.iter().position(|(day, _)| *day == name.trim()).ok_or_else(wrong);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        for offset in 0..=(last + 7 - first) % 7 {
            if let Some(day) = days.get_mut((first + offset) % 7) {
                *day = true;
            }
        }
    }
    Ok(days)
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawHours::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

/// Reads one window or a list of them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hours>, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::Array(all) => all.into_iter().map(|one| one.try_into().map_err(D::Error::custom)).collect(),
        one => Ok(vec![one.try_into().map_err(D::Error::custom)?]),
    }
}
