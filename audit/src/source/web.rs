//! Files of a log over HTTP.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueHint};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use zeroize::Zeroizing;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a request is repeated, and how long it is waited before the first repetition. The pause doubles.
const REPETITIONS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// The longest grant, in bytes.
const MAX_GRANT: usize = 4096;

/// What opens a web server.
#[derive(Debug, Default, Args)]
pub(crate) struct Access {
    /// A file with the token of a grant, of a user who may read the whole record
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) grant: Option<PathBuf>,
    /// Trust the certificate authorities in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    ca_file: Option<PathBuf>,
}

/// A web server with the files of a log below a URL.
#[derive(Debug, Clone)]
pub(crate) struct Web {
    client: Client,
    prefix: Arc<str>,
    /// Marked as sensitive.
    authorization: Option<HeaderValue>,
}

/// Why a web server gave no file. Retrying may help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error("{url}: {}", chain(.error))]
    Transport { url: String, error: reqwest::Error },
    #[error(
        "{url}: the server refuses it (HTTP status {status}): it needs --grant FILE of somebody who may read the record"
    )]
    Refused { url: String, status: u16 },
    #[error("{url}: the server answered with HTTP status {status}")]
    Status { url: String, status: u16 },
}

impl WebError {
    /// Whether the server may answer a repetition.
    const fn is_passing(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::Status { status: 429 | 500.., .. })
    }

    /// Whether the caller lacks a right.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

impl Web {
    /// The files below this URL.
    ///
    /// # Errors
    /// If it is none, or the grant or the authorities can't be read.
    pub(crate) fn new(url: &str, access: &Access) -> anyhow::Result<Self> {
        let parsed = Url::parse(url).with_context(|| format!("{url} is no URL"))?;
        ensure!(parsed.query().is_none() && parsed.fragment().is_none(), "{url}: nothing may follow the path");
        ensure!(parsed.username().is_empty() && parsed.password().is_none(), "{url}: use --grant");
        let authorization = match &access.grant {
            Some(file) => {
                ensure!(parsed.scheme() == "https", "{url}: a grant must not be sent without https");
                Some(read_grant(file)?)
            }
            None => None,
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls(access)?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("sealcard-audit/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, prefix: url.trim_end_matches('/').into(), authorization })
    }

    /// The content of the file at this path; if it is longer than `limit`, one byte more than that. None if there is none.
    ///
    /// # Errors
    /// See [`WebError`].
    pub(crate) async fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, WebError> {
        let mut pause = PAUSE;
        for _ in 0..REPETITIONS {
            match self.read_once(path, limit).await {
                Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
                answer => return answer,
            }
            pause *= 2;
        }
        self.read_once(path, limit).await
    }

    async fn read_once(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, WebError> {
        let url = format!("{}/{path}", self.prefix);
        let mut request = self.client.get(&url);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let failed = |error: reqwest::Error| WebError::Transport { url: url.clone(), error: error.without_url() };
        let mut response: Response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(WebError::Refused { url, status: status.as_u16() });
            }
            status => return Err(WebError::Status { url, status: status.as_u16() }),
        }
        let mut content = Vec::new();
        while let Some(part) = response.chunk().await.map_err(failed)? {
            content.extend_from_slice(&part);
            if content.len() > limit {
                content.truncate(limit + 1);
                break;
            }
        }
        Ok(Some(content))
    }
}

fn read_grant(file: &PathBuf) -> anyhow::Result<HeaderValue> {
    let name = || file.display().to_string();
    let content = Zeroizing::new(fs::read(file).with_context(name)?);
    ensure!(content.len() <= MAX_GRANT, "{}: it is too long for a grant", name());
    let text = std::str::from_utf8(&content).ok().map(str::trim).filter(|text| !text.is_empty());
    let text = text.with_context(|| format!("{}: it has no grant", name()))?;
    let header = Zeroizing::new(format!("Bearer {text}"));
    let mut header = HeaderValue::from_str(&header).ok().with_context(|| format!("{}: it has no grant", name()))?;
    header.set_sensitive(true);
    Ok(header)
}

fn tls(access: &Access) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &access.ca_file {
        Some(file) => {
            let name = || file.display().to_string();
            let pem = fs::read(file).with_context(name)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.with_context(name)?).with_context(name)?;
            }
            ensure!(!roots.is_empty(), "{}: it has no certificate in PEM form", name());
        }
        None => {
            // Machines have certificates that are too odd to be read; the others still count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config =
        builder.with_protocol_versions(&[&rustls::version::TLS13])?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// An error and its causes, which reqwest's own text leaves out.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
