//! Slowing down whoever makes decryptions fail.
//!
//! Attacks on PKCS#1 v1.5 padding (Bleichenbacher, Marvin) need many thousands of failing decryptions. Each failure of a key
//! is answered later than the one before; the waiting is done on a thread of its own, so nothing else waits.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use uuid::Uuid;

/// The first failure's delay.
const FIRST: Duration = Duration::from_millis(20);
/// No delay is longer.
const LONGEST: Duration = Duration::from_secs(5);
/// A quiet time of this length takes back one doubling.
const FORGET: Duration = Duration::from_secs(10);
/// Keys whose failures are remembered at most.
const KEYS: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// Counts failures and runs what must wait.
pub(super) struct Delay {
    failures: Mutex<HashMap<Uuid, Failures>>,
    jobs: mpsc::Sender<(Instant, Job)>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Delay {
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new().name("delay".into()).spawn(move || run(&queue))?;
        Ok(Self { failures: Mutex::new(HashMap::new()), jobs })
    }

    /// Counts a failure of a key that is noticed now, and runs `job` when its delay is over.
    pub(super) fn after_failure(&self, key: Uuid, job: impl FnOnce() + Send + 'static) {
        let now = Instant::now();
        let delay = self.next(key, now);
        if let Err(mpsc::SendError((_, job))) = self.jobs.send((now + delay, Box::new(job))) {
            job();
        }
    }

    fn next(&self, key: Uuid, now: Instant) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= KEYS {
            failures.retain(|_, f| f.now(now) > 0);
        }
        let before = failures.get(&key).map_or(0, |f| f.now(now));
        failures.insert(key, Failures { count: before.saturating_add(1), last: now });
        FIRST.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX)).min(LONGEST)
    }
}

impl Failures {
    /// The count that is left at `now`.
    fn now(self, now: Instant) -> u32 {
        let quiet = now.saturating_duration_since(self.last).as_secs() / FORGET.as_secs();
        // Beyond 16 doublings nothing grows, so nothing more needs forgetting.
        self.count.min(16).saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }
}

struct Waiting {
    due: Instant,
    job: Job,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

fn run(queue: &mpsc::Receiver<(Instant, Job)>) {
    let mut waiting: BinaryHeap<Reverse<Waiting>> = BinaryHeap::new();
    loop {
        let next = match waiting.peek() {
            Some(Reverse(first)) => queue.recv_timeout(first.due.saturating_duration_since(Instant::now())),
            None => queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        };
        match next {
            Ok((due, job)) => waiting.push(Reverse(Waiting { due, job })),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some(Reverse(first)) = waiting.pop() {
                    (first.job)();
                }
            }
            // The process ends: nobody is left to be answered.
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_are_forgotten_in_quiet_times() {
        let delay = Delay::start().unwrap();
        let (key, other, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        assert_eq!(delay.next(key, now), FIRST);
        assert_eq!(delay.next(key, now), FIRST * 2);
        assert_eq!(delay.next(key, now), FIRST * 4);
        assert_eq!(delay.next(other, now), FIRST, "each key has its own count");
        for _ in 0..100 {
            delay.next(key, now);
        }
        assert_eq!(delay.next(key, now), LONGEST);
        assert_eq!(delay.next(key, now + FORGET * 20), FIRST);
    }

    #[test]
    fn jobs_run_in_the_order_of_their_times_and_not_before() {
        let delay = Delay::start().unwrap();
        let (done, order) = mpsc::channel();
        let start = Instant::now();
        for (name, millis) in [("late", 80), ("early", 20)] {
            let done = done.clone();
            delay
                .jobs
                .send((start + Duration::from_millis(millis), Box::new(move || done.send(name).unwrap())))
                .unwrap();
        }
        assert_eq!(order.recv_timeout(Duration::from_secs(10)).unwrap(), "early");
        assert_eq!(order.recv_timeout(Duration::from_secs(10)).unwrap(), "late");
        assert!(start.elapsed() >= Duration::from_millis(80));
    }
}
