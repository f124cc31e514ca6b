//! The keys of the issuers whose tokens are trusted: found by discovery, fetched over HTTPS, and kept for a while.
//!
//! Whoever asks names an issuer that a trust names, never one that only a token names: no outsider makes the server open
//! a connection to an address of their choice.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use parking_lot::Mutex;
use reqwest::{Client, Url};
use sealcard_api::Timestamp;
use sealcard_oidc::{Algorithm, Discovery, Issuer, KeyCache, KeySet, MAX_DOCUMENT, Next};
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    limits,
    outbound::{Connecting, TargetError, failure_reason},
};

/// The keys of issuers, as far as tokens have asked for them.
pub struct Issuers {
    client: Client,
    allow_private: bool,
    /// Each has a lock of its own, so that one fetch serves all tokens that wait, and one issuer that is slow delays
    /// only its own tokens.
    known: Mutex<HashMap<Issuer, Arc<AsyncMutex<Known>>>>,
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

/// What is known of one issuer.
#[derive(Default)]
struct Known {
    keys: KeyCache,
    /// Why the last fetch failed.
    failure: String,
}

/// The client for issuers can't be made. Retrying helps after the configuration was corrected.
#[derive(Debug, thiserror::Error)]
#[error("issuers can't be asked for their keys: {0}")]
pub struct IssuersError(String);

/// Why there are no keys for a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The issuer's keys, which are at most a minute old, don't have the token's key.
    #[error("the issuer has no key for this token")]
    UnknownKey,
    /// The issuer did not give its keys. A retry helps after a minute.
    #[error("the keys of {issuer} can't be had: {why}")]
    Unavailable {
        /// The issuer.
        issuer: Issuer,
        /// Why, for an administrator.
        why: String,
    },
}

impl Issuers {
    /// Issuers with certificates of these authorities, or the system's. Only with `allow_private`, they may have other
    /// addresses than those of the public internet.
    ///
    /// # Errors
    /// If the authorities can't be read.
    pub fn new(ca_file: Option<&Path>, allow_private: bool) -> Result<Self, IssuersError> {
        let wrong = |error: TargetError| IssuersError(error.to_string());
        let mut connecting = Connecting::new();
        let tls = connecting.tls(ca_file, None).map_err(wrong)?;
        let client = connecting.client(tls, (allow_private, false), limits::ISSUER_DEADLINE).map_err(wrong)?;
        Ok(Self { client, allow_private, known: Mutex::default() })
    }

    /// The keys that a token of a trusted issuer with this key id and algorithm is verified with.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub async fn keys(
        &self,
        issuer: &Issuer,
        key: (Option<&str>, Algorithm),
        now: Timestamp,
    ) -> Result<KeySet, KeysError> {
        let known = Arc::clone(self.known.lock().entry(issuer.clone()).or_default());
        let mut known = known.lock().await;
        if known.keys.next(key, now) == Next::Fetch {
            match self.fetch(issuer).await {
                Ok(keys) => known.keys.fetched(keys, now),
                Err(why) => {
                    tracing::warn!(%issuer, %why, "the issuer's keys were not fetched");
                    known.keys.failed(now);
                    known.failure = why;
                }
            }
        }
        match known.keys.next(key, now) {
            Next::Use(keys) => Ok(keys.clone()),
            Next::UnknownKey => Err(KeysError::UnknownKey),
            // After an attempt, none is wanted for a while.
            Next::Unavailable | Next::Fetch => {
                Err(KeysError::Unavailable { issuer: issuer.clone(), why: known.failure.clone() })
            }
        }
    }

    async fn fetch(&self, issuer: &Issuer) -> Result<KeySet, String> {
        let configuration = self.get(&issuer.discovery_url()).await?;
        let discovery = Discovery::parse(&configuration, issuer).map_err(|error| error.to_string())?;
        KeySet::parse(&self.get(&discovery.keys_url).await?).map_err(|error| error.to_string())
    }

    /// What is at an address: at most [`MAX_DOCUMENT`] bytes, without a redirect.
    async fn get(&self, address: &str) -> Result<Vec<u8>, String> {
        let url: Url = TargetError::check_url(address, self.allow_private).map_err(|error| error.to_string())?;
        let mut response = self.client.get(url).send().await.map_err(failure_reason)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("{address} answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failure_reason)? {
            if body.len() + chunk.len() > MAX_DOCUMENT {
                return Err(format!("the answer of {address} has more than {MAX_DOCUMENT} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
