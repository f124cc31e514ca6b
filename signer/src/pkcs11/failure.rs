//! Why a token did not do what it was asked.

use cryptoki::{
    context::Function,
    error::{Error, RvError},
};
use sealcard_signer_protocol::SignerError;

use super::codes::{self, Class};

/// What the server is told, and whether this process can go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct TokenError {
    /// For the answer.
    pub error: SignerError,
    /// The module can't be trusted any more: the worker must be replaced. What it said last is no more than a reason.
    pub fatal: bool,
}

impl TokenError {
    pub(super) const fn fatal(error: SignerError) -> Self {
        Self { error, fatal: true }
    }

    /// A refused PIN, with what the token says of it.
    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        if let SignerError::PinRefused { code } = &mut self.error
            && !hint.is_empty()
        {
            *code = format!("{code}; {hint}");
        }
        self
    }
}

impl From<SignerError> for TokenError {
    fn from(error: SignerError) -> Self {
        Self { error, fatal: false }
    }
}

/// What a call into the module gave, before it is decided what becomes of it.
#[derive(Debug, thiserror::Error)]
#[error("{function} gave {code}")]
pub(super) struct CallError {
    pub(super) class: Class,
    function: String,
    code: String,
    /// A key may have been used: the call is never repeated.
    pub(super) key_used: bool,
}

impl CallError {
    /// A result of a call that makes no sense, such as a signature of a wrong length.
    pub(super) fn senseless(function: Function, what: impl Into<String>) -> Self {
        Self { class: Class::Other, function: function_name(function), code: what.into(), key_used: uses_key(function) }
    }

    /// Nobody is logged in, although the module gave another reason.
    pub(super) fn logged_out() -> Self {
        Error::Pkcs11(RvError::UserNotLoggedIn, Function::FindObjects).into()
    }

    /// The token has judged a PIN, or can't judge any more.
    pub(super) fn judges_pin(&self) -> bool {
        matches!(self.code.as_str(), "CKR_PIN_INCORRECT" | "CKR_PIN_LOCKED" | "CKR_PIN_EXPIRED" | "CKR_PIN_LEN_RANGE")
            || self.is_fatal()
    }

    pub(super) const fn is_fatal(&self) -> bool {
        matches!(self.class, Class::Fatal)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error {
            Error::Pkcs11(code, function) => Self {
                class: codes::class(code),
                function: function_name(function),
                code: codes::name(code),
                key_used: uses_key(function),
            },
            // The module lacks the function, or said what has no form: it will do so again.
            Error::NullFunctionPointer => Self {
                class: Class::Unsupported,
                function: "the module".into(),
                code: "no such function".into(),
                key_used: false,
            },
            other => {
                Self { class: Class::Other, function: "the module".into(), code: other.to_string(), key_used: true }
            }
        }
    }
}

/// Why some work with a session came to nothing.
#[derive(Debug)]
pub(super) enum Problem {
    /// A call failed.
    Call(CallError),
    /// Nothing is wrong with the session.
    Refused(SignerError),
    /// As [`Problem::Refused`], but nobody knows what state the session is in.
    SessionFaulty(SignerError),
    /// A decryption failed in one way, and is to be done in another one with a new session.
    OtherWay(CallError),
}

impl Problem {
    /// Whether the session must not be used again.
    pub(super) const fn makes_session_faulty(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Call(error.into())
    }
}

impl From<SignerError> for Problem {
    fn from(error: SignerError) -> Self {
        Self::Refused(error)
    }
}

impl From<Problem> for TokenError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Call(call) | Problem::OtherWay(call) => call.into(),
            Problem::Refused(error) | Problem::SessionFaulty(error) => error.into(),
        }
    }
}

impl From<CallError> for TokenError {
    fn from(call: CallError) -> Self {
        let fatal = call.is_fatal();
        let error = match call.class {
            Class::Login => SignerError::Locked,
            Class::Pin => SignerError::PinRefused { code: call.code },
            _ => SignerError::Token { function: call.function, code: call.code },
        };
        Self { error, fatal }
    }
}

fn function_name(function: Function) -> String {
    format!("C_{function:?}")
}

/// Whether the function uses a private key, so that what it was asked may have happened although it failed.
const fn uses_key(function: Function) -> bool {
    matches!(
        function,
        Function::Sign
            | Function::SignUpdate
            | Function::SignFinal
            | Function::Decrypt
            | Function::DecryptUpdate
            | Function::DecryptFinal
            | Function::DeriveKey
            | Function::GenerateKeyPair
            | Function::DestroyObject
            | Function::Login
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: RvError, function: Function) -> TokenError {
        CallError::from(Error::Pkcs11(code, function)).into()
    }

    #[test]
    fn the_server_hears_function_and_code() {
        let error = told(RvError::FunctionFailed, Function::Sign);
        assert_eq!(error.to_string(), "the token's module failed: C_Sign gave CKR_FUNCTION_FAILED");
        assert!(!error.fatal);
        assert!(told(RvError::DeviceRemoved, Function::SignInit).fatal);
        assert_eq!(told(RvError::UserNotLoggedIn, Function::SignInit).error, SignerError::Locked);
    }

    #[test]
    fn a_use_of_a_key_is_told_from_its_preparation() {
        for (function, used) in [
            (Function::SignInit, false),
            (Function::Sign, true),
            (Function::DecryptInit, false),
            (Function::Decrypt, true),
            (Function::DeriveKey, true),
            (Function::GenerateKeyPair, true),
            (Function::FindObjects, false),
            (Function::OpenSession, false),
        ] {
            assert_eq!(CallError::from(Error::Pkcs11(RvError::SessionClosed, function)).key_used, used, "{function:?}");
        }
    }
}
