//! MANAGE SECURITY ENVIRONMENT (section 7.2.18).

use iso7816::Status;

use super::Outcome;
use crate::state::State;
use crate::{Slot, tlv};

/// Lets the commands of a role use the decryption or the authentication key, until the next SELECT.
pub(super) fn choose(state: &mut State, role: Slot, data: &[u8]) -> Result<Outcome, Status> {
    let slot = match tlv::only(data, 0x83) {
        Some([2]) => Slot::Decrypt,
        Some([3]) => Slot::Authenticate,
        _ => return Err(Status::IncorrectDataParameter),
    };
    match role {
        Slot::Decrypt => state.environment.decipher = slot,
        Slot::Authenticate => state.environment.authenticate = slot,
        Slot::Sign => return Err(Status::WrongParameters),
    }
    Outcome::success()
}
