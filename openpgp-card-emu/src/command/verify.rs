//! VERIFY (section 7.2.2): compare a password, ask how things stand, log out.

use iso7816::Status;

use super::Outcome;
use super::parse::PasswordMode;
use crate::pin::{Password, Passwords, Verification};
use crate::state::State;
use crate::{Card, PinPolicy};

/// Compares a password; without data only says whether it is verified.
pub(super) fn verify(
    card: &mut Card,
    state: &mut State,
    mode: PasswordMode,
    candidate: &[u8],
) -> Result<Outcome, Status> {
    let passwords = match card.pin_policy_mut() {
        PinPolicy::Required(passwords) => passwords,
        PinPolicy::NotRequired if mode == PasswordMode::Pw3 => return Err(Status::OperationBlocked),
        PinPolicy::NotRequired => return Outcome::success(),
    };
    let password = password_mut(passwords, mode);
    if candidate.is_empty() {
        return if *verified_mut(state, mode) {
            Outcome::success()
        } else {
            Err(Status::RemainingRetries(password.tries_left()))
        };
    }
    match password.verify(candidate) {
        Verification::Correct => {
            *verified_mut(state, mode) = true;
            Outcome::success()
        }
        Verification::Wrong { tries_left } => {
            *verified_mut(state, mode) = false;
            Err(Status::RemainingRetries(tries_left))
        }
        Verification::Blocked => {
            *verified_mut(state, mode) = false;
            Err(Status::OperationBlocked)
        }
    }
}

/// Makes a password unverified. A card that asks for none has nothing to take back.
pub(super) fn log_out(card: &Card, state: &mut State, mode: PasswordMode, data: &[u8]) -> Result<Outcome, Status> {
    if !data.is_empty() {
        return Err(Status::WrongLength);
    }
    if let PinPolicy::Required(_) = card.profile().pin_policy {
        *verified_mut(state, mode) = false;
    }
    Outcome::success()
}

fn password_mut(passwords: &mut Passwords, mode: PasswordMode) -> &mut Password {
    match mode {
        PasswordMode::Pw1Sign | PasswordMode::Pw1Other => &mut passwords.pw1,
        PasswordMode::Pw3 => &mut passwords.pw3,
    }
}

fn verified_mut(state: &mut State, mode: PasswordMode) -> &mut bool {
    match mode {
        PasswordMode::Pw1Sign => &mut state.verified.pw1_sign,
        PasswordMode::Pw1Other => &mut state.verified.pw1_other,
        PasswordMode::Pw3 => &mut state.verified.pw3,
    }
}
