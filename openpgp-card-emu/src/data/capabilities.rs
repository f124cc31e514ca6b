//! What the card says about itself: historical bytes, Extended Capabilities, lengths, features.

use crate::{Card, Slot, UserInteraction};

/// Largest command and response APDU in bytes; 7F66 says so. Chained commands have the same limit in all.
pub(crate) const MAX_APDU_BYTES: usize = 0x4000;

/// Historical bytes (5F52, section 6): card service data and card capabilities, life cycle, status.
pub(crate) const HISTORICAL_BYTES: [u8; 10] = [
    0x00, // category: compact TLV with a status indicator at the end
    0x31, 0xC5, // selection by full and partial name; data via GET DATA; no master file
    0x73, 0xC0, 0x01, 0xE0, // the same selection; byte-wise; command chaining, extended Lc and Le, 7F66 exists
    0x00, 0x90, 0x00, // no life cycle management; 9000
];

/// Extended Capabilities (C0, section 4.4.3.7). A bit is set only for what the card can do.
pub(crate) fn extended_capabilities() -> [u8; 10] {
    let [challenge1, challenge0] = MAX_CHALLENGE_BYTES.to_be_bytes();
    let [certificate1, certificate0] = MAX_CERTIFICATE_BYTES.to_be_bytes();
    let [special1, special0] = u16::try_from(MAX_SPECIAL_BYTES).unwrap_or(u16::MAX).to_be_bytes();
    [
        SUPPORTS_GET_CHALLENGE,
        0x00, // no secure messaging
        challenge1,
        challenge0,
        certificate1,
        certificate0,
        special1,
        special0,
        0x00, // no PIN block of format 2
        0x01, // MANAGE SECURITY ENVIRONMENT for the decryption and authentication keys
    ]
}

/// Extended length information (7F66, section 4.1.3.1): largest command and response APDU.
pub(super) fn extended_length_information() -> Vec<u8> {
    let [high, low] = u16::try_from(MAX_APDU_BYTES).unwrap_or(u16::MAX).to_be_bytes();
    vec![0x02, 0x02, high, low, 0x02, 0x02, high, low]
}

/// General feature management (7F74, section 4.1.3.2): a button where a key's uses need consent, else nothing.
pub(super) fn general_features(card: &Card) -> Vec<u8> {
    let asks = Slot::ALL
        .into_iter()
        .filter_map(|slot| card.slot(slot))
        .any(|key| key.user_interaction != UserInteraction::Off);
    vec![0x81, 0x01, if asks { FEATURE_BUTTON } else { 0x00 }]
}

/// KDF-DO (F9, section 4.3.2): passwords are sent as they are.
pub(super) const KEY_DERIVATION_NONE: [u8; 3] = [0x81, 0x01, 0x00];

/// Largest answer to GET CHALLENGE.
pub(crate) const MAX_CHALLENGE_BYTES: u16 = 0x0400;

/// Longest login data and URL.
pub(super) const MAX_SPECIAL_BYTES: usize = 0x0800;

const MAX_CERTIFICATE_BYTES: u16 = 0x1000;
const SUPPORTS_GET_CHALLENGE: u8 = 0x40;
pub(super) const FEATURE_BUTTON: u8 = 0x20;
