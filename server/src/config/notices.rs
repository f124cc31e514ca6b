//! Section `[notices]`: who is told what, and by which channels.

use std::{collections::BTreeMap, path::PathBuf};

use sealcard_api::notices::{ChannelKind, NoticeKind};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Section `[notices]`. Without a channel nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NoticesConfig {
    /// Mails that one recipient gets within a minute; further ones are sent as one.
    pub digest_after: u32,
    /// Mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailConfig>,
    /// Webhooks, each with its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub webhook: BTreeMap<String, WebhookConfig>,
}

impl Default for NoticesConfig {
    fn default() -> Self {
        Self { digest_after: 5, mail: None, webhook: BTreeMap::new() }
    }
}

/// Section `[notices.mail]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MailConfig {
    /// The mail server's name, which its certificate must have.
    pub host: String,
    /// Its port; 465 for TLS and 587 for STARTTLS if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub security: MailSecurity,
    /// The account, if the mail server wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file whose first line is its password. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The sender: an address, or `Name <address>`.
    pub from: String,
    /// Certificates (PEM) that the mail server's must go back to; the system's if absent. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is encrypted. It always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// From its first byte.
    #[default]
    Tls,
    /// After the command STARTTLS, without which nothing is sent.
    Starttls,
}

/// Section `[notices.webhook.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where notices are posted, `https://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file whose first line is that, for an address that is a secret. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// What the receiver understands.
    #[serde(default)]
    pub kind: WebhookKind,
    /// A file with the secrets that messages are signed with, one a line. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The kinds of notices that it gets; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<NoticeKind>>,
    /// The projects, by name, whose notices it gets; all, and those of no project, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// Whether the receiver may have an address that is not public.
    #[serde(default)]
    pub allow_private_networks: bool,
    /// Certificates (PEM) that the receiver's must go back to; the system's if absent. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// What the receiver of a webhook understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookKind {
    /// Standard Webhooks.
    #[default]
    Standard,
    /// Slack's incoming webhooks.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
}

impl WebhookKind {
    /// The channel's kind.
    #[must_use]
    pub const fn channel(self) -> ChannelKind {
        match self {
            Self::Standard => ChannelKind::Standard,
            Self::Slack => ChannelKind::Slack,
            Self::Teams => ChannelKind::Teams,
        }
    }
}

/// The channel of mail has this name.
pub const MAIL: &str = "mail";

/// The longest name of a webhook, in characters.
const NAME: usize = 32;

impl NoticesConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, reason| Err(ConfigError::Value { key, reason });
        if !(1..=1000).contains(&self.digest_after) {
            return wrong("notices.digest-after", "must be 1 to 1000");
        }
        if let Some(mail) = &self.mail {
            if mail.host.is_empty() {
                return wrong("notices.mail.host", "must be the mail server's name");
            }
            if mail.username.is_some() != mail.password_file.is_some() {
                return wrong("notices.mail.username", "must be set together with password-file");
            }
        }
        for (name, webhook) in &self.webhook {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || name.len() > NAME || !name.chars().all(plain) || name == MAIL {
                let reason = "the name must have 1 to 32 characters of a-z, 0-9 and -, and must not be mail";
                return wrong("notices.webhook", reason);
            }
            if webhook.url.is_some() == webhook.url_file.is_some() {
                return wrong("notices.webhook", "each webhook needs either url or url-file");
            }
            if (webhook.kind == WebhookKind::Standard) != webhook.secret_file.is_some() {
                let reason = "a webhook of the kind standard needs secret-file; Slack and Teams check no signature";
                return wrong("notices.webhook", reason);
            }
        }
        Ok(())
    }

    /// The files that it names, relative to the data folder.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let mail = self.mail.iter().flat_map(|mail| [&mail.password_file, &mail.ca_file]);
        let webhooks = self.webhook.values().flat_map(|one| [&one.url_file, &one.secret_file, &one.ca_file]);
        mail.chain(webhooks).flatten()
    }
}
