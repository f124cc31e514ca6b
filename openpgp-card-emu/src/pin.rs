//! Whether the card asks for passwords, and the passwords themselves (section 4.3).

use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Whether a session must verify a password before it may use a key.
#[derive(Debug, Clone)]
pub enum PinPolicy {
    /// The card asks for none: whoever holds the private key decides about each use. VERIFY of PW1 succeeds with any
    /// value; PW3 is blocked, because nothing on the card can be administered.
    NotRequired,
    /// The card compares passwords itself.
    Required(Passwords),
}

/// A card's passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    /// PW1, the user's password.
    pub pw1: Password,
    /// PW3, the administrator's.
    pub pw3: Password,
    /// For how long a verified PW1 (mode 81) lets a session sign: first byte of data object C4.
    pub signing: SigningValidity,
}

/// How many signatures one VERIFY of PW1 (mode 81) allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningValidity {
    /// One.
    OneSignature,
    /// Any number, until the session ends or logs out.
    Session,
}

/// One password and how often it may still be tried.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Password {
    /// Padded with zeroes, so that a comparison takes the same time whatever the lengths are; on the heap, so that a
    /// moved password leaves no copy on the stack.
    padded: Box<[u8; MAX_PASSWORD_BYTES]>,
    length: u8,
    tries_left: u8,
}

impl Password {
    /// A password with all its tries.
    ///
    /// # Errors
    /// [`PasswordTooLongError`] over 127 bytes.
    pub fn new(value: &[u8]) -> Result<Self, PasswordTooLongError> {
        let (padded, length) = pad(value).ok_or(PasswordTooLongError)?;
        Ok(Self { padded, length, tries_left: MAX_TRIES })
    }

    /// How many wrong tries are left before the password is blocked: 0 to 3.
    pub fn tries_left(&self) -> u8 {
        self.tries_left
    }

    /// Sets the retry counter that an earlier run of this card had; more than 3 counts as 3.
    #[must_use]
    pub fn with_tries_left(mut self, tries: u8) -> Self {
        self.tries_left = tries.min(MAX_TRIES);
        self
    }

    /// Compares in constant time and keeps the retry counter.
    pub(crate) fn verify(&mut self, candidate: &[u8]) -> Verification {
        if self.tries_left == 0 {
            return Verification::Blocked;
        }
        // Counted down before the comparison, so that no way out of here leaves a wrong try uncounted.
        self.tries_left = self.tries_left.saturating_sub(1);
        // What is too long is compared as an empty value of impossible length: wrong, in the same time.
        let (mut padded, length) = pad(candidate).unwrap_or((Box::new([0; MAX_PASSWORD_BYTES]), u8::MAX));
        let equal = self.padded.as_slice().ct_eq(padded.as_slice()) & self.length.ct_eq(&length);
        padded.zeroize();
        self.tries_left.conditional_assign(&MAX_TRIES, equal);
        if bool::from(equal) { Verification::Correct } else { Verification::Wrong { tries_left: self.tries_left } }
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").field("tries_left", &self.tries_left).finish_non_exhaustive()
    }
}

/// Longer than the 127 bytes that a card stores. A retry never helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a card's password has at most 127 bytes")]
pub struct PasswordTooLongError;

/// What a comparison gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    Correct,
    Wrong { tries_left: u8 },
    Blocked,
}

fn pad(value: &[u8]) -> Option<(Box<[u8; MAX_PASSWORD_BYTES]>, u8)> {
    let mut padded = Box::new([0; MAX_PASSWORD_BYTES]);
    padded.get_mut(..value.len())?.copy_from_slice(value);
    Some((padded, u8::try_from(value.len()).ok()?))
}

/// Longest password in bytes; what data object C4 says.
pub(crate) const MAX_PASSWORD_BYTES: usize = 127;

/// Wrong tries until a password is blocked.
pub(crate) const MAX_TRIES: u8 = 3;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_right_password_restores_the_counter() {
        let mut password = Password::new(b"123456").unwrap();
        assert_eq!(password.verify(b"123457"), Verification::Wrong { tries_left: 2 });
        assert_eq!(password.verify(b"123456"), Verification::Correct);
        assert_eq!(password.tries_left(), 3);
    }

    #[test]
    fn after_three_wrong_tries_even_the_right_password_is_refused() {
        let mut password = Password::new(b"123456").unwrap();
        for tries_left in [2, 1, 0] {
            assert_eq!(password.verify(b"x"), Verification::Wrong { tries_left });
        }
        assert_eq!(password.verify(b"123456"), Verification::Blocked);
    }

    #[test]
    fn padding_is_not_part_of_a_password() {
        let mut password = Password::new(b"123456").unwrap();
        assert_eq!(password.verify(b"123456\0"), Verification::Wrong { tries_left: 2 });
        assert_eq!(password.verify(&[0; 200]), Verification::Wrong { tries_left: 1 });
        assert!(Password::new(&[b'1'; 128]).is_err());
    }

    #[test]
    fn debug_output_does_not_show_the_password() {
        assert!(!format!("{:?}", Password::new(b"123456").unwrap()).contains("49"));
    }
}
