//! Why a request gave nothing.

use std::{sync::Arc, time::Duration};

use sealcard_policy::Decision;

use crate::{limits, sinks::Behind, storage::StorageError};

/// Why a request gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// Policy denies it; the denial is in the record. Retrying can't help.
    #[error("denied: {}", decision.reasons().join("; "))]
    Denied {
        /// What stands against it.
        decision: Decision,
        /// The key's state, for a person who may know it.
        detail: Option<String>,
    },
    /// The grant is not known any more; in the record as denied. Retrying can't help.
    #[error("the grant is not known any more")]
    UnknownGrant,
    /// The input does not fit the key; in the record as denied. Retrying can't help.
    #[error("{0}")]
    Unfit(String),
    /// The idempotency key belongs to another request; in the record as denied. Retrying needs a new one.
    #[error("the idempotency key belongs to another request")]
    Mismatch,
    /// The same request is being worked on. Retrying helps.
    #[error("the same request is being worked on")]
    InProgress,
    /// The signer has too much to do; in the record as denied. Retrying helps.
    #[error("the key store is busy")]
    Busy,
    /// A required sink of the record is too far behind; in the record as denied. Retrying helps once it has caught up.
    #[error("{behind}")]
    SinkBehind {
        /// The sink.
        behind: Behind,
        /// Whether the caller looks after the server or the project, and may know why.
        caller_may_know: bool,
    },
    /// As many requests wait for people as may; in the record as denied. Retrying helps once some are decided.
    #[error("{limit} requests {} wait for approval already", if *.of_project { "for the keys of this project" } else { "of yours" })]
    TooManyWaiting {
        /// So many may wait.
        limit: u32,
        /// Whether it is the project's limit, and not the requester's.
        of_project: bool,
    },
    /// An approver rejected it. Retrying asks again.
    #[error("{0}")]
    Rejected(String),
    /// The requester had too many denials within a minute; they are in the record as one. Retrying helps after some
    /// seconds, if the requester is allowed it then.
    #[error("too many uses were denied within a minute")]
    TooManyDenials {
        /// Seconds until the minute is over.
        retry_after: u64,
    },
    /// The requester had too many uses within a minute. Retrying helps after some seconds.
    #[error("too many uses within a minute")]
    TooManyUses {
        /// Seconds until the minute is over.
        retry_after: u64,
    },
    /// The key may have been used. It is not used again for this idempotency key.
    #[error("it is not known whether the key was used")]
    OutcomeUnknown,
    /// The environment is sealed. Retrying helps once a person has unsealed it.
    #[error("the key store is sealed")]
    Sealed,
    /// The ciphertext does not decrypt. Retrying can't help.
    #[error("decryption failed")]
    DecryptionFailed {
        /// How long its caller waits for the answer.
        delay: Duration,
    },
    /// The signer was not asked or did not answer. Retrying may help.
    #[error("the signer does not answer")]
    SignerUnavailable,
    /// The token, or its module, failed or is not there. Retrying may help.
    #[error("{0}")]
    Token(String),
    /// The signer does not start, so it was not asked. Retrying helps once that is mended.
    #[error("the signer does not start: {why}")]
    NotStarted {
        /// In the signer's own words, which may name files.
        why: String,
        /// Whether the caller looks after the server or the project, and may know it.
        caller_may_know: bool,
    },
    /// The signer's disk is full, so nothing left it. Retrying helps once there is space.
    #[error("{0}")]
    DiskFull(String),
    /// The key's row or the signer's answer is not what it must be; the log has more. Retrying may help.
    #[error("{0}")]
    Fault(String),
    /// Nothing was written, so nothing was given out. Retrying helps once the database works.
    #[error(transparent)]
    Storage(Arc<StorageError>),
}

impl RequestError {
    /// All that [`Self::kind`] says.
    pub(super) const KINDS: [&str; 19] = [
        "denied",
        "unfit",
        "mismatch",
        "in-progress",
        "busy",
        "sink-behind",
        "too-many-waiting",
        "rejected",
        "too-many-denials",
        "too-many-uses",
        "outcome-unknown",
        "sealed",
        "decryption-failed",
        "signer-unavailable",
        "token",
        "not-started",
        "disk-full",
        "fault",
        "storage",
    ];

    /// What kind of error it is, without what it is about.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Denied { .. } | Self::UnknownGrant => "denied",
            Self::Unfit(_) => "unfit",
            Self::Mismatch => "mismatch",
            Self::InProgress => "in-progress",
            Self::Busy => "busy",
            Self::SinkBehind { .. } => "sink-behind",
            Self::TooManyWaiting { .. } => "too-many-waiting",
            Self::Rejected(_) => "rejected",
            Self::TooManyDenials { .. } => "too-many-denials",
            Self::TooManyUses { .. } => "too-many-uses",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::Sealed => "sealed",
            Self::DecryptionFailed { .. } => "decryption-failed",
            Self::SignerUnavailable => "signer-unavailable",
            Self::Token(_) => "token",
            Self::NotStarted { .. } => "not-started",
            Self::DiskFull(_) => "disk-full",
            Self::Fault(_) => "fault",
            Self::Storage(_) => "storage",
        }
    }

    /// What [`Self::denial_kind`] says beside the kinds of policy's reasons.
    pub(super) const DENIAL_KINDS: [&str; 3] = ["unknown-grant", "unfit-input", "idempotency-key"];

    /// What kind of reason denied the use; none if nothing did.
    pub(super) fn denial_kind(&self) -> Option<&'static str> {
        match self {
            Self::Denied { decision, .. } => decision.reason_kind(),
            Self::UnknownGrant => Some("unknown-grant"),
            Self::Unfit(_) => Some("unfit-input"),
            Self::Mismatch => Some("idempotency-key"),
            _ => None,
        }
    }

    /// How long the caller waits for the answer, without a permit or a slot.
    pub(super) const fn answered_after(&self) -> Duration {
        match self {
            Self::DecryptionFailed { delay } => *delay,
            Self::Busy => limits::BUSY_DELAY,
            _ => Duration::ZERO,
        }
    }
}

impl From<StorageError> for RequestError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Arc::new(error))
    }
}
