//! Sections `[sinks.NAME]`: where the record goes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Sections `[sinks.NAME]`.
pub type SinksConfig = BTreeMap<String, SinkConfig>;

/// Section `[sinks.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SinkConfig {
    /// What the receiver understands.
    pub kind: SinkKind,
    /// How an entry is written.
    #[serde(default)]
    pub form: SinkForm,
    /// Where a new sink begins.
    #[serde(default)]
    pub from: SinkStart,
    /// Fields of entries that don't leave, such as `peer` or `claims.command_line`.
    #[serde(default)]
    pub redact: Vec<String>,
    /// Whether no key is used while the sink is too far behind.
    #[serde(default)]
    pub required: bool,
    /// A required sink may be so many entries behind.
    #[serde(default = "max_lag_entries")]
    pub max_lag_entries: u64,
    /// A required sink may be so many seconds behind.
    #[serde(default = "max_lag_seconds")]
    pub max_lag_seconds: u64,
    /// The folder of files. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Whether the files are readable by the group too.
    #[serde(default)]
    pub group_readable: bool,
    /// The receiver of syslog, `HOST` or `HOST:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The private enterprise number in syslog's structured data.
    #[serde(default = "enterprise_number")]
    pub enterprise_number: u32,
    /// The receiver of HTTP, `https://…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file whose first line is that, for an address that is a secret. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// A file whose first line is Splunk's token. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A file with headers for OTLP, one on each line. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_file: Option<PathBuf>,
    /// A file with the secrets that webhooks are signed with, one on each line. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// Splunk's index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Whether Splunk's indexers acknowledge.
    #[serde(default)]
    pub indexer_acknowledgement: bool,
    /// Whether the receiver may have an address that is not public.
    #[serde(default)]
    pub allow_private_networks: bool,
    /// Certificates (PEM) that the receiver's must go back to; the system's if absent. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate (PEM) by which the receiver knows the server. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM). Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
}

const fn max_lag_entries() -> u64 {
    1000
}

const fn max_lag_seconds() -> u64 {
    300
}

/// The number for examples, RFC 5612.
const fn enterprise_number() -> u32 {
    32_473
}

/// What the receiver of a sink understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkKind {
    /// Files with one entry on each line.
    Jsonl,
    /// Syslog over TLS.
    Syslog,
    /// Splunk's HTTP Event Collector.
    Splunk,
    /// OpenTelemetry's logs over HTTP.
    Otlp,
    /// Standard Webhooks.
    Webhook,
}

impl SinkKind {
    /// The name, as the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Syslog => "syslog",
            Self::Splunk => "splunk",
            Self::Otlp => "otlp",
            Self::Webhook => "webhook",
        }
    }
}

/// How an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkForm {
    /// As the record has it.
    #[default]
    Json,
    /// Open Cybersecurity Schema Framework.
    Ocsf,
    /// Common Event Format.
    Cef,
}

impl SinkForm {
    /// The name, as the configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
        }
    }
}

/// Where a new sink begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkStart {
    /// With the next entry.
    #[default]
    Now,
    /// With the first entry of the record.
    Beginning,
}

/// The longest name of a sink, in characters.
const NAME: usize = 32;

pub(super) fn check(sinks: &SinksConfig) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for (name, sink) in sinks {
        if name.is_empty() || name.len() > NAME || !name.chars().all(plain) {
            return Err(wrong(name, "the name must have 1 to 32 characters of a-z, 0-9 and -"));
        }
        if let Err(reason) = sink.check() {
            return Err(wrong(name, reason));
        }
    }
    let mut folders: Vec<&Path> = sinks.values().filter_map(|sink| sink.folder.as_deref()).collect();
    folders.sort_unstable();
    if folders.windows(2).any(|two| two.first() == two.last()) {
        return Err(wrong("NAME", "each sink of the kind jsonl needs a folder of its own"));
    }
    Ok(())
}

fn wrong(name: &str, reason: &'static str) -> ConfigError {
    ConfigError::Section { section: format!("sinks.{name}"), reason }
}

impl SinkConfig {
    fn check(&self) -> Result<(), &'static str> {
        use SinkKind::{Jsonl, Otlp, Splunk, Syslog, Webhook};
        let Self { kind, form, .. } = self;
        let over_http = matches!(kind, Splunk | Otlp | Webhook);
        if *kind == Syslog && self.required {
            return Err("a sink of the kind syslog can't be required: syslog's receivers acknowledge nothing, so the \
                        server can't know what has arrived; require a sink of another kind");
        }
        if (*kind == Jsonl) != self.folder.is_some() {
            return Err("folder belongs to the kind jsonl, which needs it");
        }
        if self.group_readable && *kind != Jsonl {
            return Err("group-readable belongs to the kind jsonl");
        }
        if (*kind == Syslog) != self.address.is_some() {
            return Err("address belongs to the kind syslog, which needs it");
        }
        if over_http && self.url.is_some() == self.url_file.is_some() {
            return Err("the kinds splunk, otlp and webhook need either url or url-file");
        }
        if !over_http && (self.url.is_some() || self.url_file.is_some()) {
            return Err("url and url-file belong to the kinds splunk, otlp and webhook");
        }
        if (*kind == Splunk) != self.token_file.is_some() {
            return Err("token-file belongs to the kind splunk, which needs it");
        }
        if *kind != Splunk && (self.index.is_some() || self.indexer_acknowledgement) {
            return Err("index and indexer-acknowledgement belong to the kind splunk");
        }
        if *kind != Otlp && self.headers_file.is_some() {
            return Err("headers-file belongs to the kind otlp");
        }
        if (*kind == Webhook) != self.secret_file.is_some() {
            return Err("secret-file belongs to the kind webhook, which needs it");
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            return Err("certificate-file and key-file must be set together");
        }
        if *kind == Jsonl && (self.ca_file.is_some() || self.certificate_file.is_some()) {
            return Err("ca-file, certificate-file and key-file belong to kinds that connect to a receiver");
        }
        if *form == SinkForm::Cef && *kind == Jsonl {
            return Err("the form cef is no JSON: use the kind syslog, or the form json or ocsf");
        }
        if self.max_lag_entries == 0 || self.max_lag_seconds == 0 {
            return Err("max-lag-entries and max-lag-seconds must be at least 1");
        }
        Ok(())
    }

    /// The files that it reads, relative to the data folder.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let secrets = [&self.url_file, &self.token_file, &self.headers_file, &self.secret_file];
        secrets.into_iter().chain([&self.ca_file, &self.certificate_file, &self.key_file]).flatten()
    }
}
