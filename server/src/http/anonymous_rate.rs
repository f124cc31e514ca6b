//! How many requests a second one network gets answered on connections without a login.
//!
//! The generic cell rate algorithm (ITU-T I.371): each network has a time until which it has used up its share. An
//! answer moves that time on by one interval. An answer that is further ahead than the burst is sent later.

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

    /// How long an answer to this network waits that is ready now.
    pub(super) fn delay(&mut self, network: IpAddr, now: Instant) -> Duration {
        if !self.used_until.contains_key(&network) && self.used_until.len() >= limits::ANONYMOUS_NETWORKS {
            self.used_until.retain(|_, until| *until > now);
        }
        let until = self.used_until.entry(network).or_insert(now);
        let delay = until.saturating_duration_since(now).saturating_sub(limits::ANONYMOUS_BURST);
        if delay >= limits::MAX_ANONYMOUS_DELAY {
            // A client that hangs up does not move the time on for its neighbours without end.
            return limits::MAX_ANONYMOUS_DELAY;
        }
        *until = (*until).max(now) + self.interval;
        delay
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NETWORK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn burst_is_answered_at_once_and_later_answers_wait() {
        let (mut rate, now) = (AnonymousRate::new(10), Instant::now());
        let delays: Vec<_> = (0..100).map(|_| rate.delay(NETWORK, now)).collect();
        let at_once = delays.iter().filter(|delay| delay.is_zero()).count();
        assert_eq!(at_once, 10 * usize::try_from(limits::ANONYMOUS_BURST.as_secs()).unwrap_or_default() + 1);
        assert!(delays.is_sorted());
        assert_eq!(delays.last(), Some(&limits::MAX_ANONYMOUS_DELAY));
        assert_eq!(rate.delay(OTHER, now), Duration::ZERO);
        let soon = now + limits::ANONYMOUS_BURST + limits::MAX_ANONYMOUS_DELAY;
        assert_eq!(rate.delay(NETWORK, soon), Duration::ZERO, "what hung up counts no longer");
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
        /// Clients that wait for each answer before they ask again get no more than the rate and the burst.
        #[test]
        fn clients_that_wait_for_answers_keep_the_rate(clients in 1_usize..40, rounds in 1_usize..40) {
            let (mut rate, start) = (AnonymousRate::new(20), Instant::now());
            let (mut ready, mut answers) = (vec![start; clients], Vec::new());
            for _ in 0..rounds * clients {
                let Some(next) = ready.iter_mut().min() else { break };
                *next += rate.delay(NETWORK, *next);
                answers.push(*next);
            }
            answers.sort();
            let burst = 20 * usize::try_from(limits::ANONYMOUS_BURST.as_secs()).unwrap_or_default();
            for (n, from) in answers.iter().enumerate() {
                let within = answers.iter().skip(n).take_while(|at| **at < *from + Duration::from_secs(1)).count();
                prop_assert!(within <= burst + 21, "{within} answers in a second");
            }
        }
    }
}
