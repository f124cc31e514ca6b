//! A token and its PIN.

use parking_lot::Mutex;
use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole};
use sealcard_signer_protocol::{
    Input, KeyEvidence, KeyLocator, ResponseBody, SignerError, StoreState, StoredKey, TokenReport,
};
use uuid::Uuid;

use crate::{
    control::{PinUse, Taken},
    log::{self, Level},
    os,
    pkcs11::{
        Token, TokenError,
        config::{Pin, TokenConfig},
    },
};

/// The exit status of a worker whose module hangs.
const HUNG: i32 = 5;

/// The token of the worker, or why it is not there.
pub(super) struct TokenKeys {
    token: Result<Token, String>,
    pin: Mutex<Option<(Pin, PinUse)>>,
    fatal_error: Mutex<Option<String>>,
}

impl TokenKeys {
    /// Loads the module and finds the token.
    pub(super) fn open(config: &TokenConfig) -> Self {
        let token = Token::open(config, |timed_out| {
            let seconds = timed_out.deadline.as_secs();
            log::event(Level::Error, "module-hangs", &[("in", &timed_out.what), ("seconds", &seconds)]);
            // A call can't be cancelled; whoever waits for an answer learns that there is none.
            os::end_at_once(HUNG);
        });
        match &token {
            Ok(token) => {
                let (label, serial) = token.name();
                log::event(Level::Info, "token-found", &[("label", &label), ("serial", &serial)]);
            }
            Err(error) => log::event(Level::Warn, "token-absent", &[("why", &error)]),
        }
        let token = token.map_err(|TokenError { error, .. }| match error {
            SignerError::TokenAbsent(why) => why,
            other => other.to_string(),
        });
        Self { token, pin: Mutex::default(), fatal_error: Mutex::default() }
    }

    /// Whether there is no token; a later worker may find it.
    pub(super) fn is_absent(&self) -> bool {
        self.token.is_err()
    }

    /// How many threads can use it at once.
    pub(super) fn sessions(&self) -> usize {
        self.token.as_ref().map_or(1, Token::sessions)
    }

    pub(super) fn state(&self) -> StoreState {
        match &self.token {
            Err(why) => StoreState::Absent(why.clone()),
            Ok(token) if token.is_unlocked() => StoreState::Open,
            Ok(_) if self.pin.lock().is_some() => StoreState::Locked,
            Ok(_) => StoreState::Sealed,
        }
    }

    /// Takes the PIN, and uses it if that may be. What came of using it.
    pub(super) fn take(&self, pin: Pin, usage: PinUse) -> Option<Taken> {
        *self.pin.lock() = Some((pin, usage));
        if usage == PinUse::WhenAsked { None } else { Some(self.log_in().1) }
    }

    /// Logs in with the configured PIN, as the server asks: one attempt. What the server is told, and what the keeper
    /// is.
    pub(super) fn unlock(&self) -> (Result<ResponseBody, SignerError>, Taken) {
        let (outcome, taken) = self.log_in();
        (outcome.map(|()| ResponseBody::Unlocked), taken)
    }

    fn log_in(&self) -> (Result<(), SignerError>, Taken) {
        // Held until the token has judged: there is never more than one attempt.
        let mut pin = self.pin.lock();
        let outcome = self.present().and_then(|token| match &*pin {
            None => Err(SignerError::Sealed),
            Some((pin, usage)) => token.unlock(pin, *usage == PinUse::Attended).map_err(|error| self.note(error)),
        });
        let taken = match &outcome {
            Ok(()) => {
                if let Some((_, usage)) = &mut *pin
                    && *usage == PinUse::Attended
                {
                    *usage = PinUse::AtOnce;
                }
                Taken::Fine
            }
            Err(error @ (SignerError::PinRefused { .. } | SignerError::PinNotTried(_))) => {
                *pin = None;
                log::event(Level::Error, "pin-refused", &[("why", error)]);
                Taken::Refused(error.to_string())
            }
            Err(error) => Taken::Later(error.to_string()),
        };
        (outcome, taken)
    }

    pub(super) fn probe(&self) -> Result<TokenReport, SignerError> {
        self.with(Token::probe)
    }

    pub(super) fn knows(&self, row: &StoredKey) -> bool {
        self.token.as_ref().is_ok_and(|token| token.knows(row))
    }

    pub(super) fn admit(&self, row: &StoredKey) -> Result<(), SignerError> {
        self.unlocked()?;
        self.with(|token| token.admit(row))
    }

    pub(super) fn perform(&self, row: &StoredKey, input: Input<'_>) -> Result<ResponseBody, SignerError> {
        self.with(|token| token.perform(row, input))
    }

    pub(super) fn generate(
        &self,
        component: Uuid,
        algorithm: ComponentAlgorithm,
        role: ComponentRole,
    ) -> Result<(StoredKey, KeyEvidence), SignerError> {
        self.unlocked()?;
        self.with(|token| token.generate(component, algorithm, role))
    }

    pub(super) fn adopt(
        &self,
        component: Uuid,
        role: ComponentRole,
        locator: &KeyLocator,
    ) -> Result<(StoredKey, KeyEvidence), SignerError> {
        self.unlocked()?;
        self.with(|token| token.adopt(component, role, locator))
    }

    pub(super) fn destroy(&self, row: &StoredKey) -> Result<(), SignerError> {
        self.unlocked()?;
        self.with(|token| token.destroy(row))
    }

    pub(super) fn discard(&self, component: Uuid, role: ComponentRole) -> Result<(), SignerError> {
        self.unlocked()?;
        self.with(|token| token.discard(component, role))
    }

    /// Why the process can't go on, if the module has said so.
    pub(super) fn fatal_error(&self) -> Option<String> {
        self.fatal_error.lock().clone()
    }

    /// Without a PIN nobody but a person can help, which is another answer than that the server has to ask first.
    fn unlocked(&self) -> Result<(), SignerError> {
        match self.state() {
            StoreState::Sealed => Err(SignerError::Sealed),
            _ => Ok(()),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&Token) -> Result<T, TokenError>) -> Result<T, SignerError> {
        work(self.present()?).map_err(|error| self.note(error))
    }

    fn present(&self) -> Result<&Token, SignerError> {
        self.token.as_ref().map_err(|why| SignerError::TokenAbsent(why.clone()))
    }

    fn note(&self, TokenError { error, fatal }: TokenError) -> SignerError {
        if fatal {
            self.fatal_error.lock().get_or_insert_with(|| error.to_string());
        }
        error
    }
}
