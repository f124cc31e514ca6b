//! Managing signing keys: `/v1/keys`.

use serde::{Deserialize, Serialize};

use crate::{
    CardSerial, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm, PublicKey},
    ids::{EnvironmentId, KeyId, ProjectId},
    roles::PrincipalKind,
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
    /// The time of its signing key is over, or without one that of all its parts.
    Expired,
    /// An owner or administrator revoked it; there is no way back.
    Revoked,
    /// Its private halves were destroyed on their token; there is no way back.
    Destroyed,
}

impl KeyState {
    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Destroyed => "destroyed",
        }
    }

    /// Whether workstations show the key as a card: an expired one still decrypts.
    #[must_use]
    pub const fn has_card(self) -> bool {
        matches!(self, Self::Active | Self::Expired)
    }
}

/// How a certificate is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeyProfile {
    /// A primary key that only certifies, and a subkey each that signs, decrypts and authenticates.
    #[default]
    Standard,
    /// A primary key that only certifies, and a subkey that signs: for what only ever signs, such as a release.
    Signing,
    /// A primary key that signs, and nothing else: for verifiers that know no signing subkeys. Weaker, since whoever
    /// signs with it without looking can be made to certify.
    Packages,
}

impl KeyProfile {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Signing, Self::Packages];

    /// The name as commands and JSON write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Signing => "signing",
            Self::Packages => "packages",
        }
    }

    /// The keys of a certificate, the primary key first.
    #[must_use]
    pub const fn roles(self) -> &'static [ComponentRole] {
        match self {
            Self::Standard => &ComponentRole::ALL,
            Self::Signing => &[ComponentRole::Certify, ComponentRole::Sign],
            Self::Packages => &[ComponentRole::Sign],
        }
    }
}

/// Why a key is revoked (RFC 9580 section 5.2.3.31).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// None is given: nothing that the key ever signed counts any more.
    Unspecified,
    /// Somebody else may have the private key: nothing that it ever signed counts any more.
    Compromised,
    /// Another key takes its place: what it signed before still counts.
    Superseded,
    /// It is not used any more: what it signed before still counts.
    Retired,
}

impl RevocationReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Unspecified, Self::Compromised, Self::Superseded, Self::Retired];

    /// The name as commands and JSON write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Compromised => "compromised",
            Self::Superseded => "superseded",
            Self::Retired => "retired",
        }
    }
}

/// What the revocation of a key says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revoked {
    /// Since when.
    pub time: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// A sentence for a person; may be empty.
    #[serde(default)]
    pub message: String,
}

/// Body of `POST /v1/keys/{key}/revoke`; the answer is a [`Key`] whose certificate holds the revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRevocation {
    /// Why.
    pub reason: RevocationReason,
    /// A sentence for those who read the certificate; may be empty, at most 256 bytes.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::RevocationMessage))]
    pub message: String,
}

/// Body of `POST /v1/keys/{key}/extend`; the answer is a [`Key`] with its new end. At most one of the two is given;
/// without either the key lives 730 days from now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyExtension {
    /// Days from now until the key expires, 1 to 3650.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_days: Option<u32>,
    /// When the key expires.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for KeyExtension {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
        let absent = || ObjectBuilder::new().schema_type(Type::Null);
        let days = OneOfBuilder::new().item(absent()).item(crate::rules::KeyDays::schema());
        let days = crate::rules::schemas::closed().property("expires_days", days).property("expires", absent());
        let end = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("When the key expires: in the future, and not later than the most days."));
        let end = crate::rules::schemas::closed().property("expires", end).required("expires");
        let end = end.property("expires_days", absent());
        let description = "When the key expires: in so many days, or at a moment; without either in 730 days.";
        OneOfBuilder::new().item(days).item(end).description(Some(description)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for KeyExtension {}

/// The revocation certificate that was made together with a key. `GET /v1/keys/{key}/revocation`, for owners and
/// administrators; each reading is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevocationCertificate {
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// ASCII-armored. Importing it revokes the key; reason: none given.
    pub certificate: String,
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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::NewKeyName))]
    pub name: String,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The OpenPGP user id, such as `Release <release@example.org>`.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::UserId))]
    pub user_id: String,
    /// Days until the certificate expires, 1 to 3650; 730 if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::KeyDays>))]
    pub expires_days: Option<u32>,
    /// How the certificate is built.
    #[serde(default)]
    pub profile: KeyProfile,
}

/// Body of `PATCH /v1/keys/{key}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyChange {
    /// Disables or enables the key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled: Option<bool>,
    /// A new name, unique in the project.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::NewKeyName>))]
    pub name: Option<String>,
}

/// Answer of `GET /v1/keys/{key}/users`, for owners and auditors of the project and holders of a system role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyUsers {
    /// Everyone who has the role to use the key, sorted by name.
    pub users: Vec<KeyUser>,
}

/// Somebody who has the role key-user in a key's project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyUser {
    /// Person or program.
    pub kind: PrincipalKind,
    /// The name.
    pub name: String,
    /// A disabled user or service account can't use the key now.
    pub disabled: bool,
    /// Whether the role was given directly.
    pub direct: bool,
    /// The groups that give the role too.
    pub groups: Vec<String>,
}

/// A signing key. `GET /v1/keys/{key}` (named in any way that [`crate::KeyRef`] reads), item of `GET /v1/keys`.
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
    /// How the certificate is built.
    #[serde(default)]
    pub profile: KeyProfile,
    /// The state.
    pub state: KeyState,
    /// What its revocation says, if it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<Revoked>,
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
    /// When the key's use ends: that of its signing key, or without one the last of the others'.
    pub expires: Option<Timestamp>,
    /// The certificate, ASCII-armored.
    pub certificate: String,
}

/// One key slot of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Component {
    /// The slot.
    pub role: ComponentRole,
    /// The algorithm.
    pub algorithm: ComponentAlgorithm,
    /// The public half.
    pub public_key: PublicKey,
    /// Fingerprint of the subkey.
    pub fingerprint: Fingerprint,
    /// Creation time of the subkey, part of its fingerprint.
    pub created: Timestamp,
    /// When it expires, or its certificate if that is earlier. Decryption goes on after that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// Whether it was revoked, though the certificate may not be.
    #[serde(default)]
    pub revoked: bool,
}
