//! Building the emulated card of a server's card.

use openpgp_card_emu::{AlgorithmAttributes, Card, CardProfile, Curve, KeySlot, PinPolicy, PublicKey};
use sealcard_api::{
    algorithm::{self, Scheme},
    cards,
};

use super::Slot;

/// A card of the server that can't be an OpenPGP card. Retrying can't help; running `sealcard sync` may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has facts that no OpenPGP card can hold")]
pub struct EmulationError;

/// The card with these facts: public keys, fingerprints and names, no password (the server decides about each use).
///
/// # Errors
/// If a creation time does not fit a card.
pub fn emulate(facts: &cards::Card, slots: &[Slot]) -> Result<Card, EmulationError> {
    let mut profile = CardProfile::new(facts.serial.0);
    profile.cardholder = cardholder(&facts.user_id);
    profile.signature_counter = u32::try_from(facts.signatures).unwrap_or(u32::MAX);
    profile.pin_policy = PinPolicy::NotRequired;
    for slot in slots {
        let key = key_slot(slot)?;
        match slot.number {
            1 => profile.sign = Some(key),
            2 => profile.decrypt = Some(key),
            _ => profile.authenticate = Some(key),
        }
    }
    Ok(Card::new(profile))
}

/// `Surname<<Given<Names` (ISO/IEC 7501-1), at most 39 ASCII characters, from an OpenPGP user id.
pub(crate) fn cardholder(user_id: &str) -> String {
    let name = user_id.split(['<', '(']).next().unwrap_or_default();
    let words: Vec<String> = name
        .split_whitespace()
        .map(|word| word.chars().filter(char::is_ascii_graphic).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    let mut text = match words.split_last() {
        None => return String::new(),
        Some((surname, [])) => surname.clone(),
        Some((surname, given)) => format!("{surname}<<{}", given.join("<")),
    };
    text.truncate(39);
    text
}

fn key_slot(slot: &Slot) -> Result<KeySlot, EmulationError> {
    let created = u32::try_from(slot.component.created.unix()).map_err(|_| EmulationError)?;
    let attributes = match slot.component.algorithm.scheme() {
        Scheme::Rsa { .. } => AlgorithmAttributes::rsa(u16::try_from(slot.modulus_bits()).map_err(|_| EmulationError)?),
        Scheme::Ecdsa(curve) => AlgorithmAttributes::Ecdsa(card_curve(curve)),
        Scheme::Ecdh(curve) => AlgorithmAttributes::Ecdh(card_curve(curve)),
        Scheme::Eddsa => AlgorithmAttributes::EdDsa(Curve::Ed25519),
    };
    let public_key = match &slot.component.public_key {
        algorithm::PublicKey::Rsa { n, e } => PublicKey::Rsa { n: n.0.clone(), e: e.0.clone() },
        algorithm::PublicKey::Ec { point, .. } => PublicKey::Point(point.0.clone()),
    };
    Ok(KeySlot::new(attributes, public_key, slot.component.fingerprint.0, created))
}

const fn card_curve(curve: algorithm::Curve) -> Curve {
    match curve {
        algorithm::Curve::NistP256 => Curve::P256,
        algorithm::Curve::NistP384 => Curve::P384,
        algorithm::Curve::NistP521 => Curve::P521,
        algorithm::Curve::Ed25519 => Curve::Ed25519,
        algorithm::Curve::Cv25519 => Curve::X25519,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn user_ids_become_cardholders() {
        assert_eq!(cardholder("Jane Mary Doe <jane@example.org>"), "Doe<<Jane<Mary");
        assert_eq!(cardholder("Release (signing) <r@example.org>"), "Release");
        assert_eq!(cardholder("<r@example.org>"), "");
    }

    proptest! {
        #[test]
        fn a_cardholder_fits_its_data_object(user_id: String) {
            let name = cardholder(&user_id);
            prop_assert!(name.len() <= 39 && name.is_ascii());
        }
    }
}
