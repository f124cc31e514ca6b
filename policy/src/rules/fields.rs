//! The values of a rule's fields.

use std::{collections::BTreeSet, fmt, str::FromStr};

use sealcard_api::algorithm::HashAlgorithm;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    KeyOperation,
    rules::{flow::ApprovalField, quota::QuotaOf, window::Hours},
};

/// The fields of a rule. Each that is given must be met; the others ask for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// The operations that are allowed.
    pub operations: Option<BTreeSet<KeyOperation>>,
    /// The algorithms of digests that are allowed.
    pub hashes: Option<Vec<HashAlgorithm>>,
    /// Who may use the key.
    pub who: Option<Who>,
    /// Networks, or names of networks, that clients must be in: one of them.
    pub networks: Option<Vec<NetworkRef>>,
    /// When the key may be used: in one of the windows.
    pub hours: Option<Vec<Hours>>,
    /// Names of tools: one must have asked.
    pub tools: Option<Vec<Name>>,
    /// Patterns of host names with `*`: one must match.
    pub hosts: Option<Vec<HostPattern>>,
    /// How the requester must have logged in.
    pub logins: Option<Logins>,
    /// How often the key may be used.
    pub quota: Option<Vec<QuotaField>>,
    /// Who must approve, in which order.
    pub approval: Option<ApprovalField>,
    /// What else is needed: all of them.
    pub require: Option<BTreeSet<Requirement>>,
}

/// Users, service accounts and members of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Who {
    /// Groups.
    pub groups: Vec<Name>,
    /// Users.
    pub users: Vec<Name>,
    /// Service accounts.
    pub service_accounts: Vec<Name>,
}

/// How the requester must have logged in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Logins {
    /// The methods that are allowed.
    #[serde(default)]
    pub methods: Option<Vec<LoginMethod>>,
    /// How long ago the login may be.
    #[serde(default)]
    pub max_age: Option<Span>,
}

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginMethod {
    /// A user's password.
    Password,
    /// A service account's token.
    ServiceToken,
}

impl LoginMethod {
    /// The name in rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::ServiceToken => "service-token",
        }
    }
}

/// How often a key may be used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuotaField {
    /// What each has such a quota.
    pub per: QuotaOf,
    /// So many uses.
    #[serde(deserialize_with = "positive")]
    pub uses: u32,
    /// In each such time.
    pub window: Span,
}

/// What else a use needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// A reason in the requester's words.
    Justification,
    /// A second proof of who the requester is.
    SecondFactor,
    /// Content that the server has seen and hashed itself.
    VerifiedContent,
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("must be at least 1")),
        number if number > 1_000_000_000 => Err(D::Error::custom("must be at most 1000000000")),
        number => Ok(number),
    }
}

/// A name of a user, group, tool or network: letters, digits and `. _ - @`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A field's value that can't be understood. The text says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(pub(crate) String);

impl FromStr for Name {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_@".contains(c));
        if starts && text.len() <= 64 && text.chars().all(good) {
            return Ok(Self(text.to_owned()));
        }
        Err(FieldError(format!(
            "{text:?} is no name: up to 64 of a-z A-Z 0-9 . _ - @, not beginning with \"-\" or \".\""
        )))
    }
}

/// A pattern of a host's name: letters, digits, `.`, `-`, `_`, and `*` for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostPattern {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-*".contains(c);
        if (1..=255).contains(&text.len()) && text.chars().all(good) {
            return Ok(Self(text.to_owned()));
        }
        Err(FieldError(format!("{text:?} is no pattern of a host name: a-z A-Z 0-9 . - _ and * for any text")))
    }
}

/// A network, or the name of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkRef {
    /// A network as such, in canonical form.
    Range(ipnet::IpNet),
    /// A `[network.NAME]`.
    Named(Name),
}

impl FromStr for NetworkRef {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        if text.contains(['/', ':']) || text.parse::<std::net::IpAddr>().is_ok() {
            return super::network::parse(text).map(Self::Range);
        }
        text.parse().map(Self::Named)
    }
}

/// A span of time in whole seconds, such as `30m`, `8h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// The span in seconds, at least 60.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

const UNITS: [(char, i64); 4] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60)];

/// The longest span.
const MAX_SPAN: i64 = 366 * 86_400;

impl FromStr for Span {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let unit = text.chars().last().and_then(|last| UNITS.into_iter().find(|(name, _)| *name == last));
        let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        let number = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<i64>().ok() } else { None };
        let seconds = unit.zip(number).and_then(|((_, seconds), number)| seconds.checked_mul(number));
        match seconds {
            Some(seconds @ 60..=MAX_SPAN) => Ok(Self(seconds)),
            _ => Err(FieldError(format!("{text:?} is no span of time: write 30m, 8h, 7d or 2w, at most 366d"))),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) = UNITS.into_iter().find(|(_, seconds)| self.0 % seconds == 0).unwrap_or(('m', 60));
        write!(f, "{}{unit}", self.0 / seconds)
    }
}

macro_rules! from_text {
    ($($name:ty),+) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        })+
    };
}

from_text!(Name, HostPattern, NetworkRef, Span);
