//! Newer certificates of known keys: prolonged with gpg where the primary key is, with another user id, with a
//! revocation.
//!
//! `POST /v1/keys/{key}/certificate/plan` says what a certificate would change, and `POST /v1/keys/{key}/certificate`
//! changes it. Nothing is ever taken out of a key's certificate: old signatures are needed to judge what was signed
//! before.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Fingerprint, Timestamp,
    algorithm::ComponentRole,
    import::{CertificatePart, ImportedComponent, LeftOut, PlannedComponent},
    keys::{Key, RevocationReason},
};

/// Body of `POST /v1/keys/{key}/certificate/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MergePlanRequest {
    /// The newer certificate, ASCII-armored.
    pub certificate: String,
    /// Fingerprints of subkeys whose secrets the client has.
    #[serde(default)]
    pub secrets: Vec<Fingerprint>,
}

/// What a newer certificate would change. Answer of `POST /v1/keys/{key}/certificate/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MergePlan {
    /// The name of the key's environment.
    pub environment: String,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
    /// What becomes other than it is. Empty if the key has all of it already.
    pub changes: Vec<CertificateChange>,
    /// New subkeys whose secrets are wanted.
    pub components: Vec<PlannedComponent>,
    /// The X25519 public key of the environment's signer, if secrets are wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient: Option<Bytes>,
    /// What is not taken, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether signatures about its parts are made with SHA-1, which many programs refuse.
    #[serde(default)]
    pub sha1: bool,
}

/// Body of `POST /v1/keys/{key}/certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MergeRequest {
    /// As in [`MergePlanRequest`].
    pub certificate: String,
    /// Every new subkey that the plan names.
    #[serde(default)]
    pub components: Vec<ImportedComponent>,
}

/// What a newer certificate changed. Answer of `POST /v1/keys/{key}/certificate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Merged {
    /// The key as it is now.
    pub key: Key,
    /// The changes. Empty if the key had all of it already.
    pub changes: Vec<CertificateChange>,
    /// What was not taken, and why.
    pub left_out: Vec<LeftOut>,
}

/// One thing that a newer certificate changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum CertificateChange {
    /// The whole key is revoked. There is no way back.
    KeyRevoked {
        /// Why.
        reason: RevocationReason,
        /// A sentence for a person; may be empty.
        #[serde(default)]
        message: String,
    },
    /// A subkey is revoked. There is no way back.
    SubkeyRevoked {
        /// Which one.
        part: ChangedPart,
    },
    /// A subkey comes in, with its secret.
    SubkeyAdded {
        /// Which one.
        part: ChangedPart,
    },
    /// A part has another end.
    EndChanged {
        /// Which part.
        part: ChangedPart,
        /// The end that it had; nothing if it had none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        before: Option<Timestamp>,
        /// The end that it has; nothing if it has none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        expires: Option<Timestamp>,
    },
    /// A user id is new.
    UserIdAdded {
        /// It, in one line.
        user_id: String,
    },
    /// A user id is revoked.
    UserIdRevoked {
        /// It, in one line.
        user_id: String,
    },
    /// Photos or other attributes are new.
    PhotosAdded {
        /// How many.
        count: usize,
    },
    /// Signatures are new.
    SignaturesAdded {
        /// How many by the key itself.
        own: usize,
        /// How many by others.
        others: usize,
    },
}

/// The part of a key that a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangedPart {
    /// The primary key or a subkey.
    pub kind: CertificatePart,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its role, if its secret is here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub role: Option<ComponentRole>,
}

impl CertificateChange {
    /// Whether it ends the use of something, with no way back.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::KeyRevoked { .. } | Self::SubkeyRevoked { .. })
    }
}

impl std::fmt::Display for ChangedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fingerprint = self.fingerprint.to_string();
        // As gpg names subkeys, so that a line fits a terminal.
        let id = fingerprint.get(24..).unwrap_or_default();
        match (self.kind, self.role) {
            (CertificatePart::PrimaryKey, Some(ComponentRole::Sign)) => f.write_str("primary key (sign)"),
            (CertificatePart::PrimaryKey, _) => f.write_str("primary key"),
            (_, Some(role)) => write!(f, "subkey {id} ({})", role.name()),
            (_, None) => write!(f, "subkey {id}"),
        }
    }
}

impl std::fmt::Display for CertificateChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeyRevoked { reason, message } if message.is_empty() => {
                write!(f, "the key is revoked ({})", reason.name())
            }
            Self::KeyRevoked { reason, message } => write!(f, "the key is revoked ({}): {message}", reason.name()),
            Self::SubkeyRevoked { part } => write!(f, "{part}: revoked"),
            Self::SubkeyAdded { part } => write!(f, "{part}: added"),
            Self::EndChanged { part, before, expires } => {
                let same_day = before.map(Timestamp::day) == expires.map(Timestamp::day);
                let text = |end: Timestamp| if same_day { end.to_string() } else { end.day() };
                match expires {
                    Some(expires) => write!(f, "{part}: expires {}", text(*expires))?,
                    None => write!(f, "{part}: never expires")?,
                }
                match before {
                    Some(before) => write!(f, " (was {})", text(*before)),
                    None => f.write_str(" (was never)"),
                }
            }
            Self::UserIdAdded { user_id } => write!(f, "user ID added: {user_id}"),
            Self::UserIdRevoked { user_id } => write!(f, "user ID revoked: {user_id}"),
            Self::PhotosAdded { count: 1 } => f.write_str("a photo added"),
            Self::PhotosAdded { count } => write!(f, "{count} photos added"),
            Self::SignaturesAdded { own, others } => {
                let signatures = |count: usize| if count == 1 { "signature" } else { "signatures" };
                match (own, others) {
                    (own, 0) => write!(f, "{own} {} of its own added", signatures(*own)),
                    (0, others) => write!(f, "{others} {} by others added", signatures(*others)),
                    (own, others) => {
                        write!(f, "{own} {} of its own and {others} by others added", signatures(*own))
                    }
                }
            }
        }
    }
}
