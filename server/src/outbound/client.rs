//! Clients for HTTPS and TLS, which reach only addresses that they may reach.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Url, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sealcard_api::{Timestamp, text::one_line};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use tokio::sync::Semaphore;

use super::target::{self, PrivateAddress, Resolver, check_literal};
use crate::{
    files::{self, FileError},
    limits,
};

/// A receiver can't be used as it is configured. Retrying helps after that was corrected. The text has no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("{key}: {}", chain(.why))]
    File { key: &'static str, why: FileError },
    #[error("url must begin with https:// and have no user, password or fragment")]
    Url,
    #[error("url: {0}")]
    PrivateAddress(#[from] PrivateAddress),
    #[error("ca-file: {0}")]
    Certificates(String),
    #[error("certificate-file and key-file: {0}")]
    Identity(String),
    #[error("this machine has no list of certificate authorities (package ca-certificates); set ca-file")]
    NoAuthorities,
    #[error("{0}")]
    Client(String),
}

fn chain(error: &FileError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The certificate by which a receiver knows the server, with its key.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files (PEM).
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TargetError> {
        let pem = files::read(certificate).map_err(|why| TargetError::File { key: "certificate-file", why })?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| TargetError::Identity(error.to_string()))?;
        let secret = files::read_secret(key).map_err(|why| TargetError::File { key: "key-file", why })?;
        let key = PrivateKeyDer::from_pem_slice(secret.as_bytes())
            .map_err(|error| TargetError::Identity(error.to_string()))?;
        Ok(Self { chain, key })
    }
}

/// What several clients have together.
pub(crate) struct Connecting {
    lookups: Arc<Semaphore>,
    /// The system's authorities.
    system: Option<RootCertStore>,
}

impl Connecting {
    pub(crate) fn new() -> Self {
        Self { lookups: target::lookups(), system: None }
    }

    /// TLS with these authorities, or the system's.
    pub(crate) fn tls(
        &mut self,
        ca_file: Option<&Path>,
        identity: Option<Identity>,
    ) -> Result<ClientConfig, TargetError> {
        let roots = match (ca_file, &self.system) {
            (Some(file), _) => read_authorities(file)?,
            (None, Some(system)) => system.clone(),
            (None, None) => self.system.insert(system_authorities()?).clone(),
        };
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TargetError::Client(error.to_string()))?
            .with_root_certificates(roots);
        match identity {
            None => Ok(config.with_no_client_auth()),
            Some(Identity { chain, key }) => {
                config.with_client_auth_cert(chain, key).map_err(|error| TargetError::Identity(error.to_string()))
            }
        }
    }

    /// Resolves names to addresses that may be used.
    pub(crate) fn resolver(&self, allow_private: bool) -> Resolver {
        Resolver::new(allow_private, Arc::clone(&self.lookups))
    }

    /// A client for HTTPS, and for HTTP to this machine if `plain`.
    pub(crate) fn client(
        &self,
        tls: ClientConfig,
        (allow_private, plain): (bool, bool),
        deadline: Duration,
    ) -> Result<reqwest::Client, TargetError> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!plain)
            .http1_only()
            // A proxy would resolve the name itself, and connect to what it finds.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .dns_resolver(self.resolver(allow_private))
            .timeout(deadline)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(limits::WEBHOOK_IDLE)
            .referer(false)
            .user_agent(concat!("sealcard-server/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| TargetError::Client(error.without_url().to_string()))
    }
}

impl TargetError {
    /// The address of a receiver, which must be one of HTTPS. An address in it must be one that may be used.
    pub(crate) fn check_url(text: &str, allow_private: bool) -> Result<Url, Self> {
        let url = Url::parse(text).map_err(|_| Self::Url)?;
        let plain = url.scheme() == "https"
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(Self::Url);
        }
        check_literal(&url, allow_private)?;
        Ok(url)
    }
}

/// Reads a file with certificates.
pub(crate) fn read_pem(path: &Path) -> Result<Vec<u8>, TargetError> {
    files::read(path).map_err(|why| TargetError::File { key: "ca-file", why })
}

fn read_authorities(path: &Path) -> Result<RootCertStore, TargetError> {
    let pem = read_pem(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| TargetError::Certificates(error.to_string()))?;
        roots.add(certificate).map_err(|error| TargetError::Certificates(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TargetError::Certificates("it has no certificate in PEM form".to_owned()));
    }
    Ok(roots)
}

fn system_authorities() -> Result<RootCertStore, TargetError> {
    let mut roots = RootCertStore::empty();
    // Machines carry certificates that are too odd to be read; the others still count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TargetError::NoAuthorities) } else { Ok(roots) }
}

/// The value of the header `Retry-After`: seconds, or a time.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let time = OffsetDateTime::parse(value, &Rfc2822).ok()?.unix_timestamp();
    Some(Duration::from_secs(time.saturating_sub(now.unix()).max(0).cast_unsigned()))
}

/// Why nothing came back: the innermost cause, because the others say only that sending failed.
pub(crate) fn failure_reason(error: reqwest::Error) -> String {
    // The address may be a secret.
    let error = error.without_url();
    if error.is_timeout() {
        return "the receiver did not answer in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        if source.is::<PrivateAddress>() {
            return source.to_string();
        }
        innermost = source;
    }
    one_line(&innermost.to_string(), 200)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_time() {
        let now = Timestamp::from_unix(1_445_412_470);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    proptest! {
        #[test]
        fn any_header_is_a_time_or_nothing(value: String, now in 0_i64..1 << 40) {
            let _ = retry_after(&value, Timestamp::from_unix(now));
        }
    }
}
