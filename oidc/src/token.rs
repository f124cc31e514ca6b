//! Tokens: JSON Web Tokens that are signed (RFC 7519, RFC 7515), under the rules of RFC 8725.

use std::{fmt, ops::RangeInclusive};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::crypto;
use sealcard_api::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Algorithm, KeySet, LEEWAY, MAX_LIFE, MAX_TOKEN};

/// Why a token is refused. Each text says what its bearer can change, and none tells more than the token does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is too long.
    #[error("the token has more than {MAX_TOKEN} bytes")]
    Size,
    /// It does not have three parts.
    #[error("this is no signed token: it must have three parts with two dots between them")]
    Form,
    /// It is encrypted.
    #[error("the token is encrypted: ask the platform for one that is only signed")]
    Encrypted,
    /// A part of it can't be read.
    #[error("the token's {part} can't be read: {why}")]
    Part {
        /// Which one.
        part: &'static str,
        /// Why.
        why: String,
    },
    /// Its algorithm is not accepted.
    #[error("the token's algorithm {0} is not accepted: RS256, PS256, ES256, ES384 and EdDSA are")]
    Algorithm(String),
    /// It is a token for something else.
    #[error("the token is of the type {0:?}, and an ID token is wanted")]
    Type(String),
    /// It has header parameters that must be understood.
    #[error("the token has critical header parameters, and this server knows none")]
    Critical,
    /// The issuer's keys don't have its key.
    #[error("the issuer has no key for this token: neither the key's id nor its algorithm may differ")]
    UnknownKey,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing, or has no value that it can have.
    #[error("the token's claim {claim} {why}")]
    Claim {
        /// Which one.
        claim: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is from somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is for the audience {found}, and {wanted} is wanted: ask the platform for that one")]
    Audience {
        /// As the token has it.
        found: String,
        /// Ours.
        wanted: String,
    },
    /// It is not valid any more.
    #[error("the token ended {0} seconds ago: ask the platform for one right before you log in")]
    Expired(i64),
    /// It is not valid yet.
    #[error("the token is not valid before {0} seconds from now: check the clocks of the platform and this server")]
    NotYet(i64),
    /// It is valid for too long.
    #[error("the token is valid for {0} seconds, and at most {MAX_LIFE} are accepted: ask for a shorter one")]
    TooLong(i64),
}

/// The header's parameters that count. `jku`, `jwk`, `x5u` and `x5c` are ignored: a token can't bring its own key.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    b64: Option<Value>,
    #[serde(default)]
    zip: Option<Value>,
}

/// A token whose signature nobody has checked yet. What it says may serve to find the issuer's keys, and for nothing
/// else.
pub struct SignedToken<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// Header and payload, as they are signed.
    message: &'a str,
    signature: &'a str,
    claims: Claims,
    issuer: String,
}

impl fmt::Debug for SignedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedToken").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl<'a> SignedToken<'a> {
    /// Reads a token in its compact form.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN {
            return Err(TokenError::Size);
        }
        let dots = text.bytes().filter(|byte| *byte == b'.').count();
        let (message, signature) = match dots {
            2 => text.rsplit_once('.').ok_or(TokenError::Form)?,
            4 => return Err(TokenError::Encrypted),
            _ => return Err(TokenError::Form),
        };
        let (header, payload) = message.split_once('.').ok_or(TokenError::Form)?;
        let header: Header = from_part("header", header)?;
        if header.crit.is_some() || header.b64.is_some() || header.zip.is_some() {
            return Err(TokenError::Critical);
        }
        let algorithm = header.alg.parse().map_err(|()| TokenError::Algorithm(shown(&header.alg)))?;
        if let Some(typ) = header.typ.filter(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::Type(shown(&typ)));
        }
        let claims = Claims(from_part("claims", payload)?);
        let issuer = claims.text("iss").ok_or(TokenError::Claim { claim: "iss", why: "must be one text" })?.to_owned();
        Ok(Self { algorithm, key_id: header.kid, message, signature, claims, issuer })
    }

    /// Which issuer it claims to be of.
    #[must_use]
    pub fn claimed_issuer(&self) -> &str {
        &self.issuer
    }

    /// The key that it claims to be signed with, and how.
    #[must_use]
    pub fn key(&self) -> (Option<&str>, Algorithm) {
        (self.key_id.as_deref(), self.algorithm)
    }

    /// The token's claims, if a key of this issuer signed it, for one of these audiences, and it is valid now.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(self, keys: &KeySet, issuer: &str, audiences: &[&str], now: Timestamp) -> Result<Token, TokenError> {
        if self.issuer != issuer {
            return Err(TokenError::Issuer);
        }
        let key = keys.find(self.key_id.as_deref(), self.algorithm).ok_or(TokenError::UnknownKey)?;
        let right = crypto::verify(self.signature, self.message.as_bytes(), &key.key, self.algorithm.jwt());
        if !right.unwrap_or(false) {
            return Err(TokenError::Signature);
        }
        check_audience(&self.claims, audiences)?;
        let expires = check_times(&self.claims, now.unix())?;
        let unique = self.unique();
        Ok(Token { issuer: self.issuer, claims: self.claims, expires: Timestamp::from_unix(expires), unique })
    }

    /// What distinguishes the token from all others: its issuer and `jti`, or else what was signed. Never the
    /// signature, because one with ECDSA can be changed into another one that is right, too.
    fn unique(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(self.issuer.as_bytes());
        match self.claims.text("jti").filter(|id| !id.is_empty()) {
            Some(id) => {
                context.update(b"\0jti\0");
                context.update(id.as_bytes());
            }
            None => {
                context.update(b"\0message\0");
                context.update(self.message.as_bytes());
            }
        }
        let mut unique = [0; 32];
        unique.copy_from_slice(context.finish().as_ref());
        unique
    }
}

/// A token that its issuer signed, for us, and that is valid now.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The issuer.
    pub issuer: String,
    /// What it says.
    pub claims: Claims,
    /// When it ends. Until [`LEEWAY`] after that, it must not be accepted again.
    pub expires: Timestamp,
    /// SHA-256 of what distinguishes it from all other tokens.
    pub unique: [u8; 32],
}

impl Token {
    /// Whether it is for this audience.
    #[must_use]
    pub fn is_for(&self, audience: &str) -> bool {
        audiences(&self.claims).is_some_and(|audiences| audiences.contains(&audience))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims(Map<String, Value>);

// JSON has no NaN.
impl Eq for Claims {}

impl Claims {
    /// The value of a claim. A name that begins with `/` is a JSON pointer (RFC 6901), which reaches nested claims.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Some(path) = name.strip_prefix('/') else { return self.0.get(name) };
        let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let value = self.0.get(&first.replace("~1", "/").replace("~0", "~"))?;
        rest.map_or(Some(value), |rest| value.pointer(&format!("/{rest}")))
    }

    /// The value of a claim that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Self {
        Self(claims)
    }
}

fn from_part<T: for<'de> Deserialize<'de>>(part: &'static str, text: &str) -> Result<T, TokenError> {
    let unreadable = |why: String| TokenError::Part { part, why };
    let json = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| unreadable("it is no base64url".to_owned()))?;
    // The error would repeat what is in the token.
    serde_json::from_slice(&json).map_err(|_| unreadable("it is no JSON of the right form".to_owned()))
}

fn check_audience(claims: &Claims, accepted: &[&str]) -> Result<(), TokenError> {
    let found =
        audiences(claims).ok_or(TokenError::Claim { claim: "aud", why: "must be a text or a list of texts" })?;
    if found.iter().any(|audience| accepted.contains(audience)) {
        return Ok(());
    }
    let found = found.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ");
    // Which audiences there are is not told to everybody whom the issuer knows.
    let wanted = if let [one] = accepted { format!("{one:?}") } else { "that of a trust".to_owned() };
    Err(TokenError::Audience { found: shown(&found), wanted })
}

/// The audiences of a token. None if the claim has another form.
fn audiences(claims: &Claims) -> Option<Vec<&str>> {
    match claims.get("aud")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => several.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The seconds that can be a time.
const TIMES: RangeInclusive<f64> = 0.0..=253_402_300_799.0;

/// When the token ends.
fn check_times(claims: &Claims, now: i64) -> Result<i64, TokenError> {
    let time = |claim: &'static str| -> Result<Option<i64>, TokenError> {
        let Some(value) = claims.get(claim) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| TIMES.contains(seconds));
        #[expect(clippy::cast_possible_truncation, reason = "it is in range, and a fraction does not count")]
        seconds
            .map(|seconds| Some(seconds as i64))
            .ok_or(TokenError::Claim { claim, why: "must be a time in seconds since 1970" })
    };
    let expires = time("exp")?.ok_or(TokenError::Claim { claim: "exp", why: "is missing" })?;
    if expires + LEEWAY <= now {
        return Err(TokenError::Expired(now - expires));
    }
    let (begins, issued) = (time("nbf")?, time("iat")?);
    if let Some(later) = begins.max(issued).filter(|later| *later > now + LEEWAY) {
        return Err(TokenError::NotYet(later - now));
    }
    // Without `iat`, the rest of its life is what is known.
    let life = expires - issued.unwrap_or(now).min(now);
    if life > MAX_LIFE {
        return Err(TokenError::TooLong(life));
    }
    Ok(expires)
}

/// What a token says, in a message: short, and on one line.
fn shown(text: &str) -> String {
    const MAX_SHOWN: usize = 200;
    let clean = text.chars().map(|c| if c.is_control() { '�' } else { c });
    let mut shown: String = clean.clone().take(MAX_SHOWN).collect();
    if clean.count() > MAX_SHOWN {
        shown.push('…');
    }
    shown
}
