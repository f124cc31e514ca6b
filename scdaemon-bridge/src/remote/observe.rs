//! Looking at a server's certificates before anything is sent to it.

use std::sync::Arc;

use data_encoding::BASE64;
use rustls::{
    CertificateError as Kind, Error,
    pki_types::{CertificateDer, ServerName},
};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{CertificateError, RemoteError, Route, UnreachableKind, client::CONNECT_TIMEOUT, tls};
use crate::config::{CertificateFacts, CertificateFingerprint, ConfigError, Trust};

/// What a server showed of itself.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The server's address, for messages.
    server: String,
    /// The name that the server was asked by.
    name: ServerName<'static>,
    /// Its own certificate.
    certificate: CertificateDer<'static>,
    /// What it showed beside that.
    others: Vec<CertificateDer<'static>>,
}

impl Observed {
    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> CertificateFacts {
        CertificateFacts::of(&self.certificate)
    }

    /// What the server is best recognised by: the last authority that it shows, if that vouches for it, because it
    /// stays when the server's own certificate is renewed. Else its own certificate.
    ///
    /// # Errors
    ///
    /// When the authority has issued the certificate for another name, or the certificate's time is not now.
    pub fn anchor(&self) -> Result<Anchor, RemoteError> {
        let own = Anchor::Certificate(CertificateFingerprint::of(&self.certificate));
        let Some(authority) = self.others.last() else { return Ok(own) };
        match self.vouched_for_by(authority) {
            Ok(()) => Ok(Anchor::Authority(authority.clone())),
            Err(error) if is_about_name_or_time(&error) => Err(self.refused(&error)),
            Err(_) => Ok(own),
        }
    }

    /// The certificate with this fingerprint: the server's own, or that of an authority that vouches for it.
    ///
    /// # Errors
    ///
    /// When the server shows none, or the authority does not vouch for it.
    pub fn anchor_with(&self, expected: CertificateFingerprint) -> Result<Anchor, RemoteError> {
        let seen = CertificateFingerprint::of(&self.certificate);
        if seen == expected {
            return Ok(Anchor::Certificate(seen));
        }
        let Some(authority) = self.others.iter().find(|other| CertificateFingerprint::of(other) == expected) else {
            let seen = self.others.last().map_or(seen, |last| CertificateFingerprint::of(last));
            return Err(RemoteError::CertificateChanged(CertificateError::other_pin(
                self.server.clone(),
                tls::PinMismatchError { expected, seen },
            )));
        };
        self.vouched_for_by(authority).map_err(|error| self.refused(&error))?;
        Ok(Anchor::Authority(authority.clone()))
    }

    fn vouched_for_by(&self, authority: &CertificateDer<'_>) -> Result<(), Error> {
        tls::vouches(authority, &self.certificate, &self.others, &self.name)
    }

    fn refused(&self, error: &Error) -> RemoteError {
        RemoteError::CertificateChanged(CertificateError::new(self.server.clone(), error))
    }
}

fn is_about_name_or_time(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            Kind::NotValidForName
                | Kind::NotValidForNameContext { .. }
                | Kind::Expired
                | Kind::ExpiredContext { .. }
                | Kind::NotValidYet
                | Kind::NotValidYetContext { .. }
        )
    )
}

/// What a server can be recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// An authority, which vouches for the present certificate and for later ones.
    Authority(CertificateDer<'static>),
    /// The server's own certificate, until it is renewed.
    Certificate(CertificateFingerprint),
}

impl Anchor {
    /// What is configured for it: the way of trust, and the authorities' file.
    #[must_use]
    pub fn trust(&self) -> (Trust, Option<Vec<u8>>) {
        match self {
            Self::Authority(certificate) => (Trust::CaFile {}, Some(pem(certificate).into_bytes())),
            Self::Certificate(sha256) => (Trust::Certificate { sha256: *sha256 }, None),
        }
    }
}

/// RFC 7468.
fn pem(certificate: &[u8]) -> String {
    let text = BASE64.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, symbol) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(symbol);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// Takes part in a TLS handshake, keeps the certificates and closes the connection. No HTTP is spoken with the server.
/// Takes 5 seconds for the connection, 5 for a proxy's answer and 5 for the handshake at most.
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
    let stream = timeout(CONNECT_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name.clone(), stream))
        .await
        .map_err(|_| route.unreachable(UnreachableKind::Timeout, "no answer"))?
        .map_err(|error| route.unreachable(UnreachableKind::Broken, format!("no TLS 1.3: {error}")))?;
    let (_, connection) = stream.get_ref();
    let (certificate, others) = connection
        .peer_certificates()
        .and_then(|chain| chain.split_first())
        .ok_or_else(|| route.unreachable(UnreachableKind::Broken, "it showed no certificate"))?;
    Ok(Observed {
        server: route.server().to_string(),
        name,
        certificate: certificate.clone().into_owned(),
        others: others.iter().map(|other| other.clone().into_owned()).collect(),
    })
}
