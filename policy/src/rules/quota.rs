//! Quotas: how often keys may be used in a time.

use std::fmt;

use sealcard_api::Timestamp;
use serde::Deserialize;

use super::fields::Span;

/// What each has a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaOf {
    /// Each user.
    User,
    /// Each service account.
    ServiceAccount,
    /// Each key.
    Key,
    /// The whole project.
    Project,
}

impl QuotaOf {
    /// The name in rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServiceAccount => "service-account",
            Self::Key => "key",
            Self::Project => "project",
        }
    }
}

/// How often keys may be used in a time. The times follow one another without gaps, counted from Monday 1970-01-05
/// 00:00 UTC: an hour begins with the full hour, a day at midnight UTC, a week on Monday.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Its name among all quotas of the server, the same as long as rule, subject and window are. What was counted
    /// stays counted when only the number of uses changes.
    pub name: String,
    /// What each has such a quota.
    pub per: QuotaOf,
    /// So many uses.
    pub uses: u32,
    /// In such a time.
    pub window: Span,
}

/// 1970-01-05T00:00:00Z, a Monday.
const FIRST_MONDAY: i64 = 4 * 86_400;

impl Quota {
    /// When the present window began.
    #[must_use]
    pub fn window_start(&self, now: Timestamp) -> Timestamp {
        let since = now.unix() - FIRST_MONDAY;
        Timestamp::from_unix(now.unix() - since.rem_euclid(self.window.seconds()))
    }

    /// When the next window begins.
    #[must_use]
    pub fn window_end(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_unix(self.window_start(now).unix() + self.window.seconds())
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uses = if self.uses == 1 { "use" } else { "uses" };
        write!(f, "{} {uses} per {} in {}", self.uses, self.per.name(), self.window)
    }
}
