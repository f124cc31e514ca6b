//! Sinks as they are configured, ready to send: secrets and certificates are read when the server starts.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use rustls::pki_types::ServerName;
use secrecy::SecretString;
use tokio::sync::Mutex;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Form, Redaction,
    transports::{JsonlFiles, OtlpReceiver, SplunkReceiver, SyslogHeader, SyslogReceiver, Transport, WebhookReceiver},
};
use crate::{
    config::{Config, SinkConfig, SinkKind, SinkStart},
    files, limits,
    notices::{SecretError, Signer},
    outbound::{Connecting, Identity, TargetError, check_literal, is_local},
};

/// A sink can't be used as it is configured. Retrying helps after that was corrected. The text has no secret.
#[derive(Debug, thiserror::Error)]
#[error("sinks.{sink}: {why}")]
pub struct SinkError {
    sink: String,
    #[source]
    why: SinkFault,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
enum SinkFault {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("secret-file: {0}")]
    Secret(#[from] SecretError),
    #[error("redact: {0}")]
    Redaction(String),
    #[error("folder: can't use {}: {why}; make it, and let the server's user write to it", path.display())]
    Folder { path: PathBuf, why: std::io::Error },
    #[error("address must be HOST or HOST:PORT, such as siem.example.org:6514")]
    Address,
    #[error(
        "url must begin with https://, or with http:// and an address of this machine such as 127.0.0.1, and have neither \
         user nor password"
    )]
    Url,
    #[error("token-file: the first line must be the token")]
    Token,
    #[error("headers-file: line {0} must be a header, such as Authorization: Bearer …")]
    Header(usize),
    #[error("{0} is missing")]
    Missing(&'static str),
}

/// The receivers of all sinks.
#[derive(Clone)]
pub struct Targets {
    pub(super) all: Vec<Arc<Target>>,
    /// The configured name of the record's log.
    pub(super) origin: Option<String>,
}

/// The receiver of one sink.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) kind: SinkKind,
    pub(super) form: Form,
    pub(super) redaction: Redaction,
    pub(super) from_beginning: bool,
    /// If it is required: so many entries and seconds it may be behind.
    pub(super) required: Option<(u64, u64)>,
    pub(super) transport: Transport,
    /// Where it goes, for people. Nothing if that is a secret.
    pub(super) to: Option<String>,
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|target| &target.name)).finish()
    }
}

/// The port of syslog over TLS, RFC 5425.
const SYSLOG_PORT: u16 = 6514;

impl Targets {
    /// Reads the files that the configuration names, relative to the data folder. Changes nothing.
    ///
    /// # Errors
    /// If a file can't be read, or something in it or in the configuration can't be used.
    pub fn load(data: &Path, config: &Config) -> Result<Self, SinkError> {
        let mut connecting = Connecting::new();
        let mut all = Vec::new();
        for (name, sink) in &config.sinks {
            let target =
                Target::load(data, name, sink, &mut connecting).map_err(|why| SinkError { sink: name.clone(), why })?;
            all.push(Arc::new(target));
        }
        Ok(Self { all, origin: config.record.origin.clone() })
    }

    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self { all: Vec::new(), origin: None }
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Target>> {
        self.all.iter().find(|target| target.name == name)
    }
}

impl Target {
    fn load(data: &Path, name: &str, config: &SinkConfig, connecting: &mut Connecting) -> Result<Self, SinkFault> {
        let redaction = Redaction::parse(&config.redact).map_err(SinkFault::Redaction)?;
        let mut reader = Reader { data, config, connecting };
        let (transport, to) = match config.kind {
            SinkKind::Jsonl => reader.jsonl(name)?,
            SinkKind::Syslog => reader.syslog()?,
            SinkKind::Splunk => reader.splunk()?,
            SinkKind::Otlp => reader.otlp()?,
            SinkKind::Webhook => reader.webhook()?,
        };
        Ok(Self {
            name: name.to_owned(),
            kind: config.kind,
            form: Form(config.form),
            redaction,
            from_beginning: config.from == SinkStart::Beginning,
            required: config.required.then_some((config.max_lag_entries, config.max_lag_seconds)),
            transport,
            to,
        })
    }
}

/// Reads what belongs to one sink.
struct Reader<'a> {
    data: &'a Path,
    config: &'a SinkConfig,
    connecting: &'a mut Connecting,
}

type Loaded = Result<(Transport, Option<String>), SinkFault>;

impl Reader<'_> {
    fn jsonl(&self, name: &str) -> Loaded {
        let folder = self.config.folder.as_ref().ok_or(SinkFault::Missing("folder"))?;
        let folder = self.data.join(folder);
        // One in the data folder is made when the server starts.
        if folder.exists() || !folder.starts_with(self.data) {
            let listed = folder.read_dir().map(drop);
            listed.map_err(|why| SinkFault::Folder { path: folder.clone(), why })?;
        }
        let to = Some(folder.display().to_string());
        let mode = if self.config.group_readable { 0o640 } else { 0o600 };
        let files = JsonlFiles { name: name.to_owned(), folder, mode, writing: Arc::default() };
        Ok((Transport::Jsonl(files), to))
    }

    fn syslog(&mut self) -> Loaded {
        let address = self.config.address.as_deref().ok_or(SinkFault::Missing("address"))?;
        let (host, port) = split(address).ok_or(SinkFault::Address)?;
        if let Ok(literal) = host.parse::<IpAddr>() {
            crate::outbound::check_address(literal, self.config.allow_private_networks).map_err(TargetError::from)?;
        }
        let name = ServerName::try_from(host.clone()).map_err(|_| SinkFault::Address)?;
        let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        let receiver = SyslogReceiver {
            host,
            port,
            name,
            tls: Arc::new(self.tls()?),
            resolver: self.connecting.resolver(self.config.allow_private_networks),
            allow_private: self.config.allow_private_networks,
            header: SyslogHeader { hostname, enterprise: self.config.enterprise_number },
            connection: Mutex::new(None),
        };
        Ok((Transport::Syslog(Box::new(receiver)), Some(address.to_owned())))
    }

    fn splunk(&mut self) -> Loaded {
        let (url, to) = self.url()?;
        let mut url = url;
        // The paths of the collector are below it.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let token = self.secret(self.config.token_file.as_deref(), "token-file")?;
        let token = token.lines().next().unwrap_or_default().trim();
        if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(SinkFault::Token);
        }
        let receiver = SplunkReceiver {
            client: self.client(&url)?,
            url,
            token: SecretString::from(token),
            index: self.config.index.clone(),
            channel: self.config.indexer_acknowledgement.then(Uuid::new_v4),
        };
        Ok((Transport::Splunk(receiver), to))
    }

    fn otlp(&mut self) -> Loaded {
        let (mut url, to) = self.url()?;
        if url.path() == "/" {
            url.set_path("/v1/logs");
        }
        let mut headers = HeaderMap::new();
        if let Some(file) = self.config.headers_file.as_deref() {
            let text = self.secret(Some(file), "headers-file")?;
            for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
                let (name, value) = line.split_once(':').ok_or(SinkFault::Header(number))?;
                let name: HeaderName = name.trim().parse().map_err(|_| SinkFault::Header(number))?;
                let mut value = HeaderValue::from_str(value.trim()).map_err(|_| SinkFault::Header(number))?;
                value.set_sensitive(true);
                headers.append(name, value);
            }
        }
        Ok((Transport::Otlp(OtlpReceiver { client: self.client(&url)?, url, headers }), to))
    }

    fn webhook(&mut self) -> Loaded {
        let (url, to) = self.url()?;
        let signer = Signer::parse(&self.secret(self.config.secret_file.as_deref(), "secret-file")?)?;
        Ok((Transport::Webhook(WebhookReceiver { client: self.client(&url)?, url, signer }), to))
    }

    /// The address, and what people see of it.
    fn url(&self) -> Result<(Url, Option<String>), SinkFault> {
        let allow_private = self.config.allow_private_networks;
        let (text, is_secret) = match (&self.config.url, self.config.url_file.as_deref()) {
            (Some(url), _) => (Zeroizing::new(url.clone()), false),
            (None, file) => (self.secret(file, "url-file")?, true),
        };
        let text = text.lines().next().unwrap_or_default().trim();
        let url = match Url::parse(text) {
            Ok(url) if is_local(&url) => {
                if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
                    return Err(SinkFault::Url);
                }
                check_literal(&url, allow_private).map_err(TargetError::from)?;
                url
            }
            Ok(url) if url.scheme() == "http" => return Err(SinkFault::Url),
            _ => TargetError::check_url(text, allow_private)?,
        };
        let to = (!is_secret).then(|| {
            let mut shown = url.clone();
            shown.set_query(None);
            shown.to_string()
        });
        Ok((url, to))
    }

    fn client(&mut self, url: &Url) -> Result<reqwest::Client, SinkFault> {
        let tls = self.tls()?;
        let plain = is_local(url);
        let how = (self.config.allow_private_networks, plain);
        Ok(self.connecting.client(tls, how, limits::WEBHOOK_DEADLINE)?)
    }

    fn tls(&mut self) -> Result<rustls::ClientConfig, SinkFault> {
        let identity = match (&self.config.certificate_file, &self.config.key_file) {
            (Some(certificate), Some(key)) => Some(Identity::read(&self.data.join(certificate), &self.data.join(key))?),
            _ => None,
        };
        let authorities = self.config.ca_file.as_ref().map(|file| self.data.join(file));
        Ok(self.connecting.tls(authorities.as_deref(), identity)?)
    }

    fn secret(&self, file: Option<&Path>, key: &'static str) -> Result<Zeroizing<String>, SinkFault> {
        let file = file.ok_or(SinkFault::Missing(key))?;
        Ok(files::read_secret(&self.data.join(file)).map_err(|why| TargetError::File { key, why })?)
    }
}

/// Host and port of an address.
fn split(address: &str) -> Option<(String, u16)> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Some((ip.to_string(), SYSLOG_PORT));
    }
    if let Ok(socket) = address.parse::<std::net::SocketAddr>() {
        return Some((socket.ip().to_string(), socket.port()));
    }
    let (host, port) = match address.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (address, SYSLOG_PORT),
    };
    (!host.is_empty() && port != 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn address_has_a_host_and_perhaps_a_port() {
        for (text, host, port) in [
            ("siem.example.org", "siem.example.org", 6514),
            ("siem.example.org:10514", "siem.example.org", 10_514),
            ("192.0.2.1", "192.0.2.1", 6514),
            ("192.0.2.1:1", "192.0.2.1", 1),
            ("2001:db8::1", "2001:db8::1", 6514),
            ("[2001:db8::1]:99", "2001:db8::1", 99),
        ] {
            assert_eq!(split(text), Some((host.to_owned(), port)), "{text}");
        }
        for wrong in ["", ":6514", "host:", "host:0", "host:x", "a:b:c"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
