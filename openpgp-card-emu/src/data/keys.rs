//! Objects that describe the keys: fingerprints, dates, origin, user interaction, signature counter.

use super::capabilities::FEATURE_BUTTON;
use crate::attributes::AlgorithmAttributes;
use crate::{Card, Slot, UserInteraction};

/// Algorithm attributes (C1, C2, C3); an empty slot has those of a new card.
pub(super) fn attributes(card: &Card, slot: Slot) -> AlgorithmAttributes {
    card.slot(slot).map(|key| key.attributes).unwrap_or_default()
}

/// Fingerprints (C5): three of 20 bytes, zeroes for an empty slot.
pub(super) fn fingerprints(card: &Card) -> Vec<u8> {
    Slot::ALL.into_iter().flat_map(|slot| card.slot(slot).map_or([0; 20], |key| key.fingerprint)).collect()
}

/// Creation times (CD): three of four bytes, seconds since 1970, zeroes for an empty slot.
pub(super) fn dates(card: &Card) -> Vec<u8> {
    Slot::ALL.into_iter().flat_map(|slot| card.slot(slot).map_or(0, |key| key.created).to_be_bytes()).collect()
}

/// Key information (DE, section 4.4.3.8): number and origin of each key.
pub(super) fn information(card: &Card) -> Vec<u8> {
    let origin = |slot| if card.slot(slot).is_some() { ORIGIN_GENERATED } else { ORIGIN_NONE };
    Slot::ALL.into_iter().flat_map(|slot| [slot.number(), origin(slot)]).collect()
}

/// User interaction flag (D6, D7, D8, section 4.4.3.6) and the feature that it uses.
pub(super) fn user_interaction(card: &Card, slot: Slot) -> [u8; 2] {
    match card.slot(slot).map_or(UserInteraction::Off, |key| key.user_interaction) {
        UserInteraction::Off => [0x00, FEATURE_BUTTON],
        UserInteraction::On => [0x01, FEATURE_BUTTON],
        UserInteraction::Permanent => [0x02, FEATURE_BUTTON],
    }
}

/// Digital signature counter (93): three bytes.
pub(super) fn signature_counter(card: &Card) -> Vec<u8> {
    let [_, counter @ ..] = card.signature_counter().to_be_bytes();
    counter.to_vec()
}

const ORIGIN_NONE: u8 = 0;
const ORIGIN_GENERATED: u8 = 1;
