//! A deadline for each call into the module.
//!
//! A call that hangs can't be cancelled: only the end of the process helps. So one thread watches over all calls, and
//! tells whoever opened the token when one has taken too long.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
/// What is told of a call that has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOutCall {
    /// What was asked of the module, such as `a signature`.
    pub what: &'static str,
    /// How long it was given.
    pub deadline: Duration,
}

/// The calls that are under way.
pub(super) struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    calls: BTreeMap<u64, (Instant, TimedOutCall)>,
    /// When the thread looks again; `None` while it waits for a call.
    looks: Option<Instant>,
    ended: bool,
}

/// One call; it is over when this is dropped.
pub(super) struct Watched<'a> {
    watch: &'a Watch,
    id: u64,
}

impl Watch {
    /// Starts the thread. `timed_out` is called for each call that has taken too long, once; it should end the process.
    pub(super) fn start(timed_out: impl Fn(TimedOutCall) + Send + 'static) -> io::Result<Arc<Self>> {
        let watch = Arc::new(Self { state: Mutex::new(State::default()), changed: Condvar::new() });
        let watching = Arc::clone(&watch);
        std::thread::Builder::new().name("watch".into()).spawn(move || watching.run(timed_out))?;
        Ok(watch)
    }

    /// A call begins.
    pub(super) fn call(&self, what: &'static str, deadline: Duration) -> Watched<'_> {
        let due = Instant::now() + deadline;
        let mut state = self.state.lock();
        let id = state.next;
        state.next += 1;
        state.calls.insert(id, (due, TimedOutCall { what, deadline }));
        // The thread is only woken if it would look too late: not for each of a thousand calls per second.
        if state.looks.is_none_or(|looks| due < looks) {
            self.changed.notify_one();
        }
        Watched { watch: self, id }
    }

    /// Ends the thread.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_one();
    }

    fn run(&self, timed_out: impl Fn(TimedOutCall)) {
        let mut state = self.state.lock();
        while !state.ended {
            let now = Instant::now();
            let late: Vec<u64> = state.calls.iter().filter(|(_, (due, _))| *due <= now).map(|(id, _)| *id).collect();
            if !late.is_empty() {
                let late: Vec<TimedOutCall> = late.iter().filter_map(|id| Some(state.calls.remove(id)?.1)).collect();
                drop(state);
                late.into_iter().for_each(&timed_out);
                // Much may have happened meanwhile, so all is looked at again.
                state = self.state.lock();
                continue;
            }
            state.looks = state.calls.values().map(|(due, _)| *due).min();
            match state.looks {
                None => self.changed.wait(&mut state),
                Some(looks) => {
                    self.changed.wait_until(&mut state, looks);
                }
            }
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.watch.state.lock().calls.remove(&self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn only_the_call_that_takes_too_long_is_told_and_only_once() {
        let (tell, told) = mpsc::channel();
        let watch = Watch::start(move |timed_out| tell.send(timed_out).unwrap()).unwrap();
        let slow = watch.call("a slow one", Duration::from_secs(3600));
        drop(watch.call("a quick one", Duration::from_millis(200)));
        let hung = watch.call("one that hangs", Duration::from_millis(20));
        let first = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(first, TimedOutCall { what: "one that hangs", deadline: Duration::from_millis(20) });
        // Later calls are watched as the first ones, and nothing is told again of the one before.
        let another = watch.call("another that hangs", Duration::from_millis(400));
        assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap().what, "another that hangs");
        drop((slow, hung, another));
        watch.end();
        // The thread drops its end of the channel when it ends, with nothing left in it.
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
