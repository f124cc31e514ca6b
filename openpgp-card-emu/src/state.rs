//! What a session has verified and chosen, and what that allows.

use iso7816::Status;

use crate::{Card, PinPolicy, Slot};

/// What a session has verified and chosen; SELECT puts it back.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The OpenPGP application is selected.
    pub(crate) selected: bool,
    /// Passwords verified.
    pub(crate) verified: Verified,
    /// Keys chosen by MANAGE SECURITY ENVIRONMENT.
    pub(crate) environment: Environment,
    /// Occurrence of 7F21 that GET DATA gives.
    pub(crate) certificate: CertificatePosition,
}

/// Which passwords are verified.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Verified {
    /// PW1 in mode 81, for signatures.
    pub(crate) pw1_sign: bool,
    /// PW1 in mode 82, for the rest.
    pub(crate) pw1_other: bool,
    /// PW3.
    pub(crate) pw3: bool,
}

/// Which key each command uses (section 7.2.18).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    /// PSO: DECIPHER.
    pub(crate) decipher: Slot,
    /// INTERNAL AUTHENTICATE.
    pub(crate) authenticate: Slot,
}

impl Default for Environment {
    fn default() -> Self {
        Self { decipher: Slot::Decrypt, authenticate: Slot::Authenticate }
    }
}

/// Where GET DATA and GET NEXT DATA are among the certificates.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct CertificatePosition {
    /// Chosen by SELECT DATA.
    pub(crate) selected: u8,
    /// Given last, if any.
    pub(crate) given: Option<u8>,
}

/// Whether a session may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everyone may.
    Always,
    /// Who verified PW1 in mode 81.
    Pw1Sign,
    /// Who verified PW1 in mode 82.
    Pw1Other,
    /// Who verified PW3.
    Pw3,
    /// Nobody.
    Never,
}

impl Access {
    pub(crate) fn check(self, card: &Card, state: &State) -> Result<(), Status> {
        let no_pin = matches!(card.profile().pin_policy, PinPolicy::NotRequired);
        let allowed = match self {
            Self::Always => true,
            Self::Pw1Sign => no_pin || state.verified.pw1_sign,
            Self::Pw1Other => no_pin || state.verified.pw1_other,
            Self::Pw3 => state.verified.pw3,
            Self::Never => false,
        };
        if allowed { Ok(()) } else { Err(Status::SecurityStatusNotSatisfied) }
    }
}
