//! Looking at a server's certificate before anything is sent to it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{RemoteError, ServerUrl, UnreachableKind, client::CONNECT_TIMEOUT, tls};
use crate::config::{CertificateFingerprint, ConfigError};

/// What a server showed of itself.
#[derive(Debug, Clone)]
pub struct Observed {
    /// SHA-256 of its certificate.
    pub fingerprint: CertificateFingerprint,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// Takes part in a TLS handshake, keeps the certificate and closes the connection. No HTTP is spoken. Takes 5 seconds
/// for the connection and 5 for the handshake at most.
///
/// # Errors
///
/// When the server can't be reached or does not speak TLS 1.3.
pub async fn observe(url: &ServerUrl) -> Result<Observed, RemoteError> {
    let unreachable = |kind, detail: String| RemoteError::Unreachable { server: url.to_string(), kind, detail };
    let late = || unreachable(UnreachableKind::Timeout, "no answer".to_owned());
    let addresses: Vec<_> = tokio::net::lookup_host((url.host(), url.port()))
        .await
        .map_err(|error| unreachable(UnreachableKind::Name, error.to_string()))?
        .collect();
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(addresses.as_slice()))
        .await
        .map_err(|_| late())?
        .map_err(|error| unreachable(UnreachableKind::of_io(error.kind()), error.to_string()))?;
    let config =
        tls::looking_config().map_err(|error| RemoteError::Config(ConfigError::invalid("config.toml", error)))?;
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|error| unreachable(UnreachableKind::Name, error.to_string()))?;
    let stream = timeout(CONNECT_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .map_err(|_| late())?
        .map_err(|error| unreachable(UnreachableKind::Broken, format!("no TLS 1.3: {error}")))?;
    let (_, connection) = stream.get_ref();
    let certificate = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .ok_or_else(|| unreachable(UnreachableKind::Broken, "it showed no certificate".to_owned()))?;
    Ok(Observed { fingerprint: CertificateFingerprint::of(certificate), certificate: certificate.to_vec() })
}
