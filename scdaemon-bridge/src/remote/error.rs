//! Why the server's help could not be had.

use std::{error::Error as StdError, fmt, io, time::Duration};

use sealcard_api::{
    Timestamp,
    approvals::WaitingUse,
    ids::RequestId,
    problem::{Problem, ProblemCode},
};
use thiserror::Error;

use super::tls::PinMismatchError;
use crate::{
    config::{CertificateFingerprint, ConfigError},
    grant::GrantError,
    local_time::clock,
    waiting,
    witness::WitnessError,
};

/// Why a request came to nothing. Each variant says whether retrying can help.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// There is no grant on this machine, or the server takes it no more. Retrying helps after `sealcard login`.
    #[error("not logged in{}", reason_suffix(reason.as_deref()))]
    NotLoggedIn {
        /// What the server said of the grant, if it was asked.
        reason: Option<Box<Problem>>,
    },
    /// The configuration can't be used. Retrying helps after a person acted.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The grant can't be read or written. Retrying helps once the keyring is unlocked or the file repaired.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// No connection, or it broke twice. Retrying may help.
    #[error("can't reach {server}: {}", unreachable_text(*kind, detail))]
    Unreachable {
        /// The server's address.
        server: String,
        /// In what way.
        kind: UnreachableKind,
        /// What the system says.
        detail: String,
    },
    /// The server is not the one that is trusted. Retrying can't help before a person looked: `sealcard trust`.
    #[error(transparent)]
    CertificateChanged(#[from] CertificateError),
    /// No answer in time. Whether the server acted is in its record. Retrying may help.
    #[error("{server} did not answer within {seconds} seconds")]
    TimedOut {
        /// The server's address.
        server: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The server said no. Its code says whether retrying helps.
    #[error("{}", problem_text(_0))]
    Problem(Box<Problem>),
    /// People did not decide while it was waited for. Repeating the command helps once they have, because what they approve
    /// later is kept for the next attempt.
    #[error("{}", undecided_text(waiting, *waited))]
    Undecided {
        /// What it waited for.
        waiting: Box<WaitingUse>,
        /// How long; zero if it did not wait at all.
        waited: Duration,
    },
    /// The request was given up while it waited for people. Retrying helps.
    #[error("the request was given up while it waited for an approval (request {request})")]
    GivenUp {
        /// The request.
        request: RequestId,
    },
    /// The server's record is not the one that this computer has seen before. Retrying can't help before a person looked.
    #[error("{_0}")]
    Record(Box<WitnessError>),
    /// The answer can't be understood: not a Sealcard server, or one of another age. Retrying can't help.
    #[error("{server} gave an answer that can't be understood: {detail}")]
    BadAnswer {
        /// The server's address.
        server: String,
        /// What was wrong.
        detail: String,
    },
}

impl RemoteError {
    /// The code, if the server answered with a problem.
    #[must_use]
    pub fn code(&self) -> Option<ProblemCode> {
        self.problem().map(|problem| problem.code)
    }

    /// The problem, if the server answered with one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::NotLoggedIn { reason } => reason.as_deref(),
            _ => None,
        }
    }

    /// What to do next, for a person.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::NotLoggedIn { .. } => Some("Run `sealcard login`."),
            Self::CertificateChanged(error) if error.is_about_time() => Some(
                "Check this machine's clock. If it is right, the server's certificate must be renewed on the server.",
            ),
            Self::CertificateChanged(error) if error.is_about_name() => {
                Some("Use the name that the certificate is for: `sealcard login https://NAME:PORT`.")
            }
            Self::CertificateChanged(_) => Some(
                "If the server's certificate was renewed, compare the fingerprint with the administrator and run \
                 `sealcard trust`.",
            ),
            Self::Unreachable { kind: UnreachableKind::Name, .. } => {
                Some("Check the server's name, the network and the VPN.")
            }
            Self::Unreachable { kind: UnreachableKind::Proxy, .. } => {
                Some("`sealcard proxy show` says which proxy is used; `sealcard proxy set` changes it.")
            }
            Self::Unreachable { server, .. } if names_no_port(server) => {
                Some("The address names no port, so 443 was tried; Sealcard's is usually 8443.")
            }
            Self::Unreachable { kind: UnreachableKind::NotTls, .. } => {
                Some("Another service listens there: check the port. Sealcard's is usually 8443.")
            }
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                Some("Check the network and whether the server runs; `sealcard doctor` looks at each link.")
            }
            Self::Grant(error) => error.advice(),
            Self::Undecided { waiting, .. } if waiting.expires > Timestamp::now() => {
                Some("Once it is approved, run the same command again: the approval is kept for one use.")
            }
            Self::Undecided { .. } => Some("Run the same command again, when somebody can approve it."),
            Self::GivenUp { .. } => Some("Run the same command again."),
            Self::Record(_) => Some("Sign nothing until this is clear; `sealcard doctor` looks again."),
            Self::Problem(problem) => match problem.code {
                ProblemCode::Rejected => Some("Ask who rejected it before you try again."),
                ProblemCode::TooManyWaiting => {
                    Some("`sealcard requests` lists what waits. Try again once some of it is decided.")
                }
                ProblemCode::Changed => Some("`sealcard requests` shows how it is now. Then decide again."),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it may pass by itself, as while the server is restarted or the network is away.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            // A proxy that stands before the server answers with pages of its own.
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::BadAnswer { .. } => true,
            Self::Problem(problem) => matches!(
                problem.code,
                ProblemCode::Overloaded | ProblemCode::Internal | ProblemCode::Timeout | ProblemCode::DiskFull
            ),
            _ => false,
        }
    }

    /// The request as it is in the server's record, if the error names it.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Self::Undecided { waiting, .. } => Some(waiting.request_id),
            Self::GivenUp { request } => Some(*request),
            other => other.problem().and_then(|problem| problem.request_id),
        }
    }

    /// From what the HTTP client says.
    pub(super) fn from_transport(server: &str, timeout: Duration, error: reqwest::Error) -> Self {
        let server = server.to_owned();
        // The address is named already, and it may hold what the caller asked for.
        let error = error.without_url();
        if let Some(certificate) = find_certificate_error(&error) {
            return Self::CertificateChanged(CertificateError::new(server, certificate));
        }
        if error.is_builder() || error.is_decode() || error.is_redirect() {
            return Self::BadAnswer { server, detail: chain(&error) };
        }
        if error.is_timeout() && !error.is_connect() {
            return Self::TimedOut { server, seconds: timeout.as_secs() };
        }
        let kind = UnreachableKind::of(&error);
        let detail = if was_closed(&error) { "the server closed it".to_owned() } else { innermost(&error) };
        Self::Unreachable { server, kind, detail }
    }
}

/// In what way a server can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnreachableKind {
    /// Nothing listens there.
    Refused,
    /// No connection within the time given.
    Timeout,
    /// The name has no address.
    Name,
    /// No way there.
    Network,
    /// The proxy does not open the way.
    Proxy,
    /// Something listens there that does not speak TLS.
    NotTls,
    /// The connection broke, or TLS failed for another reason than the certificate.
    Broken,
}

impl UnreachableKind {
    fn of(error: &reqwest::Error) -> Self {
        let mut io_kind = None;
        for cause in causes(error) {
            if cause.is::<super::client::NameError>() {
                return Self::Name;
            }
            let not_tls = rustls::InvalidMessage::InvalidContentType;
            if matches!(cause.downcast_ref(), Some(rustls::Error::InvalidMessage(message)) if *message == not_tls) {
                return Self::NotTls;
            }
            // The library's own type has no public name.
            if matches!(
                cause.to_string().as_str(),
                "tunnel error: unsuccessful" | "tunnel error: proxy authorization required"
            ) {
                return Self::Proxy;
            }
            if let Some(error) = cause.downcast_ref::<io::Error>() {
                io_kind.get_or_insert(error.kind());
            }
        }
        match io_kind.map_or(Self::Broken, Self::of_io) {
            Self::Broken if error.is_timeout() => Self::Timeout,
            kind => kind,
        }
    }

    pub(super) const fn of_io(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
                Self::Network
            }
            _ => Self::Broken,
        }
    }
}

impl fmt::Display for UnreachableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Timeout => "no connection in time",
            Self::Name => "the name can't be resolved",
            Self::Network => "the network is unreachable",
            Self::Proxy => "the proxy refuses",
            Self::NotTls => "that port does not speak TLS",
            Self::Broken => "the connection broke",
        })
    }
}

/// The server's certificate is not what was expected.
#[derive(Debug, Clone, Error)]
#[error("the certificate of {server} is not trusted: {reason}")]
pub struct CertificateError {
    /// The server's address.
    pub server: String,
    /// What was wrong, for a person.
    pub reason: String,
    /// Only with trust in one certificate: that certificate.
    pub expected: Option<CertificateFingerprint>,
    /// Only with trust in one certificate: what the server showed.
    pub seen: Option<CertificateFingerprint>,
}

impl CertificateError {
    pub(super) fn new(server: String, error: &rustls::Error) -> Self {
        use rustls::CertificateError as Kind;
        let rustls::Error::InvalidCertificate(kind) = error else {
            return Self { server, reason: error.to_string(), expected: None, seen: None };
        };
        if let Kind::Other(other) = kind
            && let Some(pin) = other.0.downcast_ref::<PinMismatchError>()
        {
            return Self::other_pin(server, pin.clone());
        }
        let reason = match kind {
            Kind::Expired | Kind::ExpiredContext { .. } => format!("{EXPIRED} ({kind})"),
            Kind::NotValidYet | Kind::NotValidYetContext { .. } => format!("{TOO_EARLY} ({kind})"),
            Kind::UnknownIssuer => "it was not issued by an authority that is trusted here".to_owned(),
            Kind::NotValidForNameContext { expected, presented } => {
                let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
                format!("{OTHER_NAME}{}, not for {}", names.join(" and "), expected.to_str())
            }
            Kind::NotValidForName => format!("{OTHER_NAME}another name"),
            Kind::BadSignature => "its signature is wrong".to_owned(),
            other => other.to_string(),
        };
        Self { server, reason, expected: None, seen: None }
    }

    /// The server shows another certificate than the one that is expected.
    pub(super) fn other_pin(server: String, pin: PinMismatchError) -> Self {
        Self { server, reason: pin.to_string(), expected: Some(pin.expected), seen: Some(pin.seen) }
    }

    /// Whether only the name is wrong.
    fn is_about_name(&self) -> bool {
        self.reason.starts_with(OTHER_NAME)
    }

    /// Whether only the time is wrong: the certificate's, or this machine's.
    fn is_about_time(&self) -> bool {
        self.reason.starts_with(EXPIRED) || self.reason.starts_with(TOO_EARLY)
    }
}

/// rustls writes `DnsName("sign.example.org")`.
fn bare_name(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

const OTHER_NAME: &str = "it is for ";
const EXPIRED: &str = "it has expired";
const TOO_EARLY: &str = "it is not valid yet";

fn find_certificate_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    causes(error).find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
        Some(error @ rustls::Error::InvalidCertificate(_)) => Some(error),
        _ => None,
    })
}

/// The error and all that caused it. `io::Error` hides what it wraps from `source()`, so it is opened here.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error: &&'a (dyn StdError + 'static)| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// Closed in the middle of an exchange. What the libraries say of it differs from layer to layer and helps nobody.
fn was_closed(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        })
    })
}

fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = causes(error).map(ToString::to_string).collect();
    parts.dedup();
    parts.join(": ")
}

fn reason_suffix(reason: Option<&Problem>) -> String {
    match reason {
        Some(problem) if problem.code != ProblemCode::Unauthenticated => format!(" ({})", problem.title.to_lowercase()),
        _ => String::new(),
    }
}

/// What the system says only repeats some kinds.
fn unreachable_text(kind: UnreachableKind, detail: &str) -> String {
    match kind {
        UnreachableKind::Name | UnreachableKind::Proxy | UnreachableKind::Broken if !detail.is_empty() => {
            format!("{kind}: {detail}")
        }
        _ => kind.to_string(),
    }
}

/// Whether an address, perhaps with a proxy behind it, has no port.
fn names_no_port(server: &str) -> bool {
    let address = server.split(' ').next().unwrap_or_default();
    let authority = address.strip_prefix("https://").unwrap_or(address);
    let behind_host = authority.rsplit(']').next().unwrap_or_default();
    !behind_host.contains(':')
}

fn undecided_text(waiting: &WaitingUse, waited: Duration) -> String {
    let wanted = waiting::wanted(&waiting.wants, &waiting.approvers);
    let mut text = match waited.as_secs() {
        0 => format!("it waits for {wanted}"),
        seconds @ ..120 => format!("nobody decided within {seconds} seconds; it waits for {wanted}"),
        seconds => format!("nobody decided within {} minutes; it waits for {wanted}", seconds / 60),
    };
    if waiting.expires > Timestamp::now() {
        let command = waiting::approve_command(waiting.approval);
        text.push_str(&format!("; it can be approved until {}: {command}", clock(waiting.expires)));
    }
    text
}

fn problem_text(problem: &Problem) -> String {
    let mut text = problem.message();
    // Where the detail does not say it.
    let has_said = matches!(problem.code, ProblemCode::TooManyAttempts | ProblemCode::TooManyUses);
    if let Some(seconds) = problem.retry_after.filter(|_| !has_said) {
        text.push_str(&format!(" (try again in {seconds} s)"));
    }
    // Where the server's log or record tells more, and only there: a person can do nothing with it elsewhere.
    let has_more = matches!(
        problem.code,
        ProblemCode::Internal | ProblemCode::SignerUnavailable | ProblemCode::Timeout | ProblemCode::OutcomeUnknown
    );
    if let Some(id) = problem.request_id.filter(|_| has_more) {
        text.push_str(&format!(" (request {id})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable(server: &str, kind: UnreachableKind, detail: &str) -> RemoteError {
        RemoteError::Unreachable { server: server.to_owned(), kind, detail: detail.to_owned() }
    }

    #[test]
    fn an_address_without_a_port_gets_a_hint() {
        let advice = |server| unreachable(server, UnreachableKind::Refused, "").advice().unwrap_or_default();
        for server in ["https://a.example", "https://[::1]", "https://a.example through the proxy http://p:3128"] {
            assert!(advice(server).contains("8443"), "{server}");
        }
        for server in ["https://a.example:8443", "https://[::1]:1", "https://a:1 through the proxy http://p"] {
            assert!(!advice(server).contains("8443"), "{server}");
        }
    }

    #[test]
    fn what_the_system_says_is_not_said_twice() {
        let error = unreachable("https://a:1", UnreachableKind::Refused, "Connection refused (os error 111)");
        assert_eq!(error.to_string(), "can't reach https://a:1: connection refused");
        let error = unreachable("https://a:1", UnreachableKind::Broken, "the server closed it");
        assert_eq!(error.to_string(), "can't reach https://a:1: the connection broke: the server closed it");
    }
}
