//! INTERNAL AUTHENTICATE (section 7.2.13).

use iso7816::Status;

use super::{Outcome, sign};
use crate::state::{Access, State};
use crate::{Card, KeyOperation};

pub(super) fn internal(card: &Card, state: &State, data: &[u8]) -> Result<Outcome, Status> {
    Access::Pw1Other.check(card, state)?;
    let slot = state.environment.authenticate;
    let key = card.slot(slot).ok_or(Status::KeyReferenceNotFound)?;
    let (input, signature_bytes) = sign::input(key, data)?;
    let operation = KeyOperation::Authenticate { slot, input };
    Ok(Outcome::Operation { operation, answer_bytes: Some(signature_bytes) })
}
