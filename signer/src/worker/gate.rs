//! Nothing leaves before its journal entry is durable.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use sealcard_signer_protocol::{Response, ResponseBody, SignerError};

use super::answers::Answers;
use crate::failpoint;

/// Holds what a key made until its entry is durable, whichever is done first.
pub(super) struct Gate {
    id: u64,
    answers: Arc<Answers>,
    state: Mutex<State>,
}

/// What came of an operation.
pub(super) struct Made {
    pub(super) result: Result<ResponseBody, SignerError>,
    /// What the use of the key took.
    pub(super) spent: Duration,
    /// How long its caller has to wait for it.
    pub(super) delay: Duration,
}

#[derive(Default)]
struct State {
    made: Option<Made>,
    durable: Option<Result<u64, SignerError>>,
}

impl Gate {
    pub(super) fn new(id: u64, answers: Arc<Answers>) -> Self {
        Self { id, answers, state: Mutex::new(State::default()) }
    }

    /// The entry is durable and has this number, or can't be made so. [`Answers::flush`] must follow.
    pub(super) fn durable(&self, outcome: Result<u64, SignerError>) {
        failpoint::hit("signer::after_journal");
        if let Some(answer) = self.step(|state| state.durable = Some(outcome)) {
            // It goes with those of the other entries that became durable at the same time.
            self.answers.put(&answer);
        }
    }

    /// Whether the entry is safe on the disk by now.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self.state.lock().durable, Some(Ok(_)))
    }

    /// The operation has ended.
    pub(super) fn made(&self, made: impl Into<Made>) {
        let made = made.into();
        if let Some(answer) = self.step(|state| state.made = Some(made)) {
            self.answers.send(&answer);
        }
    }

    /// The answer, once both are there.
    fn step(&self, change: impl FnOnce(&mut State)) -> Option<Response> {
        let mut state = self.state.lock();
        change(&mut state);
        match (state.made.take(), state.durable.take()) {
            (Some(made), Some(durable)) => Some(made.response(self.id, durable)),
            (made, durable) => {
                *state = State { made, durable };
                None
            }
        }
    }
}

impl Made {
    fn response(self, id: u64, durable: Result<u64, SignerError>) -> Response {
        Response {
            id,
            journal: durable.as_ref().ok().copied(),
            result: durable.and(self.result),
            spent_us: u64::try_from(self.spent.as_micros()).unwrap_or(u64::MAX),
            delay_ms: u32::try_from(self.delay.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl From<Result<ResponseBody, SignerError>> for Made {
    fn from(result: Result<ResponseBody, SignerError>) -> Self {
        Self { result, spent: Duration::ZERO, delay: Duration::ZERO }
    }
}
