//! Why a use of a key came to nothing: the number for gpg, and the whole story for `sealcard last`.

use sealcard_api::{ids::RequestId, problem::ProblemCode};

use super::Code;
use crate::remote::{RemoteError, UnreachableKind};

/// A use of a key that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What gpg is told.
    pub code: Code,
    /// A stable name: the server's problem code, or one of this program.
    pub name: String,
    /// Why, for a person.
    pub reason: String,
    /// The request as it stands in the server's record.
    pub request_id: Option<RequestId>,
    /// What to do next.
    pub advice: Option<String>,
}

impl Failure {
    /// A failure that this program found itself.
    #[must_use]
    pub fn local(code: Code, name: &str, reason: impl Into<String>) -> Self {
        Self { code, name: name.to_owned(), reason: reason.into(), request_id: None, advice: None }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn advise(mut self, advice: &str) -> Self {
        self.advice = Some(advice.to_owned());
        self
    }
}

impl From<&RemoteError> for Failure {
    fn from(error: &RemoteError) -> Self {
        let problem = error.problem();
        let name = match error {
            RemoteError::NotLoggedIn { .. } => problem.map_or("not-logged-in", |problem| problem.code.name()),
            RemoteError::Config(_) => "configuration",
            RemoteError::Grant(_) => "grant",
            RemoteError::Unreachable { .. } => "unreachable",
            RemoteError::CertificateChanged(_) => "certificate-changed",
            RemoteError::TimedOut { .. } => "timed-out",
            RemoteError::Problem(problem) => problem.code.name(),
            RemoteError::Undecided { .. } => "undecided",
            RemoteError::GivenUp { .. } => "given-up",
            RemoteError::Record(_) => "record-changed",
            RemoteError::BadAnswer { .. } => "bad-answer",
        };
        Self {
            code: code_of(error),
            name: name.to_owned(),
            reason: error.to_string(),
            request_id: error.request_id(),
            advice: error.advice().or_else(|| error.code().and_then(advice_for)).map(str::to_owned),
        }
    }
}

/// The code for an error of the server's client.
fn code_of(error: &RemoteError) -> Code {
    match error {
        RemoteError::NotLoggedIn { .. } | RemoteError::Grant(_) => Code::NO_AUTH,
        RemoteError::Config(_) => Code::CONFIGURATION,
        RemoteError::Unreachable { kind, .. } => match kind {
            UnreachableKind::Refused => Code::ECONNREFUSED,
            UnreachableKind::Timeout => Code::ETIMEDOUT,
            UnreachableKind::Name => Code::UNKNOWN_HOST,
            UnreachableKind::Network => Code::ENETUNREACH,
            UnreachableKind::Proxy | UnreachableKind::NotTls | UnreachableKind::Broken => Code::NETWORK,
        },
        // Not NETWORK, which invites to try again, and not NOT_TRUSTED, which gpg's users read as a matter of owner
        // trust: it is the server's TLS certificate that is not the right one.
        RemoteError::CertificateChanged(_) => Code::BAD_CERT,
        RemoteError::TimedOut { .. } => Code::TIMEOUT,
        RemoteError::Problem(problem) => code_of_problem(problem.code),
        RemoteError::Undecided { .. } => Code::TIMEOUT,
        // An act of the user, by another command.
        RemoteError::GivenUp { .. } => Code::CANCELED,
        // Not NOT_TRUSTED, as for certificates.
        RemoteError::Record(_) => Code::FORBIDDEN,
        RemoteError::BadAnswer { .. } => Code::INV_RESPONSE,
    }
}

/// The code for a problem that the server sent. CANCELED is never used for a denial: batch tools take it as an act of
/// the user.
fn code_of_problem(code: ProblemCode) -> Code {
    match code {
        ProblemCode::Unauthenticated
        | ProblemCode::WrongCredentials
        | ProblemCode::PasswordChangeRequired
        | ProblemCode::GrantExpired
        | ProblemCode::GrantRevoked => Code::NO_AUTH,
        ProblemCode::Forbidden | ProblemCode::Rejected | ProblemCode::ApprovalNeeded => Code::FORBIDDEN,
        ProblemCode::NotFound => Code::NO_SECKEY,
        ProblemCode::KeyDisabled => Code::KEY_DISABLED,
        ProblemCode::KeyExpired => Code::KEY_EXPIRED,
        // gpg has no other word for a revoked key.
        ProblemCode::KeyRevoked => Code::CERT_REVOKED,
        ProblemCode::KeyDestroyed => Code::UNUSABLE_SECKEY,
        ProblemCode::UnsupportedOperation => Code::UNSUPPORTED_OPERATION,
        ProblemCode::DecryptionFailed => Code::DECRYPT_FAILED,
        ProblemCode::Invalid | ProblemCode::UnsupportedMediaType | ProblemCode::RulesInvalid => Code::INV_VALUE,
        ProblemCode::TooLarge => Code::TOO_LARGE,
        ProblemCode::InProgress
        | ProblemCode::TooManyAttempts
        | ProblemCode::TooManyUses
        | ProblemCode::TooManyWaiting
        | ProblemCode::Overloaded => Code::TRY_LATER,
        ProblemCode::Sealed | ProblemCode::SignerUnavailable | ProblemCode::DiskFull | ProblemCode::SinkBehind => {
            Code::NOT_OPERATIONAL
        }
        ProblemCode::Timeout => Code::TIMEOUT,
        ProblemCode::MethodNotAllowed
        | ProblemCode::Conflict
        | ProblemCode::Changed
        | ProblemCode::IdempotencyMismatch => Code::INV_RESPONSE,
        ProblemCode::OutcomeUnknown | ProblemCode::Internal | ProblemCode::Unknown => Code::CARD,
    }
}

fn advice_for(code: ProblemCode) -> Option<&'static str> {
    Some(match code {
        ProblemCode::Unauthenticated | ProblemCode::GrantExpired | ProblemCode::GrantRevoked => "Run `sealcard login`.",
        ProblemCode::KeyDisabled => "Ask an owner of the key's project to enable it.",
        ProblemCode::KeyExpired => {
            "Ask an owner of the key's project to extend it (sealcard admin key extend), then run `sealcard sync`."
        }
        ProblemCode::KeyRevoked | ProblemCode::KeyDestroyed => {
            "Use another key: `sealcard keys` shows which. There is no way back for this one."
        }
        ProblemCode::NotFound => "Run `sealcard sync`; the key is gone or you may no longer see it.",
        ProblemCode::Sealed => "Ask an administrator to unseal the key store.",
        ProblemCode::DiskFull => "Ask an administrator to free space on the server's disk.",
        ProblemCode::SignerUnavailable | ProblemCode::Internal => "Tell an administrator the request id.",
        ProblemCode::InProgress | ProblemCode::Overloaded | ProblemCode::Timeout => "Try again in a moment.",
        ProblemCode::OutcomeUnknown => "Sign again; the server's record shows the first attempt as unknown.",
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sealcard_api::problem::Problem;

    use super::*;

    fn of(code: ProblemCode) -> Failure {
        Failure::from(&RemoteError::Problem(Box::new(Problem::new(code))))
    }

    #[test]
    fn problems_become_the_documented_codes() {
        assert_eq!(of(ProblemCode::Forbidden).code, Code::FORBIDDEN);
        assert_eq!(of(ProblemCode::Rejected).code, Code::FORBIDDEN);
        assert_eq!(of(ProblemCode::TooManyWaiting).code, Code::TRY_LATER);
        assert_eq!(of(ProblemCode::GrantExpired).code, Code::NO_AUTH);
        assert_eq!(of(ProblemCode::Sealed).code, Code::NOT_OPERATIONAL);
        assert_eq!(of(ProblemCode::SignerUnavailable).code, Code::NOT_OPERATIONAL);
        assert_eq!(of(ProblemCode::KeyDisabled).code, Code::KEY_DISABLED);
        assert_eq!(of(ProblemCode::KeyExpired).code, Code::KEY_EXPIRED);
        assert_eq!(of(ProblemCode::KeyRevoked).code, Code::CERT_REVOKED);
        assert_eq!(of(ProblemCode::KeyDestroyed).code, Code::UNUSABLE_SECKEY);
        assert_eq!(of(ProblemCode::NotFound).code, Code::NO_SECKEY);
        let refused = RemoteError::Unreachable {
            server: "https://localhost:1".to_owned(),
            kind: UnreachableKind::Refused,
            detail: String::new(),
        };
        assert_eq!(Failure::from(&refused).code, Code::ECONNREFUSED);
        assert_eq!(Failure::from(&RemoteError::NotLoggedIn { reason: None }).name, "not-logged-in");
        let waiting = Box::new(crate::waiting::tests::waiting_use());
        let id = waiting.request_id;
        let undecided = Failure::from(&RemoteError::Undecided { waiting, waited: std::time::Duration::from_secs(300) });
        assert_eq!(
            (undecided.code, undecided.name.as_str(), undecided.request_id),
            (Code::TIMEOUT, "undecided", Some(id))
        );
        assert!(
            undecided.reason.contains("within 5 minutes") && undecided.reason.contains("sealcard approve 1a2b3c4d")
        );
        assert!(undecided.advice.unwrap().contains("run the same command again"));
    }

    /// Any of these makes gpg ask for a card to be inserted, or looks like an act of the user.
    #[test]
    fn no_problem_becomes_a_code_that_gpg_takes_for_an_absent_card_or_a_cancelling_user() {
        for problem in ProblemCode::ALL {
            let code = of(*problem).code;
            assert!(![Code::ENODEV, Code::CARD_NOT_PRESENT, Code::CARD_REMOVED, Code::CANCELED].contains(&code));
        }
    }

    #[test]
    fn no_advice_for_a_key_that_ended_is_to_ask_for_a_role_or_to_delete_it() {
        let ended =
            [ProblemCode::KeyDisabled, ProblemCode::KeyExpired, ProblemCode::KeyRevoked, ProblemCode::KeyDestroyed];
        let advice: Vec<_> = ended.into_iter().map(|code| of(code).advice.unwrap_or_default()).collect();
        assert!(advice.iter().all(|advice| !advice.is_empty()), "{advice:?}");
        assert!(advice.iter().all(|advice| !advice.contains("role") && !advice.contains("delete")), "{advice:?}");
        assert!(advice.iter().any(|advice| advice.contains("sealcard admin key extend")), "{advice:?}");
    }

    /// It may be a role that is missing, or any rule.
    #[test]
    fn what_is_forbidden_is_explained_by_the_server_alone() {
        assert_eq!(of(ProblemCode::Forbidden).advice, None);
    }

    #[test]
    fn the_request_id_of_a_problem_is_kept() {
        let mut problem = Problem::new(ProblemCode::Forbidden);
        problem.request_id = Some(RequestId::new());
        let id = problem.request_id;
        assert_eq!(Failure::from(&RemoteError::Problem(Box::new(problem))).request_id, id);
    }
}
