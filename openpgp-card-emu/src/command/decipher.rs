//! PSO: DECIPHER (section 7.2.11).

use iso7816::Status;

use super::Outcome;
use crate::attributes::{AlgorithmAttributes, Curve, CurveKind};
use crate::state::{Access, State};
use crate::{Card, KeyOperation, tlv};

pub(super) fn decipher(card: &Card, state: &State, data: &[u8]) -> Result<Outcome, Status> {
    Access::Pw1Other.check(card, state)?;
    let slot = state.environment.decipher;
    let key = card.slot(slot).ok_or(Status::KeyReferenceNotFound)?;
    let (ciphertext, answer_bytes) = match key.attributes {
        AlgorithmAttributes::Rsa { modulus_bits, .. } => {
            (rsa_cryptogram(data, usize::from(modulus_bits).div_ceil(8))?, None)
        }
        AlgorithmAttributes::Ecdh(curve) => (ephemeral_point(data, curve)?, Some(curve.field_bytes())),
        AlgorithmAttributes::Ecdsa(_) | AlgorithmAttributes::EdDsa(_) => {
            return Err(Status::ConditionsOfUseNotSatisfied);
        }
    };
    Ok(Outcome::Operation { operation: KeyOperation::Decipher { slot, ciphertext }, answer_bytes })
}

/// `00 || cryptogram`. A number that lost leading zeroes on its way gets them back.
fn rsa_cryptogram(data: &[u8], modulus_bytes: usize) -> Result<Vec<u8>, Status> {
    let [PADDING_RSA, number @ ..] = data else { return Err(Status::IncorrectDataParameter) };
    let missing = modulus_bytes.checked_sub(number.len()).ok_or(Status::IncorrectDataParameter)?;
    if number.is_empty() {
        return Err(Status::IncorrectDataParameter);
    }
    let mut cryptogram = vec![0; missing];
    cryptogram.extend(number);
    Ok(cryptogram)
}

/// `A6 { 7F49 { 86 point } }`.
fn ephemeral_point(data: &[u8], curve: Curve) -> Result<Vec<u8>, Status> {
    let point = tlv::only(data, 0xA6)
        .and_then(|template| tlv::find(template, 0x7F49))
        .and_then(|key| tlv::find(key, 0x86))
        .ok_or(Status::IncorrectDataParameter)?;
    let point = match (curve.kind(), point) {
        // OpenPGP's mark for a bare point; a host that forgot to take it off is understood.
        (CurveKind::Montgomery, [0x40, bare @ ..]) if bare.len() == curve.point_bytes() => bare,
        (CurveKind::Weierstrass, [0x04, ..]) | (CurveKind::Montgomery, _) => point,
        _ => return Err(Status::IncorrectDataParameter),
    };
    if point.len() != curve.point_bytes() {
        return Err(Status::IncorrectDataParameter);
    }
    Ok(point.to_vec())
}

/// Padding indicator byte of an RSA cryptogram.
const PADDING_RSA: u8 = 0x00;
