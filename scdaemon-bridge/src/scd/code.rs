//! The numbers of gpg-error that this program sends.

use std::fmt;

/// A code of libgpg-error. The source "SCD" is added when it is sent; the text is for logs, because libassuan throws
/// away what stands behind the number and gpg prints its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    code: u32,
    text: &'static str,
}

/// `GPG_ERR_SOURCE_SCD << 24`.
const SOURCE_SCD: u32 = 6 << 24;

impl Code {
    /// The number of an `ERR` line.
    #[must_use]
    pub const fn number(self) -> u32 {
        SOURCE_SCD | self.code
    }

    /// The code without its source.
    #[must_use]
    pub const fn code(self) -> u32 {
        self.code
    }

    /// What gpg prints for it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.text
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code, self.text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

macro_rules! codes {
    ($($name:ident, $code:literal, $text:literal;)*) => {
        #[allow(missing_docs)]
        impl Code {
            $(pub const $name: Self = Self { code: $code, text: $text };)*

            /// Every code that is ever sent.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

codes! {
    GENERAL, 1, "General error";
    DIGEST_ALGO, 5, "Invalid digest algorithm";
    NO_SECKEY, 17, "No secret key";
    NOT_FOUND, 27, "Not found";
    BAD_CERT, 36, "Bad certificate";
    NETWORK, 48, "Network error";
    UNKNOWN_HOST, 49, "Unknown host";
    UNUSABLE_SECKEY, 54, "Unusable secret key";
    INV_VALUE, 55, "Invalid value";
    NOT_SUPPORTED, 60, "Not supported";
    TIMEOUT, 62, "Timeout";
    TOO_LARGE, 67, "Provided object is too large";
    INV_RESPONSE, 76, "Invalid response";
    INV_NAME, 88, "Invalid name";
    CERT_REVOKED, 94, "Certificate revoked";
    CARD, 108, "Card error";
    CARD_REMOVED, 110, "Card removed";
    CARD_NOT_PRESENT, 112, "Card not present";
    CONFIGURATION, 115, "Configuration error";
    INV_ID, 118, "Invalid ID";
    UNSUPPORTED_OPERATION, 124, "Unsupported operation";
    WRONG_KEY_USAGE, 125, "Wrong key usage";
    DECRYPT_FAILED, 152, "Decryption failed";
    KEY_EXPIRED, 153, "Key expired";
    NOT_LOCKED, 167, "Not locked";
    LOCKED, 173, "Locked";
    NOT_OPERATIONAL, 176, "Not operational";
    FORBIDDEN, 251, "Forbidden";
    KEY_DISABLED, 252, "Key disabled";
    FALSE, 256, "False";
    LINE_TOO_LONG, 263, "Line passed to IPC too long";
    UNEXPECTED_COMMAND, 274, "Unexpected IPC command";
    UNKNOWN_COMMAND, 275, "Unknown IPC command";
    SYNTAX, 276, "IPC syntax error";
    CANCELED, 277, "IPC call has been cancelled";
    PARAMETER, 280, "IPC parameter error";
    TRY_LATER, 312, "Try again later";
    NO_AUTH, 314, "Not authenticated";
    ECONNREFUSED, 32793, "Connection refused";
    ENETUNREACH, 32842, "Network is unreachable";
    ENODEV, 32848, "No such device";
    ETIMEDOUT, 32900, "Connection timed out";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_libgpg_error() {
        assert_eq!(Code::FORBIDDEN.number(), 100_663_547);
        assert_eq!(Code::NO_AUTH.number(), 100_663_610);
        assert_eq!(Code::NETWORK.number(), 100_663_344);
        assert_eq!(Code::ECONNREFUSED.number(), 100_696_089);
        assert_eq!(Code::ENODEV.number(), 100_696_144);
        assert_eq!(Code::UNKNOWN_COMMAND.number(), 100_663_571);
        let mut seen = std::collections::BTreeSet::new();
        assert!(Code::ALL.iter().all(|code| seen.insert(code.code())));
    }
}
