//! The algorithms a playground has keys of.

use std::{fmt, str::FromStr};

use anyhow::{Error, bail};
use serde::{Deserialize, Serialize};

/// A key's algorithm, as `sealcard admin key create --algorithm` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// RSA with 4096 bits.
    Rsa4096,
    /// NIST P-256.
    NistP256,
    /// Ed25519, with Curve25519 for decryption.
    Ed25519,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::Rsa4096, Self::NistP256, Self::Ed25519];

    /// The name on the command line; also the name of a playground's key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa4096 => "rsa4096",
            Self::NistP256 => "nistp256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The environment variable that holds the fingerprint of a playground's key.
    #[must_use]
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Rsa4096 => "SEALCARD_KEY_RSA4096",
            Self::NistP256 => "SEALCARD_KEY_NISTP256",
            Self::Ed25519 => "SEALCARD_KEY_ED25519",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text)) {
            Some(algorithm) => Ok(algorithm),
            None => bail!("there is no algorithm {text:?}; there are rsa4096, nistp256 and ed25519"),
        }
    }
}
