//! PSO: COMPUTE DIGITAL SIGNATURE (section 7.2.10), and what it has in common with INTERNAL AUTHENTICATE.

use iso7816::Status;

use super::Outcome;
use crate::attributes::AlgorithmAttributes;
use crate::pin::SigningValidity;
use crate::state::{Access, State};
use crate::{Card, KeyOperation, KeySlot, PinPolicy, SignInput, Slot};

pub(super) fn compute(card: &Card, state: &mut State, data: &[u8]) -> Result<Outcome, Status> {
    Access::Pw1Sign.check(card, state)?;
    let key = card.slot(Slot::Sign).ok_or(Status::KeyReferenceNotFound)?;
    let (input, signature_bytes) = input(key, data)?;
    // Used up by the attempt: a failure must not leave a second one.
    if let PinPolicy::Required(passwords) = &card.profile().pin_policy
        && passwords.signing == SigningValidity::OneSignature
    {
        state.verified.pw1_sign = false;
    }
    Ok(Outcome::Operation { operation: KeyOperation::Sign(input), answer_bytes: Some(signature_bytes) })
}

/// What is to be signed, by the kind of key, and the signature's length in bytes.
pub(super) fn input(key: &KeySlot, data: &[u8]) -> Result<(SignInput, usize), Status> {
    if data.is_empty() {
        return Err(Status::WrongLength);
    }
    match key.attributes {
        AlgorithmAttributes::Rsa { modulus_bits, .. } => {
            let modulus_bytes = usize::from(modulus_bits).div_ceil(8);
            // At most 40 % of the modulus: the rest is padding.
            if data.len().saturating_mul(5) > modulus_bytes.saturating_mul(2) {
                return Err(Status::WrongLength);
            }
            Ok((SignInput::DigestInfo(data.to_vec()), modulus_bytes))
        }
        AlgorithmAttributes::Ecdsa(curve) => {
            if !DIGEST_BYTES.contains(&data.len()) {
                return Err(Status::WrongLength);
            }
            Ok((SignInput::Digest(data.to_vec()), curve.field_bytes().saturating_mul(2)))
        }
        AlgorithmAttributes::EdDsa(curve) => {
            Ok((SignInput::Message(data.to_vec()), curve.field_bytes().saturating_mul(2)))
        }
        AlgorithmAttributes::Ecdh(_) => Err(Status::ConditionsOfUseNotSatisfied),
    }
}

/// From SHA-1 to SHA-512. Which of them may be signed is for the key's holder to say.
const DIGEST_BYTES: std::ops::RangeInclusive<usize> = 20..=64;
