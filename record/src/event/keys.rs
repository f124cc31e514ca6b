//! The life of signing keys.

use sealcard_api::{
    Fingerprint, Timestamp,
    algorithm::{ComponentAlgorithm, ComponentRole, KeyAlgorithm},
    ids::{ComponentId, EnvironmentId, KeyId, ProjectId},
    keys::{KeyProfile, RevocationReason},
    life::ComponentLife,
    merge::CertificateChange,
    tokens::KeyEvidence,
};
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::{Named, Sha256};

/// A signing key and its project, in JSON the fields `project` and `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// The project.
    pub project: Named<ProjectId>,
    /// The key.
    pub key: Named<KeyId>,
}

/// Which work on a key begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyWork {
    /// A new key is made.
    Create,
    /// A key is made of what is on a token.
    Adopt,
    /// A key comes with its secrets from elsewhere.
    Import,
    /// A newer certificate comes in.
    Merge,
    /// The key gets a later end.
    Extend,
    /// The key is revoked.
    Revoke,
}

/// Work on a key begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBegun {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// Which work.
    pub work: KeyWork,
    /// The components that the signer makes or takes over for it: its journal has an entry for each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub components: Vec<ComponentId>,
    /// The algorithm of a new key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub algorithm: Option<KeyAlgorithm>,
    /// How the certificate of a new key is built.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<KeyProfile>,
    /// The fingerprint of a certificate that there is already.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<Fingerprint>,
    /// The end that the key is to get.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// Why the key is to be revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<RevocationReason>,
}

impl KeyBegun {
    /// Work on a key, with nothing more about it.
    #[must_use]
    pub const fn new(signing_key: SigningKey, work: KeyWork) -> Self {
        Self {
            signing_key,
            work,
            components: Vec::new(),
            algorithm: None,
            profile: None,
            fingerprint: None,
            expires: None,
            reason: None,
        }
    }
}

/// The signer is about to sign for key management.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCertified {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The component key that signs.
    pub component: ComponentId,
    /// SHA-256 of the digest; the signer's journal has the same value.
    pub input_sha256: Sha256,
}

/// Work on a key came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFailed {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// Why.
    pub error: String,
}

/// A component key as the server stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredComponent {
    /// The component.
    pub component: ComponentId,
    /// Its role.
    pub role: ComponentRole,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Of its public half: the point of an elliptic curve, or RSA's modulus and exponent one after the other.
    pub public_key_sha256: Sha256,
    /// Its creation time.
    pub created: Timestamp,
    /// Its end or its certificate's, whichever is earlier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
}

/// What is stored of a key with its certificate from now on. Fields that are absent did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    /// Of the armored certificate.
    pub sha256: Sha256,
    /// Its first user id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_id: Option<String>,
    /// Ends of component keys that are there already.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub lives: Vec<ComponentLife>,
    /// New component keys.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub components: Vec<StoredComponent>,
}

/// A key and its card are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyStored {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The environment that holds its private halves.
    pub environment: Named<EnvironmentId>,
    /// The algorithm.
    pub algorithm: KeyAlgorithm,
    /// The user id of its certificate.
    pub user_id: String,
    /// The fingerprint of its certificate.
    pub fingerprint: Fingerprint,
    /// From when on it makes no signatures.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<Timestamp>,
    /// What a token says of its components.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub evidence: Vec<KeyEvidence>,
    /// The 40 bits of its card's serial number: see [`sealcard_api::CardSerial::from_number`].
    pub serial: u64,
    /// Its certificate and component keys.
    pub certificate: CertificateState,
}

/// Something was done with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAct {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
}

/// A key has another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRenamed {
    /// The key, with the name before.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The name from now on.
    pub new_name: String,
}

/// A key has a later end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyExtended {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The end before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Timestamp>,
    /// The end from now on.
    pub expires: Timestamp,
    /// The certificate that says so.
    pub certificate: CertificateState,
}

/// A newer certificate came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateMerged {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// What it changed.
    pub changes: Vec<CertificateChange>,
    /// The certificate as it is from now on.
    pub certificate: CertificateState,
}

/// A key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevoked {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// Which work did it: `Revoke` or `Merge`.
    pub work: KeyWork,
    /// Why.
    pub reason: RevocationReason,
    /// A sentence for a person; may be empty.
    pub message: String,
    /// What else a merged certificate changed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<CertificateChange>,
    /// The certificate that says so.
    pub certificate: CertificateState,
}

/// Private halves are about to be destroyed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyComponentsAct {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The components concerned: the signer's journal has an entry for each.
    pub components: Vec<ComponentId>,
    /// The fingerprint of the key's certificate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fingerprint: Option<Fingerprint>,
}

/// A private half is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyComponentAct {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The component.
    pub component: ComponentId,
    /// Its role.
    pub role: ComponentRole,
}

/// A private half could not be destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDestroyFailed {
    /// The key.
    #[serde(flatten)]
    pub signing_key: SigningKey,
    /// The component.
    pub component: ComponentId,
    /// Its role.
    pub role: ComponentRole,
    /// Why.
    pub error: String,
}

macro_rules! about_key {
    ($($payload:ty),+) => {$(
        impl Subject for $payload {
            fn project(&self) -> Option<&Named<ProjectId>> {
                Some(&self.signing_key.project)
            }

            fn key(&self) -> Option<&Named<KeyId>> {
                Some(&self.signing_key.key)
            }
        }
    )+};
}

about_key!(
    KeyBegun,
    KeyCertified,
    KeyFailed,
    KeyStored,
    KeyAct,
    KeyRenamed,
    KeyExtended,
    CertificateMerged,
    KeyRevoked,
    KeyComponentsAct,
    KeyComponentAct,
    KeyDestroyFailed
);
