//! The configuration: `server.toml` in the data folder, then the environment (`SEALCARD_SERVER_…`), then flags.
//!
//! Every limit of the server is set here and nowhere else.

mod environment;
mod load;
mod network;
mod notices;
mod sinks;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use sealcard_policy::rules::ChangeKind;
use serde::{Deserialize, Serialize};

pub use environment::{PREFIX, overlay};
pub use load::{ConfigError, parse};
pub use network::{Network, NetworkError};
pub use notices::{MAIL, MailConfig, MailSecurity, NoticesConfig, WebhookConfig, WebhookKind};
pub use sinks::{SinkConfig, SinkForm, SinkKind, SinkStart, SinksConfig};

/// The file's name in the data folder.
pub const FILE: &str = "server.toml";

/// Everything that can be configured. Every key is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Proxies whose connections begin with a header that says whose they are.
    pub trusted_proxies: Vec<Network>,
    /// Whether this server is for trying Sealcard out: it starts its signers itself, as its own user, so their files are
    /// not protected from it.
    pub trial: bool,
    /// The signer's program, which a server for trying out starts; beside the server's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer_program: Option<PathBuf>,
    /// The database.
    pub database: DatabaseConfig,
    /// The certificate.
    pub tls: TlsConfig,
    /// Logs.
    pub log: LogConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Limits.
    pub limits: Limits,
    /// What is allowed.
    pub policy: PolicyConfig,
    /// Approvals, where a flow says nothing else.
    pub approvals: ApprovalsConfig,
    /// Changes that need approval or time.
    pub changes: ChangesConfig,
    /// Who is told what.
    pub notices: NoticesConfig,
    /// The record's log.
    pub record: RecordConfig,
    /// Where the record goes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sinks: SinksConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            trusted_proxies: Vec::new(),
            trial: false,
            signer_program: None,
            database: DatabaseConfig::default(),
            tls: TlsConfig::default(),
            log: LogConfig::default(),
            metrics: MetricsConfig::default(),
            limits: Limits::default(),
            policy: PolicyConfig::default(),
            approvals: ApprovalsConfig::default(),
            changes: ChangesConfig::default(),
            notices: NoticesConfig::default(),
            record: RecordConfig::default(),
            sinks: SinksConfig::new(),
        }
    }
}

/// Section `[record]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RecordConfig {
    /// The name of the record's log, which its checkpoints are signed for: a URL without its scheme, such as
    /// `sign.example.org/record`. No checkpoints are made if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The environment, a sealed store, whose signer signs the checkpoints.
    pub environment: String,
    /// Whether everybody may read checkpoints and the hashes of entries. Never entries.
    pub public_hashes: bool,
    /// A file with the witnesses that are asked to cosign checkpoints, and how many are needed: C2SP's tlog-policy.
    /// Relative to the data folder. Without it the server asks no witness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<PathBuf>,
    /// Certificates (PEM) that those of the witnesses must go back to; the system's if absent. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnesses_ca_file: Option<PathBuf>,
}

impl Default for RecordConfig {
    fn default() -> Self {
        let environment = "default".to_owned();
        Self { origin: None, environment, public_hashes: false, witnesses: None, witnesses_ca_file: None }
    }
}

impl RecordConfig {
    /// The files that it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.witnesses.iter().chain(&self.witnesses_ca_file)
    }
}

/// Section `[policy]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Whether owners and administrators may give themselves the role key-user. If not, another one has to.
    pub allow_self_grants: bool,
}

/// Section `[approvals]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ApprovalsConfig {
    /// Seconds for which a use waits for approval, where its flow says nothing.
    pub wait_seconds: u32,
    /// Hours after which a request that is not decided expires, where its flow says nothing.
    pub expires_hours: u32,
    /// Minutes within which an approval must be used, where its flow says nothing.
    pub use_within_minutes: u32,
    /// Minutes after which those who have not decided are reminded, once.
    pub reminder_minutes: u32,
    /// The most uses of a pre-approval, where its flow says nothing.
    pub pre_approval_uses: u32,
    /// The most hours of a pre-approval, where its flow says nothing.
    pub pre_approval_hours: u32,
    /// Uses of one principal that wait at once.
    pub waiting_per_principal: u32,
    /// Uses of one project's keys that wait at once.
    pub waiting_per_project: u32,
}

impl Default for ApprovalsConfig {
    fn default() -> Self {
        Self {
            wait_seconds: 300,
            expires_hours: 24,
            use_within_minutes: 60,
            reminder_minutes: 30,
            pre_approval_uses: 100,
            pre_approval_hours: 168,
            waiting_per_principal: 32,
            waiting_per_project: 256,
        }
    }
}

/// Section `[changes]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ChangesConfig {
    /// Lets every change pass, also those that the rules of a project demand something of: the way out if nobody can
    /// approve any more.
    pub suspended: bool,
    /// `[changes.demands.KIND]`: what changes of this kind need, everywhere.
    pub demands: BTreeMap<ChangeKind, ChangeDemandConfig>,
}

/// What changes of a kind need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ChangeDemandConfig {
    /// The group of which some must approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// So many of them.
    pub count: u32,
    /// Hours that must pass first.
    pub delay_hours: u32,
}

impl Default for ChangeDemandConfig {
    fn default() -> Self {
        Self { group: None, count: 1, delay_hours: 0 }
    }
}

/// Section `[database]`. Without `url` the database is the file `sealcard.db` in the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// A PostgreSQL database: `postgres://USER@HOST:PORT/DATABASE?sslmode=require`. Holds no password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A file whose first line is the password. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) that PostgreSQL's must go back to; the system's if absent. Relative to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether a PostgreSQL on another machine may be reached without `sslmode=require`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_cleartext: bool,
}

/// Section `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate chain, PEM, the server's own certificate first. Relative to the data folder.
    pub certificate: PathBuf,
    /// Its private key, PEM. Relative to the data folder.
    pub key: PathBuf,
    /// Names and addresses that `sealcard-server tls renew` puts into the certificate.
    pub names: Vec<String>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { certificate: "tls/server.pem".into(), key: "tls/server.key".into(), names: Vec::new() }
    }
}

/// Section `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
    /// Whether each request gets a line.
    pub requests: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Human, level: LogLevel::Info, requests: true }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For a person.
    Human,
    /// One JSON object a line.
    Json,
}

/// The least important lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Faults only.
    Error,
    /// And what should be looked at.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
}

/// Section `[metrics]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MetricsConfig {
    /// Where the metrics are served, as plain HTTP and without a login; nowhere if absent. Port 0 takes a free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Section `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// The largest request body, bytes.
    pub body_bytes: usize,
    /// Seconds for a TLS handshake.
    pub handshake_seconds: u64,
    /// Seconds from the first byte of a request's head to its last.
    pub head_seconds: u64,
    /// Seconds that one request may take, its body included.
    pub request_seconds: u64,
    /// Seconds that a connection may wait for its next request.
    pub idle_seconds: u64,
    /// Seconds that running requests get when the server stops.
    pub shutdown_seconds: u64,
    /// Connections at once. At the limit the longest idle one makes room.
    pub connections: usize,
    /// Connections of one address (IPv6: /64) on which no request has shown a valid grant.
    pub anonymous_connections: usize,
    /// Requests a second of one address (IPv6: /64) on such connections. More have to wait, then are answered with 503.
    pub anonymous_requests: u32,
    /// Requests at once; more are answered with 503.
    pub requests: usize,
    /// Uses of keys that one principal may begin in a minute; more are answered with 429.
    pub uses_per_minute: u32,
    /// Denied uses of one principal in a minute that are recorded one by one; more are answered with 429 and recorded as
    /// one entry.
    pub denials_per_minute: u32,
    /// Free bytes on the disk of the data folder below which the server is not ready.
    pub disk_reserve_bytes: u64,
    /// Hours for which a finished signing request can be asked for and repeated. The record keeps it for good.
    pub request_retention_hours: u32,
    /// Days until a grant expires.
    pub grant_days: u32,
    /// Days after a login during which its grant can be refreshed.
    pub grant_refreshable_days: u32,
    /// Seconds that a refreshed grant's earlier token stays valid.
    pub grant_overlap_seconds: u32,
    /// The shortest password, characters.
    pub password_characters: usize,
    /// Days during which a one-time password may be used.
    pub one_time_password_days: u32,
    /// Password checks at once, each of which takes 19 MiB of memory.
    pub password_checks: usize,
    /// Wrong passwords of one account, or from one address, before answers are slowed down.
    pub free_attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: sealcard_api::MAX_BODY,
            handshake_seconds: 10,
            head_seconds: 10,
            request_seconds: 30,
            idle_seconds: 600,
            shutdown_seconds: 30,
            connections: 2048,
            anonymous_connections: 256,
            anonymous_requests: 200,
            requests: 512,
            uses_per_minute: 60_000,
            denials_per_minute: 60,
            disk_reserve_bytes: 1024 * 1024,
            request_retention_hours: 24,
            grant_days: 30,
            grant_refreshable_days: 365,
            grant_overlap_seconds: 300,
            password_characters: 12,
            one_time_password_days: 7,
            password_checks: 2,
            free_attempts: 5,
        }
    }
}

impl Limits {
    /// How long finished signing requests are kept.
    #[must_use]
    pub fn request_retention(&self) -> Duration {
        Duration::from_hours(self.request_retention_hours.into())
    }

    /// How long one request may take.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }
}

impl Config {
    /// Reads the data folder's file and the environment of the process.
    ///
    /// # Errors
    /// If the file can't be read, or a key or value is not understood. Retrying helps after the file was corrected.
    pub fn load(data: &Path) -> Result<Self, ConfigError> {
        load::load(&data.join(FILE), overlay(std::env::vars())?)
    }
}
