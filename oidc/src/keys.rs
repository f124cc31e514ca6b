//! The keys of an issuer, as it publishes them (RFC 7517).

use std::{collections::BTreeMap, fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::{MAX_DOCUMENT, MAX_KEYS};

/// The algorithms that tokens may be signed with. There is no symmetric one and no `none`: an issuer's public key can
/// never be taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
    /// RSA with PSS and SHA-256.
    Ps256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rs256, Self::Ps256, Self::Es256, Self::Es384, Self::EdDsa];

    /// The name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(crate) const fn jwt(self) -> JwtAlgorithm {
        match self {
            Self::Rs256 => JwtAlgorithm::RS256,
            Self::Ps256 => JwtAlgorithm::PS256,
            Self::Es256 => JwtAlgorithm::ES256,
            Self::Es384 => JwtAlgorithm::ES384,
            Self::EdDsa => JwtAlgorithm::EdDSA,
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == text).ok_or(())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One public key of an issuer.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    kind: Kind,
    /// The only algorithm that the issuer uses it with, if it says so.
    only: Option<Algorithm>,
    pub(crate) key: DecodingKey,
    /// What the key is made of, to compare sets.
    material: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    /// The name that tokens call it by.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether tokens with this algorithm can be signed with it.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let by_kind = match self.kind {
            Kind::Rsa => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Kind::P256 => algorithm == Algorithm::Es256,
            Kind::P384 => algorithm == Algorithm::Es384,
            Kind::Ed25519 => algorithm == Algorithm::EdDsa,
        };
        by_kind && self.only.is_none_or(|only| only == algorithm)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, self.kind, self.only, &self.material) == (&other.id, other.kind, other.only, &other.material)
    }
}

impl Eq for Key {}

/// The keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

/// Why a set of keys is none. Retrying helps after the issuer, or the file, was mended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is too large.
    #[error("the key set has more than {MAX_DOCUMENT} bytes")]
    Size,
    /// It is no JSON of the right form.
    #[error("the key set is no JSON object with a list \"keys\": {0}")]
    Form(String),
    /// It has too many keys.
    #[error("the key set has more than {MAX_KEYS} keys")]
    Count,
    /// Two keys have one name.
    #[error("the key set has two keys with the id {0:?}")]
    TwoOfOneName(String),
    /// No key can be used.
    #[error(
        "the key set has no key for signatures that can be used: RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519"
    )]
    Empty,
}

/// A set as JSON has it. Unknown fields and kinds are ignored, so that a new kind of key does not make the others useless.
#[derive(Deserialize)]
struct Document {
    keys: Vec<BTreeMap<String, Value>>,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys of other kinds and for other uses are left out.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        if json.len() > MAX_DOCUMENT {
            return Err(KeySetError::Size);
        }
        let document: Document = serde_json::from_slice(json).map_err(|error| KeySetError::Form(error.to_string()))?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::Count);
        }
        let mut keys: Vec<Key> = Vec::new();
        for key in document.keys.iter().filter_map(read_key) {
            match keys.iter().find(|other| other.id == key.id && other.kind == key.kind && key.id.is_some()) {
                // Some issuers list a key once for each algorithm.
                Some(same) if same.material == key.material => {
                    if same.only != key.only {
                        keys.push(key);
                    }
                }
                Some(_) => return Err(KeySetError::TwoOfOneName(key.id.unwrap_or_default())),
                None => keys.push(key),
            }
        }
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self(keys)) }
    }

    /// The key for a token. A token that names none has one only if no other key fits its algorithm.
    #[must_use]
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting =
            self.0.iter().filter(|key| key.fits(algorithm) && id.is_none_or(|id| key.id.as_deref() == Some(id)));
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then_some(first)
    }

    /// All of them.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

fn read_key(fields: &BTreeMap<String, Value>) -> Option<Key> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    if fields.contains_key("use") && text("use") != Some("sig") {
        return None;
    }
    if let Some(operations) = fields.get("key_ops") {
        let verifies = |operation: &Value| operation.as_str() == Some("verify");
        if !operations.as_array()?.iter().any(verifies) {
            return None;
        }
    }
    let only = match fields.get("alg") {
        None => None,
        Some(name) => Some(name.as_str()?.parse().ok()?),
    };
    let id = match fields.get("kid") {
        None => None,
        Some(id) => Some(id.as_str()?.to_owned()),
    };
    let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
    let (kind, material, key) = match (text("kty")?, text("crv")) {
        ("RSA", None) => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            if !is_good_rsa(&modulus, &exponent) {
                return None;
            }
            let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
            (Kind::Rsa, vec![modulus, exponent], key)
        }
        ("EC", Some(curve)) => {
            let (kind, size) = match curve {
                "P-256" => (Kind::P256, 32),
                "P-384" => (Kind::P384, 48),
                _ => return None,
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != size || y.len() != size {
                return None;
            }
            let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
            (kind, vec![x, y], key)
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes("x")?;
            if x.len() != 32 {
                return None;
            }
            (Kind::Ed25519, vec![x.clone()], DecodingKey::from_ed_der(&x))
        }
        _ => return None,
    };
    let key = Key { id, kind, only, key, material };
    // A key that no algorithm fits is of no use.
    Algorithm::ALL.into_iter().any(|algorithm| key.fits(algorithm)).then_some(key)
}

/// 2048 to 8192 bits without leading zeros, and an odd exponent from 3 to 2^32.
fn is_good_rsa(modulus: &[u8], exponent: &[u8]) -> bool {
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    let exponent = exponent.iter().try_fold(0_u32, |sum, byte| sum.checked_mul(256)?.checked_add(u32::from(*byte)));
    (2048..=8192).contains(&bits)
        && modulus.first() != Some(&0)
        && exponent.is_some_and(|exponent| exponent >= 3 && exponent % 2 == 1)
}
