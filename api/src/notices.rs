//! Notices: what people are told by mail and in channels, and how it was delivered. `/v1/notices`, for administrators.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    ids::{NoticeId, ProjectId},
};

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A signing request waits for an approval.
    ApprovalWanted,
    /// It still waits.
    ApprovalReminder,
    /// The outcome, for the requester.
    ApprovalDecided,
    /// A key was used, or is about to be, by way of break-glass.
    BreakGlass,
    /// A change waits for an approval.
    ChangeWanted,
    /// A change was made, or takes effect later.
    ChangeMade,
    /// A use by way of break-glass is to be reviewed.
    ReviewOpen,
    /// An administrator tries the channels.
    Test,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::ApprovalWanted,
        Self::ApprovalReminder,
        Self::ApprovalDecided,
        Self::BreakGlass,
        Self::ChangeWanted,
        Self::ChangeMade,
        Self::ReviewOpen,
        Self::Test,
    ];

    /// The name as JSON and the configuration write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApprovalWanted => "approval-wanted",
            Self::ApprovalReminder => "approval-reminder",
            Self::ApprovalDecided => "approval-decided",
            Self::BreakGlass => "break-glass",
            Self::ChangeWanted => "change-wanted",
            Self::ChangeMade => "change-made",
            Self::ReviewOpen => "review-open",
            Self::Test => "test",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One fact of a notice: a label and its value, each in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeFact {
    /// Such as `key`.
    pub label: String,
    /// Such as `tools/release`.
    pub value: String,
}

/// The project that a notice is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeProject {
    /// The id.
    pub id: ProjectId,
    /// Its name when the notice was made.
    pub name: String,
}

/// A notice and its deliveries. `GET /v1/notices/{notice}`; the list `GET /v1/notices` has the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Notice {
    /// The id; each message that carries the notice names it.
    pub id: NoticeId,
    /// What it is about.
    pub kind: NoticeKind,
    /// When it was made.
    pub created: Timestamp,
    /// The project that it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub project: Option<NoticeProject>,
    /// One line.
    pub title: String,
    /// What the reader needs to know, in this order.
    pub facts: Vec<NoticeFact>,
    /// The command by which the reader acts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub command: Option<String>,
    /// Whether it goes through every channel, and is never folded into another message.
    pub loud: bool,
    /// Whether it is known already to whom it goes, and by which channels.
    pub addressed: bool,
    /// One for each channel, and for each recipient of mail.
    pub deliveries: Vec<NoticeDelivery>,
}

/// What became of a notice in one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeDelivery {
    /// The channel.
    pub channel: String,
    /// The user that a mail is for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient: Option<String>,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt: Option<Timestamp>,
    /// When it ended, well or not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<Timestamp>,
    /// Why the last attempt failed, or why there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is tried, or tried again later.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It is not tried any more, unless an administrator asks for it.
    Failed,
    /// It was never tried: for example, the user has no e-mail address.
    Dropped,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Dropped];

    /// The name as JSON writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// What a channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// Mail to each recipient.
    Mail,
    /// A webhook as Standard Webhooks specifies it.
    Standard,
    /// An incoming webhook of Slack.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
}

impl ChannelKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Mail, Self::Standard, Self::Slack, Self::Teams];

    /// The name as JSON and the configuration write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Teams => "teams",
        }
    }
}

/// A configured channel. `GET /v1/notices/channels` gives a [`crate::admin::Page`] of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeChannel {
    /// The name in the server's configuration; `mail` for mail.
    pub name: String,
    /// What it speaks.
    pub kind: ChannelKind,
    /// When a message was delivered last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_success: Option<Timestamp>,
    /// When an attempt failed last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<Timestamp>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// Attempts that failed since the last success.
    pub failures: u64,
    /// Since when nothing is sent, because the receiver wants no more, until an administrator enables the channel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disabled_since: Option<Timestamp>,
    /// Deliveries that are tried, or tried again later.
    pub pending: u64,
    /// Deliveries that failed, as long as they are kept.
    pub failed: u64,
    /// The keys (`whpk_…`) that the receiver checks signatures with. None if they are made with shared secrets alone.
    pub public_keys: Vec<String>,
}

/// Body of `POST /v1/notices/test`: sends a notice of the kind `test`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NoticeTest {
    /// The channel; all if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    /// The user who gets the mail, by name or id; the caller if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
}

/// Answer of `POST /v1/notices/test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticeQueued {
    /// `GET /v1/notices/{notice}` tells what became of it.
    pub id: NoticeId,
}

/// Body of `POST /v1/notices/retry`: tries failed and dropped deliveries again, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NoticeRetry {
    /// Of these notices; of all if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub notices: Option<Vec<NoticeId>>,
}

/// Answer of `POST /v1/notices/retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NoticesRetried {
    /// How many deliveries are tried again.
    pub deliveries: u64,
}
