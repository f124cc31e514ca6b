//! Importing keys that were made elsewhere.
//!
//! `POST /v1/keys/import/plan` says what would become of a certificate and which key its secrets are encrypted to;
//! `POST /v1/keys/import` brings the secrets, each in an envelope that only the environment's signer can open. The server
//! never sees one. A plan reserves nothing and changes nothing.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm, PublicKey},
    ids::ComponentId,
};

/// The largest request body of an import, in bytes: certificates of people whom many have certified are long.
pub const MAX_IMPORT_BODY: usize = 512 * 1024;

/// Which key is to be imported. Body of `POST /v1/keys/import/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportPlanRequest {
    /// The project, by name or id.
    pub project: String,
    /// The environment, by name or id; `default` if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// 1 to 64 characters of `a-z A-Z 0-9 . _ -`, unique in the project.
    pub name: String,
    /// The certificate, ASCII-armored.
    pub certificate: String,
    /// Fingerprints of the primary key and subkeys whose secrets the client has.
    pub secrets: Vec<Fingerprint>,
}

/// What an import would make. Answer of `POST /v1/keys/import/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImportPlan {
    /// The environment's name.
    pub environment: String,
    /// The X25519 public key of the environment's signer.
    pub recipient: Bytes,
    /// The certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// The primary user id.
    pub user_id: String,
    /// The algorithm of the key that signs, or else of the first other one.
    pub algorithm: KeyAlgorithm,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// The keys that are wanted.
    pub components: Vec<PlannedComponent>,
    /// The keys that are not, and why.
    pub left_out: Vec<LeftOut>,
}

/// A key that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedComponent {
    /// The id that it will have.
    pub id: ComponentId,
    /// The role that it will have.
    pub role: ComponentRole,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Its public half.
    pub public_key: PublicKey,
    /// Its creation time.
    pub created: Timestamp,
}

/// A key that is not wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeftOut {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Why, for a person.
    pub reason: String,
}

/// A key with its secrets. Body of `POST /v1/keys/import`; the answer is a [`crate::keys::Key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// As in [`ImportPlanRequest`].
    pub project: String,
    /// As in [`ImportPlanRequest`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// As in [`ImportPlanRequest`].
    pub name: String,
    /// As in [`ImportPlanRequest`].
    pub certificate: String,
    /// Every key that the plan names.
    pub components: Vec<ImportedComponent>,
}

/// The secret of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportedComponent {
    /// The id of the plan.
    pub id: ComponentId,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The private half in an envelope for the signer. In it lies PKCS#8 DER for RSA; for NIST curves the secret number,
    /// big-endian, as wide as the curve; for Ed25519 the seed (RFC 8032) and for Curve25519 the secret (RFC 7748).
    pub envelope: Bytes,
}
