//! A key as the server keeps it, and how people name one on a token.

use sealcard_api::algorithm::{ComponentAlgorithm, ComponentRole, Curve, PublicKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How a person names a key on a token. Exactly one private key must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLocator {
    /// `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `CKA_LABEL`.
    pub label: Option<String>,
}

/// A component key as it lies in the server's database: only the signer can do anything with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// The component's id.
    pub component: Uuid,
    /// Its algorithm.
    pub algorithm: ComponentAlgorithm,
    /// Its role.
    pub role: ComponentRole,
    /// Its public half.
    pub public_key: PublicKeyBytes,
    /// A sealed store: the private half, encrypted; id, algorithm, role and public half are its associated data. A
    /// token: where the key is on it.
    pub handle: Vec<u8>,
}

/// The public half of a component key, in the form of [`sealcard_api::algorithm::PublicKey`] but in plain bytes
/// (postcard can't carry internally tagged enums).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicKeyBytes {
    /// RSA: modulus and exponent, big-endian, without leading zeros.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Public exponent.
        e: Vec<u8>,
    },
    /// An elliptic curve (which one is told by the algorithm): `04 || X || Y`, or the 32 bytes of Ed25519 and
    /// Curve25519.
    Ec {
        /// The point.
        point: Vec<u8>,
    },
}

impl PublicKeyBytes {
    /// The form of the wire contract. RSA has no curve, and its public key no place for one.
    #[must_use]
    pub fn to_public_key(&self, algorithm: ComponentAlgorithm) -> PublicKey {
        match self {
            Self::Rsa { n, e } => PublicKey::Rsa { n: n.clone().into(), e: e.clone().into() },
            Self::Ec { point } => {
                let curve = algorithm.curve().unwrap_or(Curve::NistP256);
                PublicKey::Ec { curve, point: point.clone().into() }
            }
        }
    }
}

impl From<PublicKey> for PublicKeyBytes {
    fn from(key: PublicKey) -> Self {
        match key {
            PublicKey::Rsa { n, e } => Self::Rsa { n: n.0, e: e.0 },
            PublicKey::Ec { point, .. } => Self::Ec { point: point.0 },
        }
    }
}
