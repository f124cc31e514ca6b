//! Required sinks: no key is used while one of them is too far behind.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::RwLock;
use sealcard_api::Timestamp;
use tokio::time::Instant;

use super::load::Targets;
use crate::{limits, storage::SinkRow};

/// What uses of keys ask before they begin. Cheap to clone, and to ask.
#[derive(Debug, Clone, Default)]
pub struct Requirement(Option<Arc<State>>);

#[derive(Debug)]
struct State {
    required: Vec<Required>,
    seen: RwLock<Option<Seen>>,
}

#[derive(Debug)]
struct Required {
    name: String,
    entries: u64,
    seconds: u64,
}

/// What was read of the sinks last.
#[derive(Debug)]
struct Seen {
    at: Instant,
    newest: u64,
    sinks: HashMap<String, SinkSeen>,
}

#[derive(Debug)]
struct SinkSeen {
    position: u64,
    waiting_since: Option<i64>,
    error: Option<String>,
}

/// A required sink that is too far behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The sink.
    pub sink: String,
    /// How far it is behind, in entries and seconds. None: that can't be found out at present.
    pub lag: Option<(u64, u64)>,
    /// Why, as the last attempt told. May name addresses: for those who look after the server.
    pub error: Option<String>,
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lag {
            None => write!(f, "it is not known how far the required sink {} of the record is behind", self.sink),
            Some((entries, seconds)) => write!(
                f,
                "the required sink {} of the record is {} and {} behind",
                self.sink,
                count(entries, "entry", "entries"),
                count(seconds, "second", "seconds")
            ),
        }
    }
}

fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

impl Requirement {
    pub(super) fn new(targets: &Targets) -> Self {
        let required: Vec<Required> = targets
            .all
            .iter()
            .filter_map(|target| {
                let (entries, seconds) = target.required?;
                Some(Required { name: target.name.clone(), entries, seconds })
            })
            .collect();
        Self((!required.is_empty()).then(|| Arc::new(State { required, seen: RwLock::default() })))
    }

    /// Takes note of how the sinks are.
    pub(super) fn observe(&self, rows: &[SinkRow], newest: u64) {
        let Some(state) = &self.0 else { return };
        let sinks = rows.iter().map(|row| {
            let error = row.last_error.clone().filter(|_| row.failures > 0 || row.stopped);
            let seen = SinkSeen { position: row.position, waiting_since: row.waiting_since, error };
            (row.name.clone(), seen)
        });
        *state.seen.write() = Some(Seen { at: Instant::now(), newest, sinks: sinks.collect() });
    }

    /// The first required sink that is too far behind.
    #[must_use]
    pub fn check(&self, now: Timestamp) -> Option<Behind> {
        self.all_behind(now).into_iter().next()
    }

    /// All required sinks that are too far behind.
    pub(super) fn all_behind(&self, now: Timestamp) -> Vec<Behind> {
        let Some(state) = &self.0 else { return Vec::new() };
        let seen = state.seen.read();
        let seen = seen.as_ref().filter(|seen| seen.at.elapsed() < limits::SINK_STATE_AGE);
        let behind = state.required.iter().filter_map(|Required { name, entries, seconds }| {
            let Some((seen, sink)) = seen.and_then(|seen| Some((seen, seen.sinks.get(name)?))) else {
                return Some(Behind { sink: name.clone(), lag: None, error: None });
            };
            let lag = lag(sink.position, sink.waiting_since, seen.newest, now);
            (lag.0 > *entries || lag.1 > *seconds).then(|| Behind {
                sink: name.clone(),
                lag: Some(lag),
                error: sink.error.clone(),
            })
        });
        behind.collect()
    }
}

/// How far a sink is behind: so many entries, the oldest of them so many seconds old.
pub(super) fn lag(position: u64, waiting_since: Option<i64>, newest: u64, now: Timestamp) -> (u64, u64) {
    let seconds = waiting_since.map_or(0, |since| now.unix().saturating_sub(since).max(0).cast_unsigned());
    (newest.saturating_sub(position), seconds)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn requirement() -> Requirement {
        let required = vec![Required { name: "siem".to_owned(), entries: 10, seconds: 60 }];
        Requirement(Some(Arc::new(State { required, seen: RwLock::default() })))
    }

    fn row(position: u64, waiting_since: Option<i64>) -> SinkRow {
        SinkRow {
            name: "siem".to_owned(),
            position,
            node: None,
            leased_until: None,
            last_success: None,
            last_failure: Some(1),
            last_error: Some("refused".to_owned()),
            failures: 1,
            next_attempt: 0,
            stopped: false,
            parked: 0,
            retried: 0,
            waiting_since,
        }
    }

    #[test]
    fn sink_may_be_behind_as_far_as_is_configured() {
        let (now, at) = (Timestamp::from_unix(1000), |position, since| {
            let requirement = requirement();
            requirement.observe(&[row(position, since)], 100);
            requirement.check(Timestamp::from_unix(1000))
        });
        assert_eq!(at(100, None), None);
        assert_eq!(at(90, Some(940)), None);
        let behind = at(89, Some(999)).unwrap();
        assert_eq!((behind.lag, behind.error.as_deref()), (Some((11, 1)), Some("refused")));
        assert_eq!(behind.to_string(), "the required sink siem of the record is 11 entries and 1 second behind");
        assert_eq!(at(99, Some(939)).unwrap().lag, Some((1, 61)));
        assert_eq!(Requirement::default().check(now), None);
    }

    #[test]
    fn what_is_not_known_counts_as_too_far_behind() {
        let (requirement, now) = (requirement(), Timestamp::from_unix(1000));
        assert_eq!(requirement.check(now).unwrap().lag, None);
        requirement.observe(&[row(100, None)], 100);
        assert_eq!(requirement.check(now), None);
        requirement.0.as_ref().unwrap().seen.write().as_mut().unwrap().at -= limits::SINK_STATE_AGE;
        assert_eq!(requirement.check(now).unwrap().lag, None);
        requirement.observe(&[], 100);
        assert_eq!(requirement.check(now).unwrap().lag, None);
    }
}
