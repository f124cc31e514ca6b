//! What a PKCS#11 token says of itself and of its keys, and taking over keys that lie on one.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Timestamp,
    algorithm::{ComponentRole, KeyAlgorithm},
    ids::ComponentId,
    keys::KeyProfile,
};

/// What `POST /v1/environments/{environment}/probe` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenReport {
    /// The module's file.
    pub module: String,
    /// `libraryDescription` and version of `CK_INFO`.
    pub library: String,
    /// The version of Cryptoki that the module follows, such as `2.40`.
    pub cryptoki: String,
    /// The token's label.
    pub label: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Its hardware version.
    pub hardware: String,
    /// Its firmware version.
    pub firmware: String,
    /// Sessions that may be open at most; `None` if the token names no limit.
    pub max_sessions: Option<u64>,
    /// Sessions that are open now, of all applications; `None` if the token does not say.
    pub sessions: Option<u64>,
    /// The shortest PIN.
    pub min_pin: u64,
    /// The longest PIN.
    pub max_pin: u64,
    /// Flags of `CK_TOKEN_INFO` that are set, such as `CKF_USER_PIN_COUNT_LOW`.
    pub flags: Vec<String>,
    /// All mechanisms.
    pub mechanisms: Vec<MechanismReport>,
    /// What keys can be made and used with them.
    pub algorithms: Vec<AlgorithmReport>,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// One mechanism of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MechanismReport {
    /// Such as `CKM_ECDSA`.
    pub name: String,
    /// Its smallest key size, in the mechanism's unit.
    pub min: u64,
    /// Its largest key size.
    pub max: u64,
    /// Flags that are set, such as `CKF_SIGN`.
    pub flags: Vec<String>,
}

/// Whether a token can serve an algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlgorithmReport {
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// Whether keys of it can sign.
    pub sign: bool,
    /// Whether keys of it can decrypt.
    pub decrypt: bool,
    /// Whether keys of it can be made on the token.
    pub generate: bool,
    /// What is missing.
    pub missing: Vec<String>,
}

/// What a token says of a private key, read back after the key was made or adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyEvidence {
    /// The token's serial number.
    pub token_serial: String,
    /// The token's label.
    pub token_label: String,
    /// The token's firmware version.
    pub firmware: String,
    /// `CKA_ID`, in hexadecimal.
    pub id: String,
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_LOCAL`: made on the token.
    pub local: Option<bool>,
    /// `CKA_SENSITIVE`.
    pub sensitive: Option<bool>,
    /// `CKA_ALWAYS_SENSITIVE`.
    pub always_sensitive: Option<bool>,
    /// `CKA_EXTRACTABLE`.
    pub extractable: Option<bool>,
    /// `CKA_NEVER_EXTRACTABLE`.
    pub never_extractable: Option<bool>,
    /// `CKA_KEY_GEN_MECHANISM`, by name.
    pub mechanism: Option<String>,
}

/// The evidence of one component key. `GET /v1/keys/{key}/evidence` gives those of a signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComponentEvidence {
    /// The component key.
    pub component: ComponentId,
    /// Its role.
    pub role: ComponentRole,
    /// When it was read.
    pub read: Timestamp,
    /// What the token said.
    #[serde(flatten)]
    pub evidence: KeyEvidence,
}

/// Adopts keys that are on a token already. `POST /v1/keys/adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AdoptKeys {
    /// The project's name or id.
    pub project: String,
    /// The environment's name or id.
    pub environment: String,
    /// The name, unique in the project.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::NewKeyName))]
    pub name: String,
    /// The OpenPGP user id.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::UserId))]
    pub user_id: String,
    /// Days until the certificate expires, 1 to 3650; 730 if absent.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::KeyDays>))]
    pub expires_days: Option<u32>,
    /// How the certificate is built.
    #[serde(default)]
    pub profile: KeyProfile,
    /// When the keys were made, which is part of their fingerprints; now if absent. Name it to come to the fingerprints
    /// that the keys have elsewhere.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// The keys. One in the role `sign` must be among them. The primary key is made anew if none in the role `certify`
    /// is named; other roles stay empty.
    #[serde(deserialize_with = "crate::encoding::objects")]
    #[cfg_attr(feature = "openapi", schema(schema_with = adopted_components))]
    pub components: Vec<AdoptedComponent>,
}

#[cfg(feature = "openapi")]
fn adopted_components() -> utoipa::openapi::schema::Array {
    let item = utoipa::openapi::Ref::from_schema_name("AdoptedComponent");
    crate::rules::schemas::list(item, 1, ComponentRole::ALL.len())
}

/// One key on a token. Exactly one private key must match there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AdoptedComponent {
    /// What it is for.
    pub role: ComponentRole,
    /// `CKA_ID`, in hexadecimal.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::rules::TokenKeyId>))]
    pub id: Option<String>,
    /// `CKA_LABEL`.
    #[serde(default)]
    pub label: Option<String>,
}

/// Destroys the private halves of a disabled or revoked key on its token. `POST /v1/keys/{key}/destroy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DestroyKey {
    /// The key's fingerprint once more, so that the wrong key is not destroyed by a slip.
    pub fingerprint: crate::Fingerprint,
}

/// What a secret for a signer is encrypted to. `GET /v1/environments/{environment}/keeper`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeeperKey {
    /// An X25519 public key; its fingerprint was shown when the environment was made.
    pub recipient: Bytes,
    /// Binds the envelope to this moment: it is good for one attempt.
    pub nonce: Bytes,
    /// What opens the environment.
    pub secret: Secret,
}

/// What a person gives to open an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// Nothing: a file or a credential opens it.
    None,
    /// The passphrase of a sealed store.
    Passphrase,
    /// The PIN of a token.
    Pin,
}

/// A secret for a signer. `POST /v1/environments/{environment}/unseal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Unseal {
    /// The passphrase or PIN; absent to have the configured file or credential tried again.
    #[serde(default, deserialize_with = "crate::encoding::optional_object")]
    pub sealed: Option<SealedSecret>,
}

/// A passphrase or PIN in an envelope for the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SealedSecret {
    /// [`KeeperKey::nonce`].
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Nonce))]
    pub nonce: Bytes,
    /// The envelope.
    pub envelope: Bytes,
}
