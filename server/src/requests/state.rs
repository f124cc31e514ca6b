//! Which state of a request follows which: a pure function.

use sealcard_api::record::RequestState as State;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Policy allows it: the intent is recorded and the signer is asked.
    Allow,
    /// Policy denies it.
    Deny,
    /// The server refuses it before the signer is asked: it is too busy.
    Refuse,
    /// Policy demands something that is not there yet.
    Demand,
    /// What policy demanded is there.
    Approve,
    /// An approver refuses.
    Reject,
    /// The demand was not met in time.
    Expire,
    /// The requester gives up.
    Cancel,
    /// The key was used, and what it made is good.
    Succeed,
    /// The signer did not use the key, or what it made was thrown away.
    Fail,
    /// It is not known whether the key was used.
    Lose,
    /// The request came again, and nothing can be given for it.
    Repeat,
}

impl Input {
    /// All inputs.
    pub const ALL: [Self; 12] = [
        Self::Allow,
        Self::Deny,
        Self::Refuse,
        Self::Demand,
        Self::Approve,
        Self::Reject,
        Self::Expire,
        Self::Cancel,
        Self::Succeed,
        Self::Fail,
        Self::Lose,
        Self::Repeat,
    ];
}

/// The state after `input`, or none if the input is not possible in this state.
#[must_use]
pub const fn next(state: State, input: Input) -> Option<State> {
    use State::{Approved, Cancelled, Denied, Expired, Failed, Received, Rejected, Signed, Signing, Unknown, Waiting};
    Some(match (state, input) {
        // Approvals and waiting end in a new decision, never in a signature.
        (Received | Approved, Input::Allow) => Signing,
        // Rules may change while a request waits.
        (Received | Waiting | Approved, Input::Deny) => Denied,
        (Received | Approved, Input::Refuse) => Failed,
        (Received | Approved, Input::Demand) => Waiting,
        (Waiting, Input::Approve) => Approved,
        (Waiting, Input::Reject) => Rejected,
        (Waiting | Approved, Input::Expire) => Expired,
        (Waiting | Approved, Input::Cancel) => Cancelled,
        (Signing, Input::Succeed) => Signed,
        (Signing, Input::Fail) => Failed,
        (Signing, Input::Lose) => Unknown,
        // `Signed` only if the result was not kept, as for a decryption. `Unknown` never: the key may have been used.
        (Denied | Failed | Signed | Rejected | Expired | Cancelled, Input::Repeat) => Received,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// The states that a request goes through.
    fn walk(inputs: &[Input]) -> Vec<State> {
        let mut states = vec![State::Received];
        for input in inputs {
            let last = states.last().copied().unwrap_or(State::Received);
            states.extend(next(last, *input));
        }
        states
    }

    proptest! {
        #[test]
        fn key_is_used_only_after_a_decision(inputs in vec(select(Input::ALL.to_vec()), 0..40)) {
            let states = walk(&inputs);
            for (before, after) in states.iter().zip(states.iter().skip(1)) {
                let possible = match after {
                    State::Signing => matches!(before, State::Received | State::Approved),
                    State::Signed | State::Unknown => *before == State::Signing,
                    State::Approved => *before == State::Waiting,
                    _ => true,
                };
                prop_assert!(possible, "{states:?}");
            }
        }

        #[test]
        fn unknown_request_never_goes_on(inputs in vec(select(Input::ALL.to_vec()), 0..40)) {
            let states = walk(&inputs);
            let unknown = states.iter().position(|state| *state == State::Unknown);
            prop_assert!(unknown.is_none_or(|at| at + 1 == states.len()), "{states:?}");
        }

        #[test]
        fn final_state_is_left_only_by_a_repetition(
            state in select(State::ALL.to_vec()),
            input in select(Input::ALL.to_vec()),
        ) {
            if state.is_final() && input != Input::Repeat {
                prop_assert_eq!(next(state, input), None);
            }
            if !state.is_final() {
                prop_assert_eq!(next(state, Input::Repeat), None);
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_every_open_state_has_an_end() {
        let mut reached = HashSet::from([State::Received]);
        let mut open = vec![State::Received];
        while let Some(state) = open.pop() {
            open.extend(
                Input::ALL.iter().filter_map(|input| next(state, *input)).filter(|state| reached.insert(*state)),
            );
        }
        assert_eq!(reached, State::ALL.into_iter().collect());
        for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
            assert!(Input::ALL.iter().any(|input| next(state, *input).is_some_and(State::is_final)), "{state:?}");
        }
    }
}
