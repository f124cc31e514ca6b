//! Importing keys that were made elsewhere.
//!
//! `POST /v1/keys/import/plan` says what would become of a certificate and which key its secrets are encrypted to;
//! `POST /v1/keys/import` brings the secrets, each in an envelope that only the environment's signer can open. The
//! server never sees one. A plan reserves nothing and changes nothing.

use serde::{Deserialize, Serialize};

use crate::{
    Bytes, Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm, PublicKey},
    ids::ComponentId,
};

/// The longest certificate that is imported, ASCII-armored, in bytes. Everyone who may use the key gets it with each
/// list of cards.
pub const MAX_CERTIFICATE: usize = crate::rules::Armored::MAX;

/// The largest request body of an import, in bytes: a certificate, and the secrets of a few keys.
pub const MAX_IMPORT_BODY: usize = 2 * MAX_CERTIFICATE;

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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::NewKeyName))]
    pub name: String,
    /// The certificate, ASCII-armored.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Armored))]
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
    /// What is not, and why.
    pub left_out: Vec<LeftOut>,
    /// Whether signatures about its parts are made with SHA-1, which many programs refuse.
    #[serde(default)]
    pub sha1: bool,
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
    /// What else it is used for elsewhere, which no key will do here.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lost_uses: Vec<ComponentRole>,
}

/// A part of a key or certificate that is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeftOut {
    /// What it is.
    pub part: CertificatePart,
    /// For keys: the fingerprint, in upper-case hexadecimal, where it can be computed. 40 digits for keys of version 4,
    /// 64 for later ones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<String>,
    /// Why.
    pub reason: LeftOutReason,
    /// What the reason is about: an algorithm's name or number, a version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// What a certificate is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CertificatePart {
    /// The primary key.
    PrimaryKey,
    /// A subkey.
    Subkey,
    /// A user id.
    UserId,
    /// A photo or another attribute.
    Photo,
    /// A signature in the certificate.
    Signature,
    /// Something else.
    Packet,
}

/// Why a part of a certificate is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutReason {
    /// It has a version of OpenPGP's formats other than 4.
    Version,
    /// It has an algorithm that is not known.
    Algorithm,
    /// Its fields can't be read.
    Damaged,
    /// The primary key has not signed it, or the signature is not valid.
    NotSigned,
    /// A subkey that signs has not signed its primary key in return.
    NotCrossSigned,
    /// The signature is marked as not for others.
    Local,
    /// Its secret is not at hand.
    NoSecret,
    /// It has been revoked.
    Revoked,
    /// It has expired.
    Expired,
    /// The primary key's signature about it is made in a way that is not trusted any more.
    WeakSignature,
    /// The primary key's signature does not say that it signs, decrypts or authenticates.
    NoUse,
    /// It only certifies other keys, and none of them is taken.
    OnlyCertifies,
    /// A newer key has the same use.
    NewerKey,
    /// The key has another subkey for the same use here already.
    UseTaken,
}

impl LeftOut {
    /// What a person can do about it in gpg, with the fingerprint of the certificate.
    #[must_use]
    pub fn advice(&self, key: Fingerprint) -> Option<String> {
        let subkey = self.fingerprint.as_deref().unwrap_or_default();
        // gpg takes a subkey's fingerprint beside the key's, and the key's alone for the primary key.
        let part =
            if self.part == CertificatePart::Subkey { format!("{key} 2y {subkey}") } else { format!("{key} 2y") };
        Some(match self.reason {
            LeftOutReason::NotCrossSigned => {
                format!("Sign it in gpg, then export again: gpg --edit-key {key} cross-certify save")
            }
            LeftOutReason::Expired => format!("Extend it in gpg, then export again: gpg --quick-set-expire {part}"),
            LeftOutReason::NoUse => {
                format!("Say in gpg what it is for (change-usage), then export again: gpg --expert --edit-key {key}")
            }
            LeftOutReason::WeakSignature => {
                format!("Renew it in gpg, then export again: gpg --cert-digest-algo SHA512 --quick-set-expire {part}")
            }
            LeftOutReason::NewerKey
                if self.detail.as_deref().is_some_and(|uses| uses.contains(ComponentRole::Decrypt.name())) =>
            {
                "Messages that are encrypted to it can be decrypted only with gpg's own copy: keep it.".to_owned()
            }
            LeftOutReason::Damaged if self.part != CertificatePart::UserId => {
                "Export the key again. If that does not help, it is damaged in gpg too.".to_owned()
            }
            _ => return None,
        })
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = match self.part {
            CertificatePart::PrimaryKey => "primary key",
            CertificatePart::Subkey => "subkey",
            CertificatePart::UserId => "user ID",
            CertificatePart::Photo => "photo",
            CertificatePart::Signature => "signature",
            CertificatePart::Packet => "packet",
        };
        let detail = self.detail.as_deref().unwrap_or("unknown");
        match &self.fingerprint {
            Some(fingerprint) => write!(f, "{part} {fingerprint}: ")?,
            None => write!(f, "{part}: ")?,
        }
        match self.reason {
            LeftOutReason::Version => write!(f, "version {detail} of the format is not supported"),
            LeftOutReason::Algorithm => write!(f, "the algorithm {detail} is not supported"),
            LeftOutReason::Damaged => f.write_str("it is damaged"),
            LeftOutReason::NotSigned => f.write_str("it has no valid signature by the primary key"),
            LeftOutReason::NotCrossSigned => f.write_str("it signs, but has not signed the primary key in return"),
            LeftOutReason::Local => f.write_str("it is marked as not for others"),
            LeftOutReason::NoSecret => f.write_str("its secret key is not in the file"),
            LeftOutReason::Revoked => f.write_str("it has been revoked"),
            LeftOutReason::Expired => f.write_str("it has expired"),
            LeftOutReason::WeakSignature => {
                f.write_str("the primary key's signature about it is made in a way that is not trusted any more")
            }
            LeftOutReason::NoUse => {
                f.write_str("no signature says what it may be used for (its key flags are missing)")
            }
            LeftOutReason::OnlyCertifies => {
                f.write_str("it only certifies; a card needs a key that signs, decrypts or authenticates")
            }
            LeftOutReason::NewerKey => write!(f, "a newer key has the same use ({detail})"),
            LeftOutReason::UseTaken => write!(f, "the key has another subkey for the same use here ({detail})"),
        }
    }
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
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::NewKeyName))]
    pub name: String,
    /// As in [`ImportPlanRequest`].
    #[cfg_attr(feature = "openapi", schema(value_type = crate::rules::Armored))]
    pub certificate: String,
    /// Every key that the plan names.
    #[serde(deserialize_with = "crate::encoding::objects")]
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
    /// The private half in an envelope for the signer. In it lies PKCS#8 DER for RSA; for NIST curves the secret
    /// number, big-endian, as wide as the curve; for Ed25519 the seed (RFC 8032) and for Curve25519 the secret (RFC
    /// 7748).
    pub envelope: Bytes,
}
