//! GENERATE ASYMMETRIC KEY PAIR in its reading form (section 7.2.14).

use iso7816::Status;

use super::Outcome;
use crate::{Card, PublicKey, Slot, tlv};

/// The public key of the slot that the control reference template names: `7F49 { 81 n, 82 e }` or `7F49 { 86 point }`.
pub(super) fn read_public_key(card: &Card, data: &[u8]) -> Result<Outcome, Status> {
    let slot = slot(data).ok_or(Status::IncorrectDataParameter)?;
    let key = card.slot(slot).ok_or(Status::KeyReferenceNotFound)?;
    let mut parts = Vec::new();
    match &key.public_key {
        PublicKey::Rsa { n, e } => {
            tlv::write(&mut parts, 0x81, n);
            tlv::write(&mut parts, 0x82, e);
        }
        PublicKey::Point(point) => tlv::write(&mut parts, 0x86, point),
    }
    let mut template = Vec::new();
    tlv::write(&mut template, 0x7F49, &parts);
    Outcome::done(template)
}

/// `B6 00`, or `B6 03 84 01 01` with the key's number; B8 and A4 likewise.
fn slot(data: &[u8]) -> Option<Slot> {
    let (tag, reference, []) = tlv::read(data)? else { return None };
    let slot = Slot::ALL.into_iter().find(|slot| u16::from(slot.control_reference()) == tag)?;
    (reference.is_empty() || reference == [0x84, 0x01, slot.number()]).then_some(slot)
}
