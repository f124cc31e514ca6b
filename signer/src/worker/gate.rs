//! Nothing leaves before its journal entry is durable.

use std::sync::{Arc, Mutex, PoisonError};

use super::answers::Answers;
use crate::{
    failpoint,
    protocol::{Response, ResponseBody, SignerError},
};

/// Holds what a key made until its entry is durable, whichever is done first.
pub(super) struct Gate {
    id: u64,
    answers: Arc<Answers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: Option<Result<ResponseBody, SignerError>>,
    durable: Option<Result<(), String>>,
}

impl Gate {
    pub(super) fn new(id: u64, answers: Arc<Answers>) -> Self {
        Self { id, answers, state: Mutex::new(State::default()) }
    }

    /// The entry is durable, or can't be made so.
    pub(super) fn durable(&self, outcome: Result<(), String>) {
        failpoint::hit("signer::after_journal");
        self.step(|state| state.durable = Some(outcome));
    }

    /// The operation has ended.
    pub(super) fn made(&self, result: Result<ResponseBody, SignerError>) {
        self.step(|state| state.made = Some(result));
    }

    fn step(&self, change: impl FnOnce(&mut State)) {
        let both = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            match (state.made.take(), state.durable.take()) {
                (Some(made), Some(durable)) => Some((made, durable)),
                (made, durable) => {
                    *state = State { made, durable };
                    None
                }
            }
        };
        if let Some((made, durable)) = both {
            let result = durable.map_err(SignerError::Journal).and(made);
            self.answers.send(&Response { id: self.id, result });
        }
    }
}
