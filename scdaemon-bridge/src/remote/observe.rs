//! Looking at a server's certificate before anything is sent to it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{RemoteError, Route, UnreachableKind, client::CONNECT_TIMEOUT, tls};
use crate::config::{CertificateFingerprint, ConfigError};

/// What a server showed of itself.
#[derive(Debug, Clone)]
pub struct Observed {
    /// SHA-256 of its certificate.
    pub fingerprint: CertificateFingerprint,
    /// The certificate, DER.
    pub certificate: Vec<u8>,
}

/// Takes part in a TLS handshake, keeps the certificate and closes the connection. No HTTP is spoken with the server. Takes
/// 5 seconds for the connection, 5 for a proxy's answer and 5 for the handshake at most.
///
/// # Errors
///
/// When the server can't be reached or does not speak TLS 1.3.
pub async fn observe(route: &Route) -> Result<Observed, RemoteError> {
    let config =
        tls::looking_config().map_err(|error| RemoteError::Config(ConfigError::invalid("config.toml", error)))?;
    let name = ServerName::try_from(route.server().host().to_owned())
        .map_err(|error| route.unreachable(UnreachableKind::Name, error))?;
    let stream = route.connect().await?;
    let stream = timeout(CONNECT_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .map_err(|_| route.unreachable(UnreachableKind::Timeout, "no answer"))?
        .map_err(|error| route.unreachable(UnreachableKind::Broken, format!("no TLS 1.3: {error}")))?;
    let (_, connection) = stream.get_ref();
    let certificate = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .ok_or_else(|| route.unreachable(UnreachableKind::Broken, "it showed no certificate"))?;
    Ok(Observed { fingerprint: CertificateFingerprint::of(certificate), certificate: certificate.to_vec() })
}
