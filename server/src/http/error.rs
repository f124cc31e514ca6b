//! Errors as problem details (RFC 9457).

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use sealcard_api::{
    key_rules::Diagnostic,
    problem::{Problem, ProblemCode},
};
use sealcard_policy::{Decision, Denial};

use crate::{
    authn::{AuthenticationError, AuthorizationError, IssueError, PasswordError},
    directory::DirectoryError,
    rules::RulesError,
    storage::StorageError,
};

/// What a handler gives back instead of an answer. The request id is filled in on the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError(Box<Problem>);

/// What a handler returns.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A problem of this code, with no details yet.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self(Box::new(Problem::new(code)))
    }

    /// What happened this time and what to do next. Never holds a secret.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// After how many seconds another attempt may succeed.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// What is wrong with rules, the first of it as detail.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Vec<Diagnostic>) -> Self {
        if let Some(first) = diagnostics.first() {
            let more = match diagnostics.len() - 1 {
                0 => String::new(),
                more => format!(" ({more} more)"),
            };
            self.0.detail = Some(format!("Line {}, column {}: {}{more}.", first.line, first.column, first.message));
        }
        self.0.diagnostics = diagnostics;
        self
    }

    /// A request that can't be understood.
    #[must_use]
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Invalid).detail(detail)
    }

    /// Something that does not exist, or must not be known to the caller.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::NotFound).detail(detail)
    }

    /// A key that does not exist, or whose existence the caller must not learn: one answer for both.
    #[must_use]
    pub fn invisible_key() -> Self {
        Self::not_found(
            "There is no such key, or you have no role in its project. If you could use it before, you lost the role.",
        )
    }

    /// Something that stands against what exists.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::Conflict).detail(detail)
    }

    /// A signer that does not answer, for a reason that is not known.
    #[must_use]
    pub fn signer_unavailable() -> Self {
        Self::new(ProblemCode::SignerUnavailable).detail(
            "Try again in a moment. If it does not help, ask an administrator: sealcard status tells them more.",
        )
    }

    /// An environment that a person must open.
    #[must_use]
    pub fn sealed() -> Self {
        Self::new(ProblemCode::Sealed).detail(
            "An administrator opens it: sealcard admin environment unseal, or sealcard-signer unseal on the server.",
        )
    }

    /// Nothing can be written, so nothing is done.
    #[must_use]
    pub fn disk_full() -> Self {
        Self::new(ProblemCode::DiskFull)
            .detail(
                "The server's disk is full: nothing can be recorded, so nothing was given out. An administrator must \
                 free space.",
            )
            .retry_after(10)
    }

    /// A grant that ended before its end, or that ended while its request was in work.
    #[must_use]
    pub fn login_over(detail: &str) -> Self {
        Self::new(ProblemCode::GrantRevoked).detail(detail)
    }

    /// A fault of the server: the log gets `error`, the client only the request id.
    #[must_use]
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %ErrorChain(error), "internal error");
        Self::new(ProblemCode::Internal)
            .detail("Ask an administrator: the server's log names the cause under the request id.")
    }

    /// What a denial becomes. `None` if the decision allows.
    #[must_use]
    pub fn from_decision(decision: &Decision) -> Option<Self> {
        if decision.allowed() {
            return None;
        }
        // The caller's own lack of a right is named before the key's state, so that the state stays unknown to
        // strangers.
        let code = match decision.denials().first() {
            Some(Denial::NotAMember | Denial::UnknownKey) => return Some(Self::invisible_key()),
            Some(Denial::AccountRemoved) => return Some(Self::login_over("The account has been removed.")),
            Some(Denial::AccountDisabled) => {
                return Some(Self::login_over("The account has been disabled. An administrator can enable it."));
            }
            Some(Denial::GrantRevoked) => {
                return Some(Self::login_over("The grant has been revoked. Log in again: sealcard login"));
            }
            Some(Denial::GrantExpired) => {
                let expired = Self::new(ProblemCode::GrantExpired);
                return Some(expired.detail("The grant has expired. Log in again: sealcard login"));
            }
            Some(Denial::KeyDisabled) => ProblemCode::KeyDisabled,
            Some(Denial::KeyRevoked) => ProblemCode::KeyRevoked,
            Some(Denial::KeyDestroyed) => ProblemCode::KeyDestroyed,
            Some(Denial::KeyExpired) => ProblemCode::KeyExpired,
            Some(Denial::NoComponent(_)) => ProblemCode::UnsupportedOperation,
            Some(Denial::ForeignEnvironment) => ProblemCode::NotFound,
            Some(Denial::Rule(_) | Denial::RuleFailed(_)) | None => {
                let mut text = sentence(&decision.reasons().join("; "));
                if let Some(advice) = decision.whom_to_ask() {
                    text = format!("{text} {}", sentence(&advice));
                }
                return Some(Self::new(ProblemCode::Forbidden).detail(text));
            }
            Some(Denial::MissingRole(role)) => {
                let text = sentence(&decision.reasons().join("; "));
                let advice = format!("Ask an owner of the project for the role {role}.");
                return Some(Self::new(ProblemCode::Forbidden).detail(format!("{text} {advice}")));
            }
            Some(Denial::SelfGrant | Denial::MissingSystemRole(_) | Denial::RolesNotSeparated(_)) => {
                ProblemCode::Forbidden
            }
        };
        Some(Self::new(code).detail(sentence(&decision.reasons().join("; "))))
    }

    /// The problem as it travels.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        *self.0
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::from(&error)
    }
}

impl From<&StorageError> for ApiError {
    fn from(error: &StorageError) -> Self {
        match error {
            StorageError::Taken(_) | StorageError::KnownKey { .. } => Self::conflict(sentence(&error.to_string())),
            StorageError::NeedsApproval { text, .. } => Self::new(ProblemCode::ApprovalNeeded).detail(text.clone()),
            StorageError::NotFound(_) => Self::not_found(sentence(&error.to_string())),
            error if error.is_disk_full() => {
                tracing::error!(error = %ErrorChain(error), "the disk of the database is full");
                Self::disk_full()
            }
            _ => Self::internal(error),
        }
    }
}

impl From<AuthorizationError> for ApiError {
    fn from(error: AuthorizationError) -> Self {
        match error {
            AuthorizationError::UnknownGrant => {
                Self::new(ProblemCode::Unauthenticated).detail("This server does not know that grant.")
            }
            AuthorizationError::Denied(decision) => {
                Self::from_decision(&decision).unwrap_or_else(|| Self::new(ProblemCode::Forbidden))
            }
            AuthorizationError::Storage(error) => error.into(),
        }
    }
}

impl From<AuthenticationError> for ApiError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Invalid(text) => Self::invalid(text),
            AuthenticationError::NoPassword => {
                Self::conflict("A service account has no password. It logs in with a token.")
            }
            AuthenticationError::TooSoon(seconds) => {
                let unit = if seconds == 1 { "second" } else { "seconds" };
                let detail = format!("Wait {seconds} {unit}, then try again.");
                Self::new(ProblemCode::TooManyAttempts).detail(detail).retry_after(seconds)
            }
            AuthenticationError::WrongCredentials(text) => Self::new(ProblemCode::WrongCredentials).detail(text),
            AuthenticationError::PasswordChangeRequired => Self::new(ProblemCode::PasswordChangeRequired)
                .detail("Choose a password of your own in place of the one-time password: sealcard login asks for it."),
            AuthenticationError::NoSuchGrant => Self::not_found("There is no such login."),
            AuthenticationError::Password(PasswordError::Busy) => Self::new(ProblemCode::Overloaded)
                .detail("Too many passwords wait to be checked. Try again in 2 seconds.")
                .retry_after(2),
            AuthenticationError::Password(error) => Self::internal(&error),
            AuthenticationError::Issue(error) => error.into(),
            AuthenticationError::Authorization(error) => error.into(),
            AuthenticationError::Storage(error) => error.into(),
        }
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Changed => Self::new(ProblemCode::WrongCredentials).detail(
                "The account, its password or its token was changed during the login. Log in again with what is \
                 valid now.",
            ),
            IssueError::Revoked => Self::new(ProblemCode::GrantRevoked),
            IssueError::Storage(error) => error.into(),
            error @ IssueError::NoRandomness => Self::internal(&error),
        }
    }
}

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::NotFound(text) => Self::not_found(text),
            DirectoryError::Conflict(text) => Self::conflict(text),
            DirectoryError::Denied(decision) => {
                Self::from_decision(&decision).unwrap_or_else(|| Self::new(ProblemCode::Forbidden))
            }
            DirectoryError::Authorization(error) => error.into(),
            DirectoryError::Storage(error) => error.into(),
        }
    }
}

impl From<RulesError> for ApiError {
    fn from(error: RulesError) -> Self {
        match error {
            RulesError::Invalid(diagnostics) => Self::new(ProblemCode::RulesInvalid).diagnostics(diagnostics),
            RulesError::NotFound(text) => Self::not_found(text),
            RulesError::Conflict(text) => Self::conflict(text),
            RulesError::Authorization(error) => error.into(),
            RulesError::Storage(error) => error.into(),
            error @ RulesError::Fault(_) => Self::internal(&error),
        }
    }
}

/// An error's text as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// Marks an answer whose body is the problem itself: the outermost layer writes it, once it knows the request id.
#[derive(Clone)]
pub(crate) struct PendingProblem(pub(crate) Box<Problem>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = status(&self.0);
        response.extensions_mut().insert(PendingProblem(self.0));
        response
    }
}

fn status(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The bytes and headers of a problem.
pub(crate) fn render(problem: &Problem) -> Response {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = Response::new(axum::body::Body::from(body));
    *response.status_mut() = status(problem);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if problem.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sealcard\""));
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An error with its causes, on one line.
pub(crate) struct ErrorChain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
