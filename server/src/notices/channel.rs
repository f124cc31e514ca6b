//! Channels as they are configured, ready to send: secrets and certificates are read when the server starts.

use std::{fmt, path::Path, sync::Arc};

use lettre::message::Mailbox;
use sealcard_api::{
    ids::PrincipalId,
    notices::{ChannelKind, DeliveryState, NoticeKind},
};
use secrecy::SecretString;

use super::{
    mail::MailSender,
    sign::{SecretError, Signer},
    webhook::WebhookSender,
};
use crate::{
    config::{MAIL, MailConfig, NoticesConfig, WebhookConfig, WebhookKind},
    files, limits,
    outbound::{Connecting, TargetError, read_pem},
    storage::{NewDelivery, NoticeRow},
};

/// A channel can't be used as it is configured. Retrying helps after that was corrected. The text has no secret.
#[derive(Debug, thiserror::Error)]
#[error("notices.{channel}: {why}")]
pub struct ChannelError {
    channel: String,
    #[source]
    why: ChannelFault,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelFault {
    #[error("secret-file: {0}")]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("from must be an address such as sealcard@example.org, or Sealcard <sealcard@example.org>")]
    From,
    #[error("host must be the mail server's name")]
    Host,
    #[error("{0}")]
    Other(String),
}

/// All channels.
#[derive(Debug, Clone)]
pub struct Channels {
    pub(super) all: Vec<Arc<Channel>>,
    /// How many mails a recipient gets in a minute before further ones are folded.
    pub(super) digest_after: u32,
}

/// One channel.
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) kind: ChannelKind,
    /// The kinds of notices that it gets. None: all.
    kinds: Option<Vec<NoticeKind>>,
    /// The projects whose notices it gets. None: all, and those of no project.
    projects: Option<Vec<String>>,
    pub(super) sender: Sender,
}

/// What sends.
pub(super) enum Sender {
    Mail(MailSender),
    Webhook(WebhookSender),
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.name)
    }
}

impl Channels {
    /// Reads the files that the configuration names, relative to the data folder.
    ///
    /// # Errors
    /// If a file can't be read, or something in it or in the configuration can't be used.
    pub fn load(data: &Path, config: &NoticesConfig) -> Result<Self, ChannelError> {
        let mut all = Vec::new();
        if let Some(mail) = &config.mail {
            let channel = Channel::mail(data, mail).map_err(|why| ChannelError { channel: MAIL.to_owned(), why })?;
            all.push(Arc::new(channel));
        }
        let mut connecting = Connecting::new();
        for (name, webhook) in &config.webhook {
            let channel = Channel::webhook(data, name, webhook, &mut connecting)
                .map_err(|why| ChannelError { channel: format!("webhook.{name}"), why })?;
            all.push(Arc::new(channel));
        }
        Ok(Self { all, digest_after: config.digest_after })
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Channel>> {
        self.all.iter().find(|channel| channel.name == name)
    }

    /// By which ways a notice goes. `disabled` are the names of channels that are disabled; `address` tells whether a
    /// principal has an address for mail.
    ///
    /// # Errors
    /// The error of `address`.
    pub(super) fn ways<E>(
        &self,
        notice: &NoticeRow,
        disabled: &[String],
        mut has_address: impl FnMut(PrincipalId) -> Result<bool, E>,
    ) -> Result<Vec<NewDelivery>, E> {
        let mut ways = Vec::new();
        for channel in self.all.iter().filter(|channel| channel.wants(notice)) {
            let failed = (DeliveryState::Failed, DISABLED.to_owned());
            let ended = disabled.contains(&channel.name).then_some(failed);
            let name = || channel.name.clone();
            match channel.sender {
                Sender::Webhook(_) => ways.push(NewDelivery { channel: name(), principal: None, ended }),
                Sender::Mail(_) => {
                    for recipient in &notice.recipients {
                        let ended = match &ended {
                            None if !has_address(*recipient)? => Some((DeliveryState::Dropped, NO_ADDRESS.to_owned())),
                            ended => ended.clone(),
                        };
                        ways.push(NewDelivery { channel: name(), principal: Some(*recipient), ended });
                    }
                }
            }
        }
        Ok(ways)
    }
}

/// What a delivery that is not tried says.
const DISABLED: &str = "The channel is disabled.";
pub(super) const NO_ADDRESS: &str = "The user has no e-mail address, or is disabled.";

impl Channel {
    fn mail(data: &Path, config: &MailConfig) -> Result<Self, ChannelFault> {
        let from: Mailbox = config.from.parse().map_err(|_| ChannelFault::From)?;
        let password = match &config.password_file {
            None => None,
            Some(file) => {
                let text = files::read_secret(&data.join(file))
                    .map_err(|why| TargetError::File { key: "password-file", why })?;
                Some(SecretString::from(text.lines().next().unwrap_or_default()))
            }
        };
        let authorities = match &config.ca_file {
            None => None,
            Some(file) => Some(read_pem(&data.join(file))?),
        };
        let sender = MailSender::new(config, from, password, authorities)?;
        let (name, kind) = (MAIL.to_owned(), ChannelKind::Mail);
        Ok(Self { name, kind, kinds: None, projects: None, sender: Sender::Mail(sender) })
    }

    fn webhook(
        data: &Path,
        name: &str,
        config: &WebhookConfig,
        connecting: &mut Connecting,
    ) -> Result<Self, ChannelFault> {
        let WebhookConfig { url, url_file, kind, secret_file, kinds, projects, allow_private_networks, ca_file } =
            config;
        let url = match (url, url_file) {
            (Some(url), _) => TargetError::check_url(url, *allow_private_networks)?,
            (None, Some(file)) => {
                let text =
                    files::read_secret(&data.join(file)).map_err(|why| TargetError::File { key: "url-file", why })?;
                TargetError::check_url(text.lines().next().unwrap_or_default().trim(), *allow_private_networks)?
            }
            (None, None) => return Err(TargetError::Url.into()),
        };
        let signer = match secret_file {
            None => None,
            Some(file) => {
                let text = files::read_secret(&data.join(file))
                    .map_err(|why| TargetError::File { key: "secret-file", why })?;
                Some(Signer::parse(&text)?)
            }
        };
        let tls = connecting.tls(ca_file.as_ref().map(|file| data.join(file)).as_deref(), None)?;
        let client = connecting.client(tls, (*allow_private_networks, false), limits::WEBHOOK_DEADLINE)?;
        Ok(Self {
            name: name.to_owned(),
            kind: kind.channel(),
            kinds: kinds.clone(),
            projects: projects.clone(),
            sender: Sender::Webhook(WebhookSender { kind: *kind, url, signer, client }),
        })
    }

    /// Whether the notice goes through this channel.
    fn wants(&self, notice: &NoticeRow) -> bool {
        if let Some(only) = &notice.channel {
            return *only == self.name;
        }
        if notice.loud || notice.kind == NoticeKind::Test {
            return true;
        }
        let project = notice.project.as_ref().map(|project| &project.name);
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&notice.kind))
            && self.projects.as_ref().is_none_or(|wanted| project.is_some_and(|name| wanted.contains(name)))
    }

    /// The public keys that the receiver of a webhook checks with.
    pub(super) fn public_keys(&self) -> Vec<String> {
        match &self.sender {
            Sender::Webhook(WebhookSender { signer: Some(signer), kind: WebhookKind::Standard, .. }) => {
                signer.public_keys()
            }
            _ => Vec::new(),
        }
    }
}
