//! GET DATA, GET NEXT DATA and PUT DATA (sections 7.2.6 to 7.2.8).

use iso7816::Status;

use super::Outcome;
use crate::Card;
use crate::data::{self, CERTIFICATE};
use crate::state::{Access, CertificatePosition, State};

/// The value of a data object; for a constructed one its content, without its own tag.
pub(super) fn get(card: &Card, state: &mut State, tag: u16) -> Result<Outcome, Status> {
    let object = data::find(tag).ok_or(Status::KeyReferenceNotFound)?;
    if object.read == Access::Never {
        return Err(Status::KeyReferenceNotFound);
    }
    object.read.check(card, state)?;
    if tag == CERTIFICATE {
        let selected = state.certificate.selected;
        return certificate(card, state, selected);
    }
    // Only a GET DATA of the same object may come before GET NEXT DATA.
    state.certificate.given = None;
    Outcome::done(data::value(card, object))
}

/// The certificate after the one that was given last.
pub(super) fn get_next(card: &Card, state: &mut State, tag: u16) -> Result<Outcome, Status> {
    if tag != CERTIFICATE {
        return Err(Status::KeyReferenceNotFound);
    }
    let given = state.certificate.given.ok_or(Status::ConditionsOfUseNotSatisfied)?;
    certificate(card, state, given.saturating_add(1))
}

/// Refuses to write: to whom may not with 6982, to everyone else with 6985, because the content comes from elsewhere.
pub(super) fn put(card: &Card, state: &State, tag: u16) -> Result<Outcome, Status> {
    let object = data::find(tag).ok_or(Status::KeyReferenceNotFound)?;
    object.write.check(card, state)?;
    Err(Status::ConditionsOfUseNotSatisfied)
}

fn certificate(card: &Card, state: &mut State, occurrence: u8) -> Result<Outcome, Status> {
    let certificate = card.profile().certificates.get(usize::from(occurrence)).ok_or(Status::KeyReferenceNotFound)?;
    state.certificate = CertificatePosition { given: Some(occurrence), ..state.certificate };
    Outcome::done(certificate.as_slice())
}
