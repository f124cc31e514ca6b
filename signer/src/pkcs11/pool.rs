//! Sessions: as many as are needed at once, never more than the token has room for.
//!
//! A session belongs to one thread at a time; the one that was used last is used next, so a quiet signer has one
//! session and a busy one as many as it may.

use std::{collections::HashMap, sync::Arc};

use cryptoki::{object::ObjectHandle, session::Session, slot::Slot};
use parking_lot::{Condvar, Mutex};
use uuid::Uuid;

use super::{
    codes::Class,
    failure::{CallError, Problem},
    find::Known,
    module::{Module, Purpose},
};

/// Sessions that are left to others: the one that keeps the login, and one for making and destroying keys.
const RESERVED: u64 = 2;

/// The sessions of a token.
pub(super) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    idle: Vec<Opened>,
    /// Sessions that are open or being opened.
    open: usize,
    limit: usize,
    /// Counts reconnections: sessions from before are closed instead of used.
    generation: u64,
}

/// A session, and what was found on the token in it.
pub(super) struct Opened {
    pub(super) session: Session,
    /// Where keys are, for the rows that they were compared with.
    pub(super) handles: HashMap<Uuid, (ObjectHandle, Arc<Known>)>,
    generation: u64,
}

/// How many sessions may be used at once.
pub(super) fn limit(configured: u16, token: Option<u64>) -> usize {
    let room = token.map_or(u64::MAX, |max| max.saturating_sub(RESERVED));
    usize::try_from(u64::from(configured).min(room).max(1)).unwrap_or(1)
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::new(State { idle: Vec::new(), open: 0, limit, generation: 0 }), freed: Condvar::new() }
    }

    /// How many sessions may be used at once.
    pub(super) fn limit(&self) -> usize {
        self.state.lock().limit
    }

    /// Does some work with a session: one that is idle, a new one, or, if the token has no room, the next that is free.
    pub(super) fn with<T>(
        &self,
        module: &Module,
        slot: Slot,
        work: impl FnOnce(&mut Opened) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let mut opened = self.take(module, slot)?;
        let mut count = Count { pool: self, released: false };
        let result = {
            let _calling = module.calling(Purpose::Operation);
            work(&mut opened)
        };
        let faulty = result.as_ref().is_err_and(Problem::makes_session_faulty);
        if let Some(unfit) = count.release(opened, faulty) {
            let _calling = module.calling(Purpose::Operation);
            drop(unfit);
        }
        result
    }

    fn take(&self, module: &Module, slot: Slot) -> Result<Opened, CallError> {
        let mut state = self.state.lock();
        loop {
            if let Some(opened) = state.idle.pop() {
                return Ok(opened);
            }
            if state.open < state.limit {
                state.open += 1;
                let generation = state.generation;
                drop(state);
                let session = {
                    let _calling = module.calling(Purpose::Operation);
                    module.context().open_ro_session(slot)
                };
                match session.map_err(CallError::from) {
                    Ok(session) => return Ok(Opened { session, handles: HashMap::new(), generation }),
                    Err(error) => {
                        state = self.state.lock();
                        state.open -= 1;
                        // Other applications have taken the room: go on with what there is.
                        if error.class != Class::Full || state.open == 0 {
                            self.freed.notify_one();
                            return Err(error);
                        }
                        state.limit = state.open;
                    }
                }
            } else {
                self.freed.wait(&mut state);
            }
        }
    }

    /// Closes the sessions that are idle; those on loan are closed when they come back.
    pub(super) fn reconnect(&self, module: &Module) {
        let idle = {
            let mut state = self.state.lock();
            state.generation += 1;
            state.open -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        self.freed.notify_all();
        let _calling = module.calling(Purpose::Operation);
        drop(idle);
    }
}

/// One session among those that are open. Counted off when dropped, also by a panic.
struct Count<'a> {
    pool: &'a Pool,
    released: bool,
}

impl Count<'_> {
    /// Gives the session back. What may not be used again is returned, to be closed.
    fn release(&mut self, opened: Opened, faulty: bool) -> Option<Opened> {
        let mut state = self.pool.state.lock();
        self.released = true;
        let unfit = if faulty || opened.generation != state.generation {
            state.open -= 1;
            Some(opened)
        } else {
            state.idle.push(opened);
            None
        };
        self.pool.freed.notify_one();
        unfit
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        if !self.released {
            self.pool.state.lock().open -= 1;
            self.pool.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_limit_counts_and_leaves_room_for_two() {
        assert_eq!(limit(8, None), 8);
        assert_eq!(limit(8, Some(16)), 8);
        assert_eq!(limit(32, Some(16)), 14);
        assert_eq!(limit(8, Some(3)), 1);
        assert_eq!(limit(8, Some(1)), 1);
        assert_eq!(limit(1, None), 1);
    }
}
