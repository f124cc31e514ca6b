//! SELECT and SELECT DATA (sections 7.2.1 and 7.2.5).

use iso7816::Status;

use super::Outcome;
use crate::data::CERTIFICATE;
use crate::state::{CertificatePosition, State};
use crate::{Card, tlv};

/// Selects the application by its identifier or a beginning of it, and takes back all that was verified and chosen.
pub(super) fn application(card: &Card, state: &mut State, name: &[u8]) -> Result<Outcome, Status> {
    if name.len() < REGISTERED_IDENTIFIER_BYTES || !card.profile().aid.starts_with(name) {
        return Err(Status::NotFound);
    }
    *state = State { selected: true, ..State::default() };
    Outcome::success()
}

/// Chooses one of the certificates.
pub(super) fn data(state: &mut State, occurrence: u8, data: &[u8]) -> Result<Outcome, Status> {
    // Yubico's clients put the length of what follows in front.
    let reference = match data {
        [length, rest @ ..] if usize::from(*length) == rest.len() => rest,
        all => all,
    };
    let tags = tlv::only(reference, 0x60).and_then(|reference| tlv::only(reference, 0x5C));
    let tags = tags.ok_or(Status::IncorrectDataParameter)?;
    if tags != CERTIFICATE.to_be_bytes() || occurrence > 2 {
        return Err(Status::KeyReferenceNotFound);
    }
    state.certificate = CertificatePosition { selected: occurrence, given: None };
    Outcome::success()
}

/// The shortest beginning of an identifier that names anyone (ISO 7816-4 section 8.2.1.2).
const REGISTERED_IDENTIFIER_BYTES: usize = 5;
