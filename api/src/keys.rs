//! Managing signing keys: `/v1/keys`.

use serde::{Deserialize, Serialize};

use crate::{
    CardSerial, Fingerprint, Timestamp,
    algorithm::KeyAlgorithm,
    cards::Component,
    ids::{EnvironmentId, KeyId, ProjectId},
};

/// Where a signing key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// May be used.
    Active,
    /// An owner or administrator stopped its use.
    Disabled,
    /// The certificate's time is over.
    Expired,
}

impl KeyState {
    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

/// Body of `POST /v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// The project, by name or id.
    pub project: String,
    /// The environment, by name or id; `default` if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// 1 to 64 characters of `a-z A-Z 0-9 . _ -`, unique in the project.
    pub name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The OpenPGP user id, such as `Release <release@example.org>`.
    pub user_id: String,
    /// Days until the certificate expires, 1 to 3650; 730 if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_days: Option<u32>,
}

/// Body of `PATCH /v1/keys/{key}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Disables or enables the key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<bool>,
}

/// A signing key. `GET /v1/keys/{key}` (by id or fingerprint), item of `GET /v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Key {
    /// The id.
    pub id: KeyId,
    /// The name, unique in its project.
    pub name: String,
    /// The project's id.
    pub project_id: ProjectId,
    /// The project's name.
    pub project: String,
    /// The environment's id.
    pub environment_id: EnvironmentId,
    /// The environment's name.
    pub environment: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The state.
    pub state: KeyState,
    /// The certificate's first user id.
    pub user_id: String,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The card's serial number.
    pub serial: CardSerial,
    /// The component keys, the primary key first.
    pub components: Vec<Component>,
    /// When it was made.
    pub created: Timestamp,
    /// When the certificate expires.
    pub expires: Option<Timestamp>,
    /// The certificate, ASCII-armored.
    pub certificate: String,
}
