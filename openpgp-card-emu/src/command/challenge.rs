//! GET CHALLENGE (section 7.2.15).

use iso7816::Status;

use super::Outcome;
use crate::data::MAX_CHALLENGE_BYTES;

/// Asks the caller for as many random bytes as the host expects.
pub(super) fn get(expected: usize) -> Result<Outcome, Status> {
    if expected == 0 || expected > usize::from(MAX_CHALLENGE_BYTES) {
        return Err(Status::WrongLength);
    }
    Ok(Outcome::Random { bytes: expected })
}
