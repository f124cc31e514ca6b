//! Where the keys of a test's server are.

use std::{fmt, str::FromStr};

use anyhow::{Result, bail};

use super::TokenKind;
use crate::Algorithm;

/// The sealed store, or a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreKind {
    /// The sealed store.
    #[default]
    Sealed,
    /// A token of SoftHSM.
    SoftHsm,
    /// A token of kryoptic.
    Kryoptic,
}

impl StoreKind {
    /// What the environment variable `SEALCARD_TEST_STORE` says; the sealed store if it is not set.
    ///
    /// # Errors
    /// It names none.
    pub fn of_environment() -> Result<Self> {
        match std::env::var("SEALCARD_TEST_STORE") {
            Ok(name) => name.parse(),
            Err(_) => Ok(Self::Sealed),
        }
    }

    /// The token, if it is one.
    #[must_use]
    pub const fn token(self) -> Option<TokenKind> {
        match self {
            Self::Sealed => None,
            Self::SoftHsm => Some(TokenKind::SoftHsm),
            Self::Kryoptic => Some(TokenKind::Kryoptic),
        }
    }

    /// The algorithms of which it can hold keys.
    #[must_use]
    pub fn algorithms(self) -> Vec<Algorithm> {
        let all = Algorithm::ALL.into_iter();
        match self {
            Self::Sealed | Self::SoftHsm => all.collect(),
            Self::Kryoptic => all.filter(|algorithm| *algorithm != Algorithm::Ed25519).collect(),
        }
    }
}

impl FromStr for StoreKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "sealed" => Ok(Self::Sealed),
            "softhsm" => Ok(Self::SoftHsm),
            "kryoptic" => Ok(Self::Kryoptic),
            other => bail!("{other:?} is no store: say sealed, softhsm or kryoptic"),
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed => "sealed",
            Self::SoftHsm => "softhsm",
            Self::Kryoptic => "kryoptic",
        })
    }
}
