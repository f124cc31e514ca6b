//! How people compare a signer's key.

use std::{fmt, str::FromStr};

/// SHA-256 of a [`super::RecipientKey`], written as pairs of upper-case hexadecimal digits with colons between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyFingerprint(pub [u8; 32]);

/// Not a fingerprint. Retrying can't help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, with or without colons between them")]
pub struct FingerprintError;

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl FromStr for KeyFingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        if digits.len() != 64 {
            return Err(FingerprintError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return Err(FingerprintError) };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

const fn digit(byte: u8) -> Result<u8, FingerprintError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(FingerprintError),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fingerprints_survive_their_text(bytes: [u8; 32]) {
            let text = KeyFingerprint(bytes).to_string();
            prop_assert_eq!(text.len(), 95);
            for form in [text.clone(), text.replace(':', ""), text.to_lowercase()] {
                prop_assert_eq!(form.parse::<KeyFingerprint>().unwrap(), KeyFingerprint(bytes));
            }
        }

        #[test]
        fn other_text_is_refused(text: String) {
            if let Ok(fingerprint) = text.parse::<KeyFingerprint>() {
                prop_assert_eq!(fingerprint.to_string().replace(':', ""), text.replace(':', "").to_uppercase());
            }
        }
    }
}
