//! A bounded queue between the reading thread and the working ones.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
/// First in, first out; putting waits while it is full.
pub(super) struct Queue<T> {
    limit: usize,
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limit: usize) -> Self {
        let state = Mutex::new(State { items: VecDeque::new(), closed: false });
        Self { limit, state, filled: Condvar::new(), emptied: Condvar::new() }
    }

    /// Puts an item at the end, when there is room.
    pub(super) fn put(&self, item: T) {
        let mut state = self.state.lock();
        while state.items.len() >= self.limit && !state.closed {
            self.emptied.wait(&mut state);
        }
        state.items.push_back(item);
        self.filled.notify_one();
    }

    /// Takes the first item, when there is one; `None` once the queue is closed and empty.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.emptied.notify_one();
                return Some(item);
            }
            if state.closed {
                return None;
            }
            self.filled.wait(&mut state);
        }
    }

    /// Ends the queue: what is in it can still be taken.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }
}
