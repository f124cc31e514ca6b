//! Waiting after wrong attempts, for each account and each network.
//!
//! Pure: the caller brings the time. Kept in memory and bounded; a restart forgives.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::limits;
/// Who is slowed down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account by its name, whether it exists or not.
    Account(String),
    /// Where attempts come from.
    Network(IpAddr),
}

/// How often subjects were wrong lately.
pub struct Slowdown {
    free: u32,
    wrong: Mutex<HashMap<Subject, Wrong>>,
}

#[derive(Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

impl Slowdown {
    /// So many wrong attempts cost nothing.
    #[must_use]
    pub fn new(free: u32) -> Self {
        Self { free, wrong: Mutex::default() }
    }

    /// How long the one of `subjects` that must wait longest has to wait still; `None` if none must.
    #[must_use]
    pub fn wait(&self, subjects: &[Subject], now: Instant) -> Option<Duration> {
        let wrong = self.wrong.lock();
        subjects.iter().filter_map(|subject| self.wait_of(&wrong, subject, now)).max()
    }

    /// The attempt was wrong.
    pub fn wrong(&self, subjects: &[Subject], now: Instant) {
        let mut wrong = self.wrong.lock();
        for subject in subjects {
            if wrong.len() >= limits::MAX_SUBJECTS {
                make_room(&mut wrong, now);
            }
            let entry = wrong.entry(bounded(subject)).or_insert(Wrong { count: 0, last: now });
            if now.saturating_duration_since(entry.last) > limits::ATTEMPTS_FORGOTTEN {
                entry.count = 0;
            }
            *entry = Wrong { count: entry.count.saturating_add(1), last: now };
        }
    }

    /// The attempt was right: the account starts anew. Its network does not, or one right account would free all others
    /// from there.
    pub fn right(&self, subjects: &[Subject]) {
        let mut wrong = self.wrong.lock();
        for subject in subjects {
            if let Subject::Account(_) = subject {
                wrong.remove(&bounded(subject));
            }
        }
    }

    fn wait_of(&self, wrong: &HashMap<Subject, Wrong>, subject: &Subject, now: Instant) -> Option<Duration> {
        let entry = wrong.get(&bounded(subject))?;
        let free = match subject {
            Subject::Account(_) => self.free,
            Subject::Network(_) => self.free.saturating_mul(limits::NETWORK_ATTEMPTS),
        };
        let beyond = entry.count.checked_sub(free)?;
        let needed = Duration::from_secs(1_u64 << beyond.min(16)).min(limits::MAX_LOGIN_DELAY);
        needed.checked_sub(now.saturating_duration_since(entry.last)).filter(|wait| !wait.is_zero())
    }
}

/// Forgets what is old, or else the half that was wrong the longest ago.
fn make_room(wrong: &mut HashMap<Subject, Wrong>, now: Instant) {
    wrong.retain(|_, entry| now.saturating_duration_since(entry.last) <= limits::ATTEMPTS_FORGOTTEN);
    if wrong.len() >= limits::MAX_SUBJECTS {
        let mut times: Vec<Instant> = wrong.values().map(|entry| entry.last).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        wrong.retain(|_, entry| entry.last > median);
    }
}

fn bounded(subject: &Subject) -> Subject {
    match subject {
        Subject::Account(name) if name.len() > limits::MAX_SUBJECT_NAME => Subject::Account(String::new()),
        other => other.clone(),
    }
}

impl fmt::Debug for Slowdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slowdown(…)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn account(name: &str) -> Subject {
        Subject::Account(name.to_owned())
    }

    /// An attempt that is wrong if it may be made.
    fn wrong(slowdown: &Slowdown, subjects: &[Subject], now: Instant) -> Option<Duration> {
        let wait = slowdown.wait(subjects, now);
        if wait.is_none() {
            slowdown.wrong(subjects, now);
        }
        wait
    }

    #[test]
    fn waits_grow_after_the_free_attempts_and_end_with_a_right_one() {
        let slowdown = Slowdown::new(3);
        let mut now = Instant::now();
        let alice = [account("alice")];
        for _ in 0..3 {
            assert_eq!(wrong(&slowdown, &alice, now), None);
        }
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            let wait = wrong(&slowdown, &alice, now).unwrap();
            assert!(wait > last || wait == limits::MAX_LOGIN_DELAY, "{wait:?}");
            last = wait;
            now += wait;
            assert_eq!(wrong(&slowdown, &alice, now), None, "after the wait there is one attempt");
        }
        assert_eq!(last, limits::MAX_LOGIN_DELAY);
        assert_eq!(wrong(&slowdown, &[account("bob")], now), None, "others are not concerned");
        slowdown.right(&alice);
        assert_eq!(slowdown.wait(&alice, now), None);
    }

    #[test]
    fn a_network_that_tries_many_accounts_has_to_wait() {
        let slowdown = Slowdown::new(3);
        let now = Instant::now();
        let network = Subject::Network(IpAddr::from([192, 0, 2, 1]));
        let tries =
            (0..100).take_while(|n| wrong(&slowdown, &[account(&format!("user{n}")), network.clone()], now).is_none());
        assert_eq!(tries.count(), 12);
    }

    #[test]
    fn a_right_password_of_ones_own_does_not_free_a_network() {
        let slowdown = Slowdown::new(1);
        let now = Instant::now();
        let network = Subject::Network(IpAddr::from([192, 0, 2, 1]));
        let refused = (0..20).any(|n| {
            slowdown.right(&[account("mallory"), network.clone()]);
            wrong(&slowdown, &[account(&format!("victim{n}")), network.clone()], now).is_some()
        });
        assert!(refused);
    }

    #[test]
    fn an_hour_of_peace_is_forgiven() {
        let slowdown = Slowdown::new(1);
        let now = Instant::now();
        assert_eq!(wrong(&slowdown, &[account("a")], now), None);
        assert!(wrong(&slowdown, &[account("a")], now).is_some());
        assert_eq!(wrong(&slowdown, &[account("a")], now + limits::ATTEMPTS_FORGOTTEN * 2), None);
    }

    #[test]
    fn memory_is_bounded() {
        let slowdown = Slowdown::new(1);
        let now = Instant::now();
        for n in 0..u32::try_from(limits::MAX_SUBJECTS * 2).unwrap() {
            slowdown.wrong(&[account(&n.to_string())], now + Duration::from_millis(n.into()));
        }
        assert!(slowdown.wrong.lock().len() <= limits::MAX_SUBJECTS);
    }
}
