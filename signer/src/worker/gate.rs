//! Nothing leaves before its journal entry is durable.

use std::sync::{Arc, Mutex, PoisonError};

use sealcard_signer_protocol::{Response, ResponseBody, SignerError};

use super::answers::Answers;
use crate::failpoint;

/// Holds what a key made until its entry is durable, whichever is done first.
pub(super) struct Gate {
    id: u64,
    answers: Arc<Answers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: Option<Result<ResponseBody, SignerError>>,
    durable: Option<Result<(), SignerError>>,
}

impl Gate {
    pub(super) fn new(id: u64, answers: Arc<Answers>) -> Self {
        Self { id, answers, state: Mutex::new(State::default()) }
    }

    /// The entry is durable, or can't be made so. [`Answers::flush`] must follow.
    pub(super) fn durable(&self, outcome: Result<(), SignerError>) {
        failpoint::hit("signer::after_journal");
        if let Some(answer) = self.step(|state| state.durable = Some(outcome)) {
            // It goes with those of the other entries that became durable at the same time.
            self.answers.put(&answer);
        }
    }

    /// Whether the entry is safe on the disk by now.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self.state.lock().unwrap_or_else(PoisonError::into_inner).durable, Some(Ok(())))
    }

    /// The operation has ended.
    pub(super) fn made(&self, result: Result<ResponseBody, SignerError>) {
        if let Some(answer) = self.step(|state| state.made = Some(result)) {
            self.answers.send(&answer);
        }
    }

    /// The answer, once both are there.
    fn step(&self, change: impl FnOnce(&mut State)) -> Option<Response> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        match (state.made.take(), state.durable.take()) {
            (Some(made), Some(durable)) => Some(Response { id: self.id, result: durable.and(made) }),
            (made, durable) => {
                *state = State { made, durable };
                None
            }
        }
    }
}
