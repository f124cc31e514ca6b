//! PW status bytes (C4, section 4.3.4).

use crate::pin::{MAX_PASSWORD_BYTES, MAX_TRIES, SigningValidity};
use crate::{Card, PinPolicy};

/// Validity of PW1 · longest PW1, resetting code, PW3 · tries left of the same three.
pub(super) fn encode(card: &Card) -> [u8; 7] {
    let (validity, tries_pw1, tries_pw3) = match &card.profile().pin_policy {
        // There is no PW3: nobody administers such a card.
        PinPolicy::NotRequired => (VALID_FOR_SESSION, MAX_TRIES, 0),
        PinPolicy::Required(passwords) => {
            let validity = match passwords.signing {
                SigningValidity::OneSignature => VALID_FOR_ONE_SIGNATURE,
                SigningValidity::Session => VALID_FOR_SESSION,
            };
            (validity, passwords.pw1.tries_left(), passwords.pw3.tries_left())
        }
    };
    let longest = u8::try_from(MAX_PASSWORD_BYTES).unwrap_or(u8::MAX);
    // No resetting code is stored: no tries.
    [validity, longest, longest, longest, tries_pw1, 0, tries_pw3]
}

const VALID_FOR_ONE_SIGNATURE: u8 = 0x00;
const VALID_FOR_SESSION: u8 = 0x01;
