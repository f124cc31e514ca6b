//! One attempt to send a mail, over a connection that is always encrypted.

use std::error::Error as _;

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor,
    message::Mailbox,
    transport::smtp::{
        self, PoolConfig,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use sealcard_api::text::one_line;
use secrecy::{ExposeSecret as _, SecretString};

use super::{channel::ChannelFault, render, worker::Attempt};
use crate::{
    config::{MailConfig, MailSecurity},
    limits,
    outbound::TargetError,
    storage::Message,
};

/// The port for TLS from the first byte, and that for STARTTLS.
const TLS_PORT: u16 = 465;
const STARTTLS_PORT: u16 = 587;

/// Answers to a login that fail (RFC 4954): not the recipient's fault.
const LOGIN_FAILED: [u16; 5] = [530, 534, 535, 538, 500];

/// The way to a mail server.
pub(super) struct MailSender {
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl MailSender {
    pub(super) fn new(
        config: &MailConfig,
        from: Mailbox,
        password: Option<SecretString>,
        authorities: Option<Vec<u8>>,
    ) -> Result<Self, ChannelFault> {
        let tls = tls(config, authorities)?;
        let (tls, port) = match config.security {
            MailSecurity::Tls => (Tls::Wrapper(tls), TLS_PORT),
            MailSecurity::Starttls => (Tls::Required(tls), STARTTLS_PORT),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port.unwrap_or(port))
            .tls(tls)
            .timeout(Some(limits::MAIL_STEP))
            .pool_config(PoolConfig::new().max_size(2).idle_timeout(limits::MAIL_IDLE));
        if let (Some(username), Some(password)) = (&config.username, password) {
            builder = builder.credentials(Credentials::new(username.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self { from, transport: builder.build() })
    }

    /// Sends a message to one recipient.
    pub(super) async fn attempt(&self, message: &Message, to: &str) -> Attempt {
        let Ok(to) = to.parse::<Address>() else {
            return Attempt::Undeliverable("The user's e-mail address can't be used.".to_owned());
        };
        let mail = match render::mail::message(&self.from, Mailbox::new(None, to), message.id, &message.notices) {
            Ok(mail) => mail,
            Err(error) => return Attempt::Undeliverable(error.to_string()),
        };
        match self.transport.send(mail).await {
            Ok(_) => Attempt::Delivered,
            Err(error) => judge(&error),
        }
    }
}

fn tls(config: &MailConfig, authorities: Option<Vec<u8>>) -> Result<TlsParameters, ChannelFault> {
    let other = |error: smtp::Error| ChannelFault::Other(error.to_string());
    if config.host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(ChannelFault::Host);
    }
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(pem) = authorities {
        let certificate = Certificate::from_pem(&pem).map_err(|error| TargetError::Certificates(error.to_string()))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(other)
}

fn judge(error: &smtp::Error) -> Attempt {
    let text = reason(error);
    match error.status() {
        Some(code) if error.is_permanent() => {
            if LOGIN_FAILED.contains(&u16::from(code)) {
                // An administrator can change the password meanwhile.
                Attempt::Again { error: text, after: None }
            } else {
                Attempt::Undeliverable(text)
            }
        }
        Some(_) => Attempt::Again { error: text, after: None },
        None => Attempt::Unreachable(text),
    }
}

fn reason(error: &smtp::Error) -> String {
    if error.is_timeout() {
        return "the mail server did not answer in time".to_owned();
    }
    let mut text = match error.status() {
        Some(code) => format!("{code}"),
        None if error.is_tls() => "TLS".to_owned(),
        None => String::new(),
    };
    let mut innermost: Option<&dyn std::error::Error> = error.source();
    while let Some(source) = innermost.and_then(std::error::Error::source) {
        innermost = Some(source);
    }
    let inner = innermost.map_or_else(|| error.to_string(), ToString::to_string);
    if !inner.is_empty() {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&inner);
    }
    one_line(&text, 200)
}
