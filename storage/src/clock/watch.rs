//! Whether the clock that shows the time was set while this process runs: compared with one that nobody can set.

use nix::{
    sys::time::TimeValLike as _,
    time::{ClockId, clock_gettime},
};
use parking_lot::Mutex;

/// A step by more than this is a jump, in milliseconds.
const JUMP: i64 = 5 * 60 * 1000;

/// How fast the difference of the clocks may grow without being a step: by one part in so many. What keeps the time
/// right is slower than this by far. Small steps that follow one another count together.
const SLEW: i64 = 60;

/// Both clocks at one moment, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// `CLOCK_REALTIME`.
    real: i64,
    /// `CLOCK_BOOTTIME`, which goes on while the machine sleeps.
    boot: i64,
}

impl Reading {
    /// None if the system has no such clocks.
    fn now() -> Option<Self> {
        let read = |clock| clock_gettime(clock).ok().map(|time| time.num_milliseconds());
        Some(Self { real: read(ClockId::CLOCK_REALTIME)?, boot: read(ClockId::CLOCK_BOOTTIME)? })
    }
}

/// What was seen of the clock.
#[derive(Debug)]
pub(crate) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When it was last looked, by the clock that can't be set.
    looked: i64,
    /// How much the clocks differ as far as that is right. None before the first look.
    difference: Option<i64>,
    /// By how much it jumped, since that was last recorded.
    jumped: Option<i64>,
}

impl Watch {
    /// Takes the clock as it is now for right.
    pub(crate) fn start() -> Self {
        let mut state = State::default();
        if let Some(reading) = Reading::now() {
            state.look(reading);
        }
        Self(Mutex::new(state))
    }

    /// Looks at both clocks. Whether there was a jump that is not recorded yet.
    pub(crate) fn look(&self) -> bool {
        let reading = Reading::now();
        let mut state = self.0.lock();
        if let Some(reading) = reading {
            state.look(reading);
        }
        state.jumped.is_some()
    }

    /// By how many seconds the clock jumped, ahead or back, if that is not recorded yet.
    pub(crate) fn jumped(&self) -> Option<i64> {
        self.look();
        self.0.lock().jumped.map(|milliseconds| milliseconds / 1000)
    }

    /// A jump by so many seconds is recorded.
    pub(crate) fn recorded(&self, seconds: i64) {
        let mut state = self.0.lock();
        // Unless there was another one meanwhile.
        if state.jumped.is_some_and(|milliseconds| milliseconds / 1000 == seconds) {
            state.jumped = None;
        }
    }

    #[cfg(test)]
    pub(crate) fn pretend(&self, seconds: i64) {
        let mut state = self.0.lock();
        state.difference = state.difference.map(|difference| difference - seconds * 1000);
    }
}

impl State {
    fn look(&mut self, Reading { real, boot }: Reading) {
        let found = real.saturating_sub(boot);
        let elapsed = boot.saturating_sub(self.looked).max(0);
        self.looked = boot;
        let Some(known) = self.difference else {
            self.difference = Some(found);
            return;
        };
        let slewed = found.saturating_sub(known).clamp(-elapsed / SLEW, elapsed / SLEW);
        let expected = known.saturating_add(slewed);
        let step = found.saturating_sub(expected);
        if step.saturating_abs() > JUMP {
            self.jumped = Some(self.jumped.unwrap_or_default().saturating_add(step));
            self.difference = Some(found);
        } else {
            self.difference = Some(expected);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 1000;
    const MINUTE: i64 = 60 * SECOND;
    const START: Reading = Reading { real: 1_800_000_000_000, boot: 50_000_000 };

    /// Looks each second, with steps of the clock before some looks: the jump that is found.
    fn jumped(steps: impl IntoIterator<Item = i64>) -> Option<i64> {
        let mut state = State::default();
        let Reading { mut real, mut boot } = START;
        state.look(START);
        for step in steps {
            boot += SECOND;
            real += SECOND + step;
            state.look(Reading { real, boot });
        }
        state.jumped
    }

    #[test]
    fn step_of_more_than_five_minutes_is_a_jump_in_both_directions() {
        for step in [6 * MINUTE, -6 * MINUTE, 400 * 24 * 60 * MINUTE] {
            assert_eq!(jumped([0, 0, step, 0]).map(|jump| (jump - step).abs() < SECOND), Some(true), "{step}");
        }
        assert_eq!(jumped([0, 0, 4 * MINUTE, 0]), None);
    }

    #[test]
    fn small_steps_that_follow_one_another_are_a_jump() {
        assert!(jumped([2 * MINUTE, 2 * MINUTE, 2 * MINUTE]).is_some());
        assert!(jumped((0..700).map(|_| SECOND)).is_some());
        // Those that are undone are none.
        assert_eq!(jumped((0..100).flat_map(|_| [4 * MINUTE, -4 * MINUTE])), None);
    }

    #[test]
    fn clock_that_is_slewed_has_not_jumped() {
        // A thousandth: more than any daemon slews, for days.
        assert_eq!(jumped((0..400_000).map(|_| 1)), None);
    }

    #[test]
    fn machine_that_slept_has_not_jumped() {
        let mut state = State::default();
        state.look(START);
        let slept = 100 * 24 * 60 * MINUTE;
        state.look(Reading { real: START.real + slept, boot: START.boot + slept });
        assert_eq!(state.jumped, None);
    }

    #[test]
    fn jump_counts_until_it_is_recorded() {
        let watch = Watch::start();
        assert!(!watch.look());
        watch.pretend(600);
        assert!(watch.look());
        let seconds = watch.jumped().unwrap();
        assert!((599..=601).contains(&seconds), "{seconds}");
        watch.pretend(400);
        watch.recorded(seconds);
        assert!(!watch.look() || watch.jumped() != Some(seconds));
        let rest = watch.jumped().unwrap();
        watch.recorded(rest);
        assert!(!watch.look());
    }

    proptest! {
        #[test]
        fn any_readings_are_survived(readings: Vec<(i64, i64)>) {
            let mut state = State::default();
            for (real, boot) in readings {
                state.look(Reading { real, boot });
            }
        }
    }
}
