//! Algorithms of keys, component keys and digests.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// A name that stands for no known algorithm. Retrying can't help; the text lists what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownAlgorithmError {
    name: String,
    known: &'static str,
}

impl fmt::Display for UnknownAlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown algorithm {:?}; known are {}", self.name, self.known)
    }
}

impl std::error::Error for UnknownAlgorithmError {}

/// The algorithm of a signing key: that of its primary key and signing subkeys, with the matching one for decryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum KeyAlgorithm {
    /// RSA with 2048 bits throughout.
    Rsa2048,
    /// RSA with 3072 bits throughout.
    Rsa3072,
    /// RSA with 4096 bits throughout.
    Rsa4096,
    /// ECDSA and ECDH over NIST P-256.
    NistP256,
    /// ECDSA and ECDH over NIST P-384.
    NistP384,
    /// ECDSA and ECDH over NIST P-521.
    NistP521,
    /// `EdDSA` over Ed25519 and ECDH over Curve25519.
    Ed25519,
}

impl KeyAlgorithm {
    /// All that can be chosen.
    pub const ALL: [Self; 7] =
        [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::NistP256, Self::NistP384, Self::NistP521, Self::Ed25519];

    const KNOWN: &str = "rsa2048, rsa3072, rsa4096, nistp256, nistp384, nistp521, ed25519";

    /// The name as commands and JSON write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::NistP256 => "nistp256",
            Self::NistP384 => "nistp384",
            Self::NistP521 => "nistp521",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Whether it is RSA: slow to generate, quick to verify.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithmError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownAlgorithmError { name: text.to_owned(), known: Self::KNOWN })
    }
}

/// What a component key is for. It never changes, and no two roles share key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ComponentRole {
    /// The primary key: makes self-signatures and bindings, is on no card.
    Certify,
    /// Card slot 1.
    Sign,
    /// Card slot 2.
    Decrypt,
    /// Card slot 3.
    Authenticate,
}

impl ComponentRole {
    /// All roles, the primary key first, then in the order of the card's slots.
    pub const ALL: [Self; 4] = [Self::Certify, Self::Sign, Self::Decrypt, Self::Authenticate];

    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certify => "certify",
            Self::Sign => "sign",
            Self::Decrypt => "decrypt",
            Self::Authenticate => "authenticate",
        }
    }
}

impl fmt::Display for ComponentRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The algorithm of one component key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ComponentAlgorithm {
    /// RSA, 2048 bits. OpenPGP algorithm 1.
    Rsa2048,
    /// RSA, 3072 bits. OpenPGP algorithm 1.
    Rsa3072,
    /// RSA, 4096 bits. OpenPGP algorithm 1.
    Rsa4096,
    /// ECDSA over NIST P-256. OpenPGP algorithm 19.
    EcdsaP256,
    /// ECDSA over NIST P-384. OpenPGP algorithm 19.
    EcdsaP384,
    /// ECDSA over NIST P-521. OpenPGP algorithm 19.
    EcdsaP521,
    /// ECDH over NIST P-256. OpenPGP algorithm 18.
    EcdhP256,
    /// ECDH over NIST P-384. OpenPGP algorithm 18.
    EcdhP384,
    /// ECDH over NIST P-521. OpenPGP algorithm 18.
    EcdhP521,
    /// `EdDSA` over Ed25519. OpenPGP algorithm 22 (the legacy form, which gpg 2.2 knows).
    EddsaEd25519,
    /// ECDH over Curve25519. OpenPGP algorithm 18.
    EcdhCv25519,
}

/// What an algorithm does, and with which parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Signs (PKCS#1 v1.5) and decrypts.
    Rsa {
        /// Length of the modulus.
        bits: u16,
    },
    /// Signs, over a NIST curve.
    Ecdsa(Curve),
    /// Signs, over Ed25519.
    Eddsa,
    /// Agrees on a secret, over a NIST curve or Curve25519.
    Ecdh(Curve),
}

impl ComponentAlgorithm {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::EcdhP256,
        Self::EcdhP384,
        Self::EcdhP521,
        Self::EddsaEd25519,
        Self::EcdhCv25519,
    ];

    /// The algorithm that a key of `algorithm` uses in `role`.
    #[must_use]
    pub const fn of(algorithm: KeyAlgorithm, role: ComponentRole) -> Self {
        match (algorithm, role) {
            (KeyAlgorithm::Rsa2048, _) => Self::Rsa2048,
            (KeyAlgorithm::Rsa3072, _) => Self::Rsa3072,
            (KeyAlgorithm::Rsa4096, _) => Self::Rsa4096,
            (KeyAlgorithm::NistP256, ComponentRole::Decrypt) => Self::EcdhP256,
            (KeyAlgorithm::NistP256, _) => Self::EcdsaP256,
            (KeyAlgorithm::NistP384, ComponentRole::Decrypt) => Self::EcdhP384,
            (KeyAlgorithm::NistP384, _) => Self::EcdsaP384,
            (KeyAlgorithm::NistP521, ComponentRole::Decrypt) => Self::EcdhP521,
            (KeyAlgorithm::NistP521, _) => Self::EcdsaP521,
            (KeyAlgorithm::Ed25519, ComponentRole::Decrypt) => Self::EcdhCv25519,
            (KeyAlgorithm::Ed25519, _) => Self::EddsaEd25519,
        }
    }

    /// The algorithm of a signing key with components like this one.
    #[must_use]
    pub const fn family(self) -> KeyAlgorithm {
        match self {
            Self::Rsa2048 => KeyAlgorithm::Rsa2048,
            Self::Rsa3072 => KeyAlgorithm::Rsa3072,
            Self::Rsa4096 => KeyAlgorithm::Rsa4096,
            Self::EcdsaP256 | Self::EcdhP256 => KeyAlgorithm::NistP256,
            Self::EcdsaP384 | Self::EcdhP384 => KeyAlgorithm::NistP384,
            Self::EcdsaP521 | Self::EcdhP521 => KeyAlgorithm::NistP521,
            Self::EddsaEd25519 | Self::EcdhCv25519 => KeyAlgorithm::Ed25519,
        }
    }

    /// What it does.
    #[must_use]
    pub const fn scheme(self) -> Scheme {
        match self {
            Self::Rsa2048 => Scheme::Rsa { bits: 2048 },
            Self::Rsa3072 => Scheme::Rsa { bits: 3072 },
            Self::Rsa4096 => Scheme::Rsa { bits: 4096 },
            Self::EcdsaP256 => Scheme::Ecdsa(Curve::NistP256),
            Self::EcdsaP384 => Scheme::Ecdsa(Curve::NistP384),
            Self::EcdsaP521 => Scheme::Ecdsa(Curve::NistP521),
            Self::EcdhP256 => Scheme::Ecdh(Curve::NistP256),
            Self::EcdhP384 => Scheme::Ecdh(Curve::NistP384),
            Self::EcdhP521 => Scheme::Ecdh(Curve::NistP521),
            Self::EddsaEd25519 => Scheme::Eddsa,
            Self::EcdhCv25519 => Scheme::Ecdh(Curve::Cv25519),
        }
    }

    /// The curve; none for RSA.
    #[must_use]
    pub const fn curve(self) -> Option<Curve> {
        match self.scheme() {
            Scheme::Rsa { .. } => None,
            Scheme::Ecdsa(curve) | Scheme::Ecdh(curve) => Some(curve),
            Scheme::Eddsa => Some(Curve::Ed25519),
        }
    }

    /// Whether a key of this algorithm can have this role.
    #[must_use]
    pub const fn fits(self, role: ComponentRole) -> bool {
        match self.scheme() {
            Scheme::Rsa { .. } => true,
            Scheme::Ecdsa(_) | Scheme::Eddsa => !matches!(role, ComponentRole::Decrypt),
            Scheme::Ecdh(_) => matches!(role, ComponentRole::Decrypt),
        }
    }

    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::EcdhP256 => "ecdh-p256",
            Self::EcdhP384 => "ecdh-p384",
            Self::EcdhP521 => "ecdh-p521",
            Self::EddsaEd25519 => "eddsa-ed25519",
            Self::EcdhCv25519 => "ecdh-cv25519",
        }
    }
}

impl fmt::Display for ComponentAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The public half of a component key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PublicKey {
    /// RSA.
    Rsa {
        /// Modulus, big-endian, without leading zeros.
        n: Bytes,
        /// Public exponent, big-endian, without leading zeros.
        e: Bytes,
    },
    /// An elliptic curve.
    Ec {
        /// The curve.
        curve: Curve,
        /// NIST curves: `04 || X || Y`, each coordinate as wide as the field (SEC 1 section 2.3.3). Ed25519 and
        /// Curve25519: the 32 bytes of RFC 8032 and RFC 7748, without a prefix.
        point: Bytes,
    },
}

/// An elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Curve {
    /// NIST P-256.
    NistP256,
    /// NIST P-384.
    NistP384,
    /// NIST P-521.
    NistP521,
    /// Ed25519, for signatures.
    Ed25519,
    /// Curve25519, for decryption.
    Cv25519,
}

impl Curve {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NistP256, Self::NistP384, Self::NistP521, Self::Ed25519, Self::Cv25519];

    /// Width in bytes of a coordinate, of the order, and so of each half of a signature.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::NistP256 | Self::Ed25519 | Self::Cv25519 => 32,
            Self::NistP384 => 48,
            Self::NistP521 => 66,
        }
    }

    /// Whether points are written `04 || X || Y`, and not in the curve's own form.
    #[must_use]
    pub const fn is_nist(self) -> bool {
        matches!(self, Self::NistP256 | Self::NistP384 | Self::NistP521)
    }

    /// Length in bytes of a point, as [`PublicKey::Ec`] writes it.
    #[must_use]
    pub const fn point_len(self) -> usize {
        if self.is_nist() { 1 + 2 * self.width() } else { self.width() }
    }

    /// Whether `point` has the form of this curve's points. It need not lie on the curve.
    #[must_use]
    pub fn has_form_of(self, point: &[u8]) -> bool {
        point.len() == self.point_len() && (!self.is_nist() || point.first() == Some(&4))
    }
}

/// A hash algorithm that may be signed. SHA-1, MD5 and RIPEMD-160 are not here on purpose: they are refused everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HashAlgorithm {
    /// SHA-224, 28 bytes.
    Sha224,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// All that may be signed.
    pub const ALL: [Self; 4] = [Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Length of a digest in bytes.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name as JSON and Assuan's `--hash=` write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The DER prefix of a `DigestInfo` with this hash, NULL parameters included (RFC 8017 section 9.2, note 1).
    #[must_use]
    pub const fn digest_info_prefix(self) -> [u8; 19] {
        let (outer, arc, len) = match self {
            Self::Sha224 => (0x2D, 4, 28),
            Self::Sha256 => (0x31, 1, 32),
            Self::Sha384 => (0x41, 2, 48),
            Self::Sha512 => (0x51, 3, 64),
        };
        [
            0x30, outer, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc, 0x05, 0x00, 0x04,
            len,
        ]
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnknownAlgorithmError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|h| h.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownAlgorithmError { name: text.to_owned(), known: "sha224, sha256, sha384, sha512" })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn json_names_and_display_names_agree() {
        for a in KeyAlgorithm::ALL {
            assert_eq!(serde_json::to_string(&a).unwrap(), format!("\"{a}\""));
            assert_eq!(a.name().parse(), Ok(a));
            assert!(KeyAlgorithm::KNOWN.split(", ").any(|name| name == a.name()));
            for role in ComponentRole::ALL {
                assert!(ComponentAlgorithm::of(a, role).fits(role), "{a} as {role}");
                assert_eq!(ComponentAlgorithm::of(a, role).family(), a);
            }
        }
        for c in ComponentAlgorithm::ALL {
            assert_eq!(serde_json::to_string(&c).unwrap(), format!("\"{c}\""));
        }
        for role in ComponentRole::ALL {
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""));
        }
        for h in HashAlgorithm::ALL {
            assert_eq!(serde_json::to_string(&h).unwrap(), format!("\"{h}\""));
            assert_eq!(h.name().parse(), Ok(h));
        }
    }

    #[test]
    fn weak_hashes_have_no_name() {
        for name in ["sha1", "md5", "rmd160", "ripemd160"] {
            assert!(name.parse::<HashAlgorithm>().is_err());
            assert!(serde_json::from_str::<HashAlgorithm>(&format!("\"{name}\"")).is_err());
        }
    }

    #[test]
    fn the_digest_info_lengths_agree_with_the_digest() {
        for h in HashAlgorithm::ALL {
            let prefix = h.digest_info_prefix();
            assert_eq!(usize::from(prefix[18]), h.digest_len());
            assert_eq!(usize::from(prefix[1]) + 2, prefix.len() + h.digest_len());
        }
    }
}
