//! One HTTP exchange with one server.

use std::{
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use sealcard_api::{
    IDEMPOTENCY_KEY_HEADER, REGISTRY_VERSION_HEADER, REQUEST_SECONDS_HEADER, Timestamp,
    problem::{Problem, ProblemCode},
};
use serde::de::DeserializeOwned;
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use uuid::Uuid;

use super::{
    RemoteError, Route, tls,
    watch::{self, PATIENCE},
};
use crate::{
    config::{ConfigError, Trust},
    trace::milliseconds,
};

/// A connection must stand within this time.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server gives one request, until it has said it, in seconds.
const REQUEST_SECONDS: u64 = 30;

/// No server is waited for longer than for this, whatever it says, in seconds.
const MAX_REQUEST_SECONDS: u64 = 300;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A server's address: `https`, a host, perhaps a port, nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// The host, as a certificate or address would name it.
    #[must_use]
    pub fn host(&self) -> &str {
        // `from_str` made sure that there is one. Brackets of IPv6 are the URL's, not the host's.
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 443 if the address has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Host and port, as CONNECT names them.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.0.host_str().unwrap_or_default(), self.port())
    }

    fn at(&self, path: &str) -> Result<Url, String> {
        self.0.join(path).map_err(|error| error.to_string())
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let wrong = |reason: &'static str| ServerUrlError { text: text.to_owned(), reason };
        let url = Url::parse(&with_scheme).map_err(|_| wrong("it is not an address"))?;
        if url.scheme() != "https" {
            return Err(wrong("it must begin with https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it must not hold a name or a password; use --user"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("nothing may follow the port"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no server's address. Retrying the same text can't help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a server address: {reason} (expected something like https://sealcard.example.org:8443)")]
pub struct ServerUrlError {
    text: String,
    reason: &'static str,
}

/// An HTTP client for one server and one way of trust. Keeps connections alive.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
    route: Route,
    name: String,
    /// What the server gives one request, in seconds.
    request_seconds: Arc<AtomicU64>,
}

impl Http {
    pub(super) fn new(route: Route, trust: &Trust, ca_pem: Option<&[u8]>) -> Result<Self, RemoteError> {
        let invalid = |error: String| RemoteError::Config(ConfigError::invalid("config.toml", error));
        let tls = tls::client_config(trust, ca_pem).map_err(|error| invalid(error.to_string()))?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            // gpg-agent's environment is not the person's: a proxy there would be used by one and not by the other.
            .no_proxy();
        if let Some(proxy) = &route.proxy {
            let mut way = reqwest::Proxy::https(proxy.to_string()).map_err(|error| invalid(error.to_string()))?;
            if let Some(authorization) = proxy.authorization() {
                way = way.custom_http_auth(authorization);
            }
            builder = builder.proxy(way);
        }
        let client = builder
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(NameService)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(50))
            .user_agent(concat!("sealcard/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let name = route.name();
        Ok(Self { client, route, name, request_seconds: Arc::new(AtomicU64::new(REQUEST_SECONDS)) })
    }

    /// The server's address and the proxy before it, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long an answer may take, one repetition included: twice what the server gives one request.
    pub(super) fn time_limit(&self) -> Duration {
        Duration::from_secs(self.request_seconds.load(Ordering::Relaxed).saturating_mul(2))
    }

    /// Sends a request and reads the whole answer, success or problem. Not limited in time as long as the server lives.
    pub(super) async fn exchange(&self, request: &Request<'_>) -> Result<Answer, RemoteError> {
        let begin = Instant::now();
        let result = self.send(request).await;
        self.route.trace.note(|| {
            let outcome = match &result {
                Ok(Answer { outcome: Ok(body), .. }) => format!("success, {} bytes", body.len()),
                Ok(Answer { outcome: Err(problem), .. }) => format!("{} {}", problem.status, problem.code),
                Err(error) => format!("failed: {error}"),
            };
            let time = milliseconds(begin.elapsed());
            format!("http {} {} to {}: {outcome} in {time}", request.method, request.path, self.name)
        });
        result
    }

    /// As [`Self::send_patiently`], unless the server hangs.
    async fn send(&self, request: &Request<'_>) -> Result<Answer, RemoteError> {
        let lives = || async {
            let Ok(url) = self.route.server.at("/healthz") else { return false };
            self.client.get(url).send().await.is_ok()
        };
        watch::answer_of(PATIENCE, self.send_patiently(request), lives)
            .await
            .unwrap_or_else(|| Err(RemoteError::TimedOut { server: self.name.clone(), seconds: PATIENCE.seconds() }))
    }

    async fn send_patiently(&self, request: &Request<'_>) -> Result<Answer, RemoteError> {
        let url = self.route.server.at(&request.path).map_err(|detail| self.bad(detail))?;
        let mut builder = self.client.request(request.method.clone(), url);
        if let Some(authorization) = request.authorization {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(key) = request.idempotency {
            builder = builder.header(IDEMPOTENCY_KEY_HEADER, key.to_string());
        }
        if let Some(body) = &request.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let transport = |error| RemoteError::from_transport(&self.name, self.time_limit(), error);
        let mut response = builder.send().await.map_err(transport)?;
        let registry_version = header(&response, REGISTRY_VERSION_HEADER).and_then(|text| text.parse().ok());
        if let Some(seconds) = header(&response, REQUEST_SECONDS_HEADER).and_then(|text| text.parse::<u64>().ok()) {
            self.request_seconds.store(seconds.clamp(1, MAX_REQUEST_SECONDS), Ordering::Relaxed);
        }
        let status = response.status();
        // `/readyz` answers with 503 too. A problem has a content type of its own.
        let answers = status.is_success()
            || status == StatusCode::SERVICE_UNAVAILABLE
                && header(&response, "content-type") == Some("application/json");
        let date = header(&response, "date").map(ToOwned::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.bad("it is larger than 64 MiB".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        let outcome = if answers { Ok(body) } else { Err(self.problem(status.as_u16(), &body)?) };
        Ok(Answer { accepted: status == StatusCode::ACCEPTED, registry_version, date, outcome })
    }

    /// Reads an answer's body.
    pub(super) fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, RemoteError> {
        // An answer without a body (204) is `null` to whoever expects nothing.
        let body = if body.is_empty() { b"null" } else { body };
        serde_json::from_slice(body).map_err(|error| self.bad(error.to_string()))
    }

    fn problem(&self, status: u16, body: &[u8]) -> Result<Box<Problem>, RemoteError> {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Ok(Box::new(problem)),
            Err(_) => Err(self.bad(format!("HTTP status {status} without problem details"))),
        }
    }

    fn bad(&self, detail: String) -> RemoteError {
        RemoteError::BadAnswer { server: self.name.clone(), detail }
    }
}

/// What [`Http::exchange`] sends.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// With leading slash.
    pub(super) path: String,
    /// `Bearer …`, marked as sensitive.
    pub(super) authorization: Option<&'a HeaderValue>,
    pub(super) idempotency: Option<Uuid>,
    /// JSON. Cheap to clone.
    pub(super) body: Option<Body>,
}

/// A request body that repetitions share.
#[derive(Clone)]
pub(super) struct Body(Arc<[u8]>);

impl Body {
    pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<Self, RemoteError> {
        let bytes = zeroize::Zeroizing::new(serde_json::to_vec(value).map_err(|error| RemoteError::BadAnswer {
            server: "this program".to_owned(),
            detail: error.to_string(),
        })?);
        Ok(Self(bytes.as_slice().into()))
    }
}

impl From<Body> for reqwest::Body {
    fn from(body: Body) -> Self {
        body.0.to_vec().into()
    }
}

// Bodies hold passwords at times.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status 202: what was asked for is not done yet.
    pub(super) accepted: bool,
    pub(super) registry_version: Option<u64>,
    /// The header `Date`, as it is.
    pub(super) date: Option<String>,
    pub(super) outcome: Result<Vec<u8>, Box<Problem>>,
}

impl Answer {
    pub(super) fn code(&self) -> Option<ProblemCode> {
        self.outcome.as_ref().err().map(|problem| problem.code)
    }

    /// The server's time, if it said it.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let date = OffsetDateTime::parse(self.date.as_deref()?, &Rfc2822).ok()?;
        Some(Timestamp::from_unix(date.unix_timestamp()))
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The system's name service, with an error of its own so that it can be told from others.
struct NameService;

impl Resolve for NameService {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses: Result<Vec<SocketAddr>, _> =
                tokio::net::lookup_host((host.as_str(), 0)).await.map(Iterator::collect);
            match addresses {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(error) => Err(NameError { host, reason: error.to_string() }.into()),
            }
        })
    }
}

/// A name without an address. Retrying may help.
#[derive(Debug, Clone, Error)]
#[error("no address for {host}: {reason}")]
pub struct NameError {
    host: String,
    reason: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_https_and_nothing_but_host_and_port() {
        for (text, shown, host, port) in [
            ("https://a.example:8443", "https://a.example:8443", "a.example", 8443),
            (" a.example ", "https://a.example", "a.example", 443),
            ("https://A.example/", "https://a.example", "a.example", 443),
            ("[::1]:9", "https://[::1]:9", "::1", 9),
            ("https://127.0.0.1:1", "https://127.0.0.1:1", "127.0.0.1", 1),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.host(), url.port()), (shown, host, port));
        }
        for wrong in
            ["", "http://a", "https://", "https://a/b", "https://a?b", "https://u:p@a", "a b", "https://a:99999"]
        {
            assert!(wrong.parse::<ServerUrl>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_body_is_not_in_debug_texts() {
        let body = Body::json(&"hunter2").unwrap();
        assert_eq!(format!("{body:?}"), "Body(9 bytes)");
    }

    proptest! {
        #[test]
        fn an_address_shown_is_read_as_the_same(text in "\\PC*") {
            if let Ok(url) = text.parse::<ServerUrl>() {
                prop_assert_eq!(url.to_string().parse::<ServerUrl>().unwrap(), url);
            }
        }
    }
}
