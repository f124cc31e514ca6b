//! How many requests a second one network gets answered on connections without a login.
//!
//! A generic cell rate algorithm (ITU-T I.371): each network has a time until which it has used up its share. A request moves
//! that time on by one interval. One that is more than the burst ahead waits until it is not; one that would wait too long
//! is refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::limits;

/// The networks that have asked lately.
#[derive(Debug)]
pub(super) struct AnonymousRate {
    interval: Duration,
    used_until: HashMap<IpAddr, Instant>,
}

impl AnonymousRate {
    pub(super) fn new(requests_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / requests_per_second.max(1);
        Self { interval, used_until: HashMap::new() }
    }

    /// How long a request of this network waits that arrives now; none if that is too long.
    pub(super) fn delay(&mut self, network: IpAddr, now: Instant) -> Option<Duration> {
        if !self.used_until.contains_key(&network) && self.used_until.len() >= limits::ANONYMOUS_NETWORKS {
            self.used_until.retain(|_, until| *until > now);
        }
        let until = self.used_until.entry(network).or_insert(now);
        let delay = until.saturating_duration_since(now).saturating_sub(limits::ANONYMOUS_BURST);
        if delay > limits::MAX_ANONYMOUS_DELAY {
            return None;
        }
        *until = (*until).max(now) + self.interval;
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NETWORK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn burst_is_answered_at_once_and_what_follows_later_or_not() {
        let (mut rate, now) = (AnonymousRate::new(10), Instant::now());
        let delays: Vec<_> = std::iter::from_fn(|| rate.delay(NETWORK, now)).collect();
        let at_once = delays.iter().filter(|delay| delay.is_zero()).count();
        assert_eq!(at_once, 10 * usize::try_from(limits::ANONYMOUS_BURST.as_secs()).unwrap_or_default() + 1);
        assert_eq!(delays.last(), Some(&limits::MAX_ANONYMOUS_DELAY));
        assert_eq!(rate.delay(OTHER, now), Some(Duration::ZERO));
        assert_eq!(rate.delay(NETWORK, now + Duration::from_secs(60)), Some(Duration::ZERO));
    }

    #[test]
    fn networks_are_forgotten_when_there_are_many() {
        let (mut rate, mut now) = (AnonymousRate::new(200), Instant::now());
        for n in 0..4 * u32::try_from(limits::ANONYMOUS_NETWORKS).unwrap_or_default() {
            rate.delay(IpAddr::V4(n.into()), now);
            now += Duration::from_millis(1);
        }
        assert!(rate.used_until.len() <= limits::ANONYMOUS_NETWORKS);
    }

    proptest! {
        /// Whatever the arrivals: no second gets more answers than the rate and the burst allow.
        #[test]
        fn answers_keep_the_rate(gaps in prop::collection::vec(0_u64..40, 1..400)) {
            let (mut rate, start) = (AnonymousRate::new(20), Instant::now());
            let (mut now, mut answers) = (start, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if let Some(delay) = rate.delay(NETWORK, now) {
                    answers.push(now + delay);
                }
            }
            let burst = 20 * usize::try_from(limits::ANONYMOUS_BURST.as_secs()).unwrap_or_default();
            for (n, from) in answers.iter().enumerate() {
                let within = answers.iter().skip(n).take_while(|at| **at < *from + Duration::from_secs(1)).count();
                prop_assert!(within <= burst + 21, "{within} answers in a second");
            }
        }
    }
}
