//! Issuers, and what they publish about themselves (OpenID Connect Discovery 1.0).

use std::fmt;

use serde::Deserialize;

use crate::MAX_DOCUMENT;

/// Why an issuer, or what it published, is refused. Retrying helps after it was mended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// It is no address that can be used.
    #[error("{0:?} is no issuer: it begins with https://, names a host, and has no query, fragment, password or space")]
    Address(String),
    /// The answer is too large.
    #[error("the issuer's openid-configuration has more than {MAX_DOCUMENT} bytes")]
    Size,
    /// The answer is no JSON of the right form.
    #[error("the issuer's openid-configuration is no JSON object with \"issuer\" and \"jwks_uri\"")]
    Form,
    /// It is of another issuer.
    #[error("the openid-configuration names another issuer, {0:?}")]
    Other(String),
    /// The keys are at an address that can't be used.
    #[error("the openid-configuration's jwks_uri {0:?} is no https address")]
    Keys(String),
}

/// The name of an issuer: an address of HTTPS, compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Issuer(String);

/// The longest name of an issuer, in bytes.
const MAX_ISSUER: usize = 500;

impl Issuer {
    /// Reads one.
    ///
    /// # Errors
    /// [`IssuerError::Address`].
    pub fn parse(text: &str) -> Result<Self, IssuerError> {
        let error = || IssuerError::Address(text.chars().take(MAX_ISSUER).collect());
        if text.len() > MAX_ISSUER || !is_https(text) || text.contains(['?', '#']) {
            return Err(error());
        }
        Ok(Self(text.to_owned()))
    }

    /// As tokens have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it says where its keys are.
    #[must_use]
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an issuer published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Where its keys are.
    pub keys_url: String,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Discovery {
    /// Reads the answer of an issuer, which must name itself.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub fn parse(json: &[u8], issuer: &Issuer) -> Result<Self, IssuerError> {
        if json.len() > MAX_DOCUMENT {
            return Err(IssuerError::Size);
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| IssuerError::Form)?;
        let short = |text: &str| text.chars().take(MAX_ISSUER).collect();
        if document.issuer != issuer.0 {
            return Err(IssuerError::Other(short(&document.issuer)));
        }
        if document.jwks_uri.contains('#') || !is_https(&document.jwks_uri) {
            return Err(IssuerError::Keys(short(&document.jwks_uri)));
        }
        Ok(Self { keys_url: document.jwks_uri })
    }
}

/// Whether it is an address of HTTPS with a host, without a user, spaces or control characters.
fn is_https(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !host.is_empty() && !host.contains(['@', '\\']) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
