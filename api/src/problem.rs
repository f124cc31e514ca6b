//! Errors as problem details (RFC 9457), media type `application/problem+json`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ids::RequestId, key_rules::Diagnostic};

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:sealcard:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code, stable over releases: what programs decide by.
    pub code: ProblemCode,
    /// A short sentence that belongs to the code.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// What happened this time and what to do next, for a person. Never holds a secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The request, as it stands in logs and record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<RequestId>,
    /// Seconds after which to try again, where that helps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
    /// What is wrong with rules, and where.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub diagnostics: Vec<Diagnostic>,
}

impl Problem {
    /// A problem of this code, with no details yet.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self {
            kind: format!("urn:sealcard:problem:{code}"),
            code,
            title: code.title().to_owned(),
            status: code.status(),
            detail: None,
            request_id: None,
            retry_after: None,
            diagnostics: Vec::new(),
        }
    }

    /// What happened, for a person: the detail, behind the title only where the title says more than the detail.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.detail {
            None => self.title.clone(),
            Some(detail) if self.code.title_adds_something() => format!("{}: {detail}", self.title),
            Some(detail) => detail.clone(),
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong, in a form that never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum ProblemCode {
            $($(#[$doc])* $variant,)*
            /// A code of a newer server; [`Problem::status`] and `title` still say what happened.
            #[serde(other)]
            Unknown,
        }

        impl ProblemCode {
            /// Every code that a server of this release sends.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown => "unknown",
                }
            }

            /// The HTTP status code that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                    Self::Unknown => 500,
                }
            }

            /// A short sentence for a person.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                    Self::Unknown => "An error this client does not know",
                }
            }
        }
    };
}

codes! {
    /// The request can't be understood. Retrying can't help.
    Invalid, "invalid", 400, "The request is not valid";
    /// No grant, or none that this server issued.
    Unauthenticated, "unauthenticated", 401, "Not logged in";
    /// Name, password or token are wrong; which one is not said.
    WrongCredentials, "wrong-credentials", 401, "The name or the password is wrong";
    /// The one-time password is right, but gives no grant. Repeat the login with a new password beside it.
    PasswordChangeRequired, "password-change-required", 403, "The one-time password must be changed";
    /// The grant's time is over: log in again.
    GrantExpired, "grant-expired", 401, "The grant has expired";
    /// The grant was revoked, or its user disabled or removed.
    GrantRevoked, "grant-revoked", 401, "The grant has been revoked";
    /// Policy denies it. The detail names the rule that is missing.
    Forbidden, "forbidden", 403, "Denied by policy";
    /// No such thing, or none that the caller may know of.
    NotFound, "not-found", 404, "Not found";
    /// The method does not exist for this address.
    MethodNotAllowed, "method-not-allowed", 405, "Method not allowed";
    /// The name is taken, or the state does not allow it.
    Conflict, "conflict", 409, "Conflict with what exists";
    /// Rules or templates have mistakes, which [`Problem::diagnostics`] names. Nothing was applied.
    RulesInvalid, "rules-invalid", 422, "The rules have mistakes";
    /// The idempotency key was used for something else before.
    IdempotencyMismatch, "idempotency-mismatch", 409, "The idempotency key belongs to another request";
    /// The same request is being worked on. Retrying later helps.
    InProgress, "in-progress", 409, "The same request is still being worked on";
    /// The server stopped between using the key and noting the outcome. It is not repeated; a new request is a new use.
    OutcomeUnknown, "outcome-unknown", 409, "It is not known whether the key was used";
    /// The body is not JSON by its `Content-Type`.
    UnsupportedMediaType, "unsupported-media-type", 415, "The body must be JSON";
    /// The body is larger than the server reads.
    TooLarge, "too-large", 413, "The request is too large";
    /// People must approve the change, or time must pass; it was not made. Make it again after that.
    ApprovalNeeded, "approval-needed", 403, "The change needs approval";
    /// An approver rejected it. A new request is a new question.
    Rejected, "rejected", 403, "An approver rejected it";
    /// As many requests of this principal or project wait as may. Retrying helps once some are decided.
    TooManyWaiting, "too-many-waiting", 429, "Too many requests wait for approval";
    /// It has changed since it was read. Look at it again.
    Changed, "changed", 412, "It has changed meanwhile";
    /// The key has been disabled.
    KeyDisabled, "key-disabled", 403, "The key is disabled";
    /// The time of the key's part for this operation is over.
    KeyExpired, "key-expired", 403, "The key has expired";
    /// The key was revoked, or its part for this operation. There is no way back.
    KeyRevoked, "key-revoked", 403, "The key is revoked";
    /// The key's private halves were destroyed. There is no way back.
    KeyDestroyed, "key-destroyed", 403, "The key is destroyed";
    /// The key has no component for this operation, or the data do not fit its algorithm.
    UnsupportedOperation, "unsupported-operation", 422, "The key can't do that";
    /// The ciphertext could not be decrypted. Why is never said (RFC 8017 section 7.2.2).
    DecryptionFailed, "decryption-failed", 422, "Decryption failed";
    /// Too many wrong attempts from this address or for this account, or too many denied uses of keys. Retrying after
    /// `retry_after` helps.
    TooManyAttempts, "too-many-attempts", 429, "Too many failed attempts";
    /// The requester used keys more often than the server allows in a minute. Retrying after `retry_after` helps.
    TooManyUses, "too-many-uses", 429, "Too many uses of keys";
    /// The server is busy. Retrying helps.
    Overloaded, "overloaded", 503, "The server is busy";
    /// A required sink of the record is too far behind, so no key is used. Retrying helps once it has caught up.
    SinkBehind, "sink-behind", 503, "The record does not leave the server";
    /// The server has no space to record anything, so it does nothing. Retrying helps once there is space.
    DiskFull, "disk-full", 507, "The server's disk is full";
    /// The environment's master key is sealed: a person must unseal it.
    Sealed, "sealed", 503, "The key store is sealed";
    /// The signer does not answer. Retrying may help.
    SignerUnavailable, "signer-unavailable", 503, "The signer does not answer";
    /// It took longer than the server allows. Whether a key was used is in the record.
    Timeout, "timeout", 504, "The request took too long";
    /// A fault of the server; the log has more under the request id.
    Internal, "internal", 500, "Internal error";
}

/// The codes that are sent: all but [`ProblemCode::Unknown`].
#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ProblemCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .enum_values(Some(Self::ALL.iter().map(|code| code.name())))
            .description(Some("What went wrong, in a form that never changes its meaning."))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ProblemCode {}

impl ProblemCode {
    /// Whether the detail of such a problem needs the title before it to be understood.
    const fn title_adds_something(self) -> bool {
        matches!(
            self,
            Self::Forbidden
                | Self::Sealed
                | Self::SignerUnavailable
                | Self::Timeout
                | Self::Internal
                | Self::OutcomeUnknown
                | Self::IdempotencyMismatch
                | Self::Unknown
        )
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_json_and_names_are_unique() {
        let mut names = std::collections::BTreeSet::new();
        for code in ProblemCode::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(text, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ProblemCode>(&text).unwrap(), *code);
            assert!(names.insert(code.name()));
        }
    }

    #[test]
    fn title_precedes_the_detail_only_where_it_adds_something() {
        let message =
            |code, detail: Option<&str>| Problem { detail: detail.map(str::to_owned), ..Problem::new(code) }.message();
        let taken = "A key named tags already exists in release.";
        assert_eq!(message(ProblemCode::Conflict, Some(taken)), taken);
        assert_eq!(message(ProblemCode::KeyDisabled, Some("The key is disabled.")), "The key is disabled.");
        assert_eq!(
            message(ProblemCode::Forbidden, Some("Only administrators.")),
            "Denied by policy: Only administrators."
        );
        assert_eq!(message(ProblemCode::Overloaded, None), "The server is busy");
    }

    #[test]
    fn a_newer_servers_code_is_unknown_and_not_an_error() {
        assert_eq!(serde_json::from_str::<ProblemCode>("\"moon-phase\"").unwrap(), ProblemCode::Unknown);
    }
}
