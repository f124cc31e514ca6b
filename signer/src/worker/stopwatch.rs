//! How long a key works.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Measures one use of a key in the thread that starts it.
pub(super) enum Stopwatch {
    /// Processor time of the thread: other threads don't count, however busy the machine is.
    Thread(Duration),
    /// Time: a token works while the thread waits for it.
    Clock(Instant),
}

impl Stopwatch {
    /// For keys that this process holds.
    pub(super) fn of_thread() -> Self {
        thread_time().map_or_else(Self::of_clock, Self::Thread)
    }

    /// For keys on a token.
    pub(super) fn of_clock() -> Self {
        Self::Clock(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        match self {
            Self::Thread(start) => thread_time().unwrap_or(*start).saturating_sub(*start),
            Self::Clock(start) => start.elapsed(),
        }
    }
}

fn thread_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_thread_does_not_grow_while_it_sleeps() {
        let (thread, clock) = (Stopwatch::of_thread(), Stopwatch::of_clock());
        std::thread::sleep(Duration::from_millis(300));
        assert!(clock.elapsed() >= Duration::from_millis(300));
        assert!(thread.elapsed() < Duration::from_millis(150));
        let before = thread.elapsed();
        while thread.elapsed() == before {
            std::hint::spin_loop();
        }
    }
}
