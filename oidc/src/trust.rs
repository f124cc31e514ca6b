//! Which jobs may log in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Issuer, Platform, Token};

/// Why a trust can't be made. Each text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The audience can't be used.
    #[error("{0:?} is no audience: 1 to {MAX_TEXT} printable characters, such as the server's address")]
    Audience(String),
    /// A claim's name can't be used.
    #[error("{0:?} can't be the name of a claim here: iss and aud have options of their own, and times always count")]
    Name(String),
    /// A claim has a value that can't be used.
    #[error("the value {value:?} of {claim} can't be used: 1 to {MAX_TEXT} characters without control characters")]
    Value {
        /// The claim.
        claim: String,
        /// Its value.
        value: String,
    },
    /// A pattern is not allowed here.
    #[error("{claim} is compared exactly, so {value:?} would never match: only the name of a branch or tag can have *")]
    Pattern {
        /// The claim.
        claim: String,
        /// Its value.
        value: String,
    },
    /// There is too much of it.
    #[error("a trust names at most {MAX_CLAIMS} claims with at most {MAX_ALTERNATIVES} values each")]
    Count,
    /// A claim is missing that the platform needs.
    #[error("a trust of {platform} must name {}", any(.claims))]
    Missing {
        /// The platform.
        platform: Platform,
        /// One of these.
        claims: Vec<&'static str>,
    },
    /// Without a claim, everybody whom the issuer knows could log in.
    #[error("a trust must name a claim that only the jobs have which may log in")]
    Everybody,
}

fn any(claims: &[&'static str]) -> String {
    claims.join(" or ")
}

/// The longest audience, name of a claim and value, in bytes.
const MAX_TEXT: usize = 500;

/// The most claims of a trust.
const MAX_CLAIMS: usize = 32;

/// The most values of a claim.
const MAX_ALTERNATIVES: usize = 32;

/// The name of a claim. One that begins with `/` is a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimName(String);

impl ClaimName {
    fn new(text: &str) -> Result<Self, TrustError> {
        let name = Self(text.to_owned());
        if is_plain(text) && Platform::may_name(&name) { Ok(name) } else { Err(TrustError::Name(text.to_owned())) }
    }

    /// As tokens have it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A value that a claim may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// This one, byte by byte.
    Exact(String),
    /// The name of a branch or tag, in which each `*` stands for characters other than `/`.
    Ref(String),
}

impl Pattern {
    /// Whether it stands for this value.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == value,
            Self::Ref(pattern) => {
                pattern.split('/').count() == value.split('/').count()
                    && pattern.split('/').zip(value.split('/')).all(|(pattern, part)| matches_part(pattern, part))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Exact(text) | Self::Ref(text)) = self;
        f.write_str(text)
    }
}

/// Whether each `*` can stand for something so that both are the same. The pieces between them are looked for from the
/// left, because an earlier place leaves more for the rest.
fn matches_part(pattern: &str, part: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == part };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(between) = part.strip_prefix(first).and_then(|part| part.strip_suffix(last)) else { return false };
    let mut pieces = middle.split('*').filter(|piece| !piece.is_empty());
    pieces.try_fold(between, |left, piece| left.split_once(piece).map(|(_, after)| after)).is_some()
}

/// Jobs that may log in: those with a token of this issuer, for this audience, with one of the values of each claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    platform: Platform,
    issuer: Issuer,
    audience: String,
    claims: BTreeMap<ClaimName, BTreeSet<Pattern>>,
}

/// One thing that a token was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The claim.
    pub claim: String,
    /// What it must be, in words.
    pub wanted: String,
    /// What it is. None if the token does not have it.
    pub found: Option<String>,
    /// Whether that is right.
    pub met: bool,
}

/// What came of comparing a token with a trust, claim by claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict(pub Vec<Check>);

impl Verdict {
    /// Whether the token matches.
    #[must_use]
    pub fn matches(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|check| check.met)
    }
}

impl Trust {
    /// Makes a trust of claims and their values: several values of one claim are alternatives.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn new<'a>(
        platform: Platform,
        issuer: Issuer,
        audience: &str,
        claims: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, TrustError> {
        if !is_plain(audience) {
            return Err(TrustError::Audience(audience.to_owned()));
        }
        let mut named: BTreeMap<ClaimName, BTreeSet<Pattern>> = BTreeMap::new();
        for (claim, value) in claims {
            let name = ClaimName::new(claim)?;
            let values = named.entry(name).or_default();
            values.insert(pattern(platform, claim, value)?);
            if values.len() > MAX_ALTERNATIVES || named.len() > MAX_CLAIMS {
                return Err(TrustError::Count);
            }
        }
        if named.is_empty() {
            return Err(TrustError::Everybody);
        }
        let names = |claim: &str| named.keys().any(|name| name.as_str() == claim);
        let missing = |claims: &[&'static str]| TrustError::Missing { platform, claims: claims.to_vec() };
        if let Some(claims) = platform.demanded().iter().find(|claims| !claims.iter().any(|claim| names(claim))) {
            return Err(missing(claims));
        }
        let companions = named.keys().filter_map(|name| platform.companion(name.as_str()));
        if let Some(claim) = companions.into_iter().find(|claim| !names(claim)) {
            return Err(missing(&[claim]));
        }
        Ok(Self { platform, issuer, audience: audience.to_owned(), claims: named })
    }

    /// The platform, whose traps are avoided.
    #[must_use]
    pub const fn platform(&self) -> Platform {
        self.platform
    }

    /// The issuer.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The audience.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The claims, each with its values.
    pub fn claims(&self) -> impl Iterator<Item = (&ClaimName, &BTreeSet<Pattern>)> {
        self.claims.iter()
    }

    /// Whether a claim may have exactly this value. A pattern does not count: what is refused unless it is named is
    /// named on purpose.
    pub(crate) fn names_exactly(&self, claim: &str, value: &str) -> bool {
        let mut claims = self.claims.iter();
        claims.any(|(name, values)| name.as_str() == claim && values.contains(&Pattern::Exact(value.to_owned())))
    }

    /// Compares a token with it, claim by claim.
    #[must_use]
    pub fn check(&self, token: &Token) -> Verdict {
        let issuer = Check {
            claim: "iss".to_owned(),
            wanted: self.issuer.to_string(),
            found: Some(token.issuer.clone()),
            met: token.issuer == self.issuer.as_str(),
        };
        let audience = Check {
            claim: "aud".to_owned(),
            wanted: self.audience.clone(),
            found: token.claims.get("aud").map(display),
            met: token.is_for(&self.audience),
        };
        let named = self.claims.iter().map(|(name, values)| {
            let value = token.claims.get(name.as_str());
            // `"true"` is not `true`, and the number 1 is not the text: platforms write ids as texts.
            let text = value.and_then(Value::as_str);
            Check {
                claim: name.0.clone(),
                wanted: values.iter().map(Pattern::to_string).collect::<Vec<_>>().join(" or "),
                found: value.map(display),
                met: text.is_some_and(|text| values.iter().any(|pattern| pattern.matches(text))),
            }
        });
        let mut checks: Vec<Check> = [issuer, audience].into_iter().chain(named).collect();
        checks.extend(self.platform.checks(&token.claims, self));
        Verdict(checks)
    }
}

/// What came of looking for the trust of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection<T> {
    /// This one.
    One(T),
    /// None matches.
    None,
    /// These match and let log in as different service accounts: the job must name one.
    Several(Vec<T>),
}

/// Finds the trust that a token matches, among trusts with what the caller knows them by and the service account that
/// they log in as. Of several that log in as the same account, the first one counts.
pub fn select<'a, T, A: PartialEq>(token: &Token, trusts: impl IntoIterator<Item = (T, A, &'a Trust)>) -> Selection<T> {
    let matching = trusts.into_iter().filter(|(_, _, trust)| trust.check(token).matches());
    let mut found: Vec<(T, A)> = matching.map(|(name, account, _)| (name, account)).collect();
    let one_account = found.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a == b));
    if one_account {
        return if found.is_empty() { Selection::None } else { Selection::One(found.swap_remove(0).0) };
    }
    Selection::Several(found.into_iter().map(|(name, _)| name).collect())
}

fn pattern(platform: Platform, claim: &str, value: &str) -> Result<Pattern, TrustError> {
    let (claim, text) = (claim.to_owned(), value.to_owned());
    if value.is_empty() || value.len() > MAX_TEXT || value.chars().any(char::is_control) {
        return Err(TrustError::Value { claim, value: text });
    }
    if !value.contains('*') {
        return Ok(Pattern::Exact(text));
    }
    if !platform.is_ref(&claim) {
        return Err(TrustError::Pattern { claim, value: text });
    }
    Ok(Pattern::Ref(text))
}

fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A claim as messages show it: a text as it is, any other value as JSON.
fn display(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
