//! TLS 1.3 on aws-lc-rs, and the three ways to recognise the server.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use thiserror::Error as ThisError;

use crate::config::{CertificateFingerprint, Trust};

/// Why TLS can't be set up. Retrying helps after a person acted.
#[derive(Debug, ThisError)]
pub enum TlsError {
    /// The file given as CA holds no certificate.
    #[error("no certificate in PEM form is in the CA file")]
    NoCertificate,
    /// The file given as CA holds something that is no certificate.
    #[error("the CA file is not valid: {0}")]
    BadCertificate(String),
    /// This machine trusts no authority at all.
    #[error(
        "this machine has no list of certificate authorities (package ca-certificates); use --ca-file or --fingerprint"
    )]
    NoSystemRoots,
    /// rustls refuses the set-up.
    #[error(transparent)]
    Rustls(#[from] Error),
}

/// The client's side of TLS for this way of trust. `ca_pem` are the certificates of [`Trust::CaFile`].
///
/// # Errors
///
/// When there is no usable certificate authority.
pub fn client_config(trust: &Trust, ca_pem: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Certificate { sha256 } => {
            Arc::new(OneCertificate { expected: Some(*sha256), provider: provider.clone() })
        }
        Trust::CaFile {} => web_pki(parse_authorities(ca_pem.unwrap_or_default())?, &provider)?,
        Trust::System {} => web_pki(system_authorities()?, &provider)?,
    };
    with_verifier(verifier, provider)
}

/// As [`client_config`], accepting any certificate whose owner takes part in the handshake. Only for looking at it:
/// nothing may be sent over such a connection.
pub(super) fn looking_config() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    with_verifier(Arc::new(OneCertificate { expected: None, provider: provider.clone() }), provider)
}

/// Whether this authority vouches for the server's certificate, for this name and now. `others` is what the server
/// shows beside its own certificate.
pub(super) fn vouches(
    authority: &CertificateDer<'_>,
    certificate: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    name: &ServerName<'_>,
) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    verifier.verify_server_cert(certificate, others, name, &[], UnixTime::now()).map(drop)
}

/// Reads the certificates of a PEM file.
///
/// # Errors
///
/// When there is none, or one is not valid.
pub fn parse_authorities(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsError::BadCertificate(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::BadCertificate(error.to_string()))?;
    }
    if roots.is_empty() { Err(TlsError::NoCertificate) } else { Ok(roots) }
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Machines carry certificates that are too odd to be read; the others still count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(roots) }
}

fn web_pki(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| TlsError::BadCertificate(error.to_string()))
}

fn with_verifier(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Looks at the server's certificate alone, not at its names, dates and authorities. The handshake's signature is
/// verified, so whoever shows the certificate has its private key.
#[derive(Debug)]
struct OneCertificate {
    /// The certificate to be trusted; `None` takes any.
    expected: Option<CertificateFingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = CertificateFingerprint::of(end_entity);
        let Some(expected) = self.expected.filter(|expected| *expected != seen) else {
            return Ok(ServerCertVerified::assertion());
        };
        let mismatch = PinMismatchError { expected, seen };
        Err(Error::InvalidCertificate(rustls::CertificateError::Other(rustls::OtherError(Arc::new(mismatch)))))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The server showed another certificate than the one that is trusted. Retrying can't help before a person looked.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("its SHA-256 fingerprint is {seen}, but {expected} is trusted")]
pub struct PinMismatchError {
    /// What is trusted.
    pub expected: CertificateFingerprint,
    /// What the server showed.
    pub seen: CertificateFingerprint,
}
