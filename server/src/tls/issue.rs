//! The server's own certificate authority and the certificates it issues: ECDSA P-256, as every TLS client knows it.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// The authority's certificate, relative to the data folder. Clients may trust it with `--ca-file`.
pub const CA_FILE: &str = "tls/ca.pem";

/// The authority's private key, relative to the data folder.
pub const CA_KEY_FILE: &str = "tls/ca.key";

const CA_LIFETIME: Duration = Duration::days(3652);
/// How long a server's certificate is good.
pub(super) const SERVER_LIFETIME: Duration = Duration::days(730);

/// Clocks of clients may be slow.
const BACKDATED: Duration = Duration::hours(1);

/// Why no certificate could be made.
#[derive(Debug, Error)]
pub enum IssueError {
    /// A file can't be read or written. Retrying helps once it can.
    #[error(transparent)]
    File(#[from] FileError),
    /// A name is no DNS name, or the authority's key is damaged. Retrying can't help.
    #[error("can't make the certificate")]
    Certificate(#[from] rcgen::Error),
    /// A certificate in the data folder can't be read. Retrying helps once it was put right.
    #[error("a certificate in the data folder can't be read")]
    Unreadable,
}

/// Makes the authority of a new data folder.
///
/// # Errors
/// If its files can't be written.
pub fn make_authority(data: &Path) -> Result<(), IssueError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = authority_params(&key)?.self_signed(&key)?;
    files::write_new(&data.join(CA_KEY_FILE), Zeroizing::new(key.serialize_pem()).as_bytes())?;
    files::write_new(&data.join(CA_FILE), certificate.pem().as_bytes())?;
    Ok(())
}

/// Issues a server certificate for `names` with the data folder's authority, in place of an earlier one. The key is
/// new.
///
/// # Errors
/// If a name is not usable in a certificate, the authority's key can't be read, or files can't be written.
pub fn issue_server(data: &Path, names: &[String], certificate: &Path, key: &Path) -> Result<(), IssueError> {
    let now = OffsetDateTime::now_utc();
    issue_server_until(data, names, (certificate, key), (now, now + SERVER_LIFETIME))
}

/// As [`issue_server`], good from `now` to `until`.
///
/// # Errors
/// As [`issue_server`].
pub fn issue_server_until(
    data: &Path,
    names: &[String],
    (certificate, key): (&Path, &Path),
    (now, until): (OffsetDateTime, OffsetDateTime),
) -> Result<(), IssueError> {
    let ca_key = KeyPair::from_pem(&files::read_secret(&data.join(CA_KEY_FILE))?)?;
    let ca_pem = files::read(&data.join(CA_FILE))?;
    let issuer = Issuer::new(authority_params(&ca_key)?, ca_key);

    let mut params = CertificateParams::new(names)?;
    let common_name = names.first().map_or("sealcard-server", String::as_str);
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = (now - BACKDATED, until);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;

    let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let leaf = params.signed_by(&server_key, &issuer)?;
    // The chain holds the authority too: a client learns it from the handshake and trusts it once a person has compared
    // its fingerprint.
    let chain = format!("{}{}", leaf.pem(), String::from_utf8_lossy(&ca_pem));
    replace_pair((certificate, chain.as_bytes()), (key, Zeroizing::new(server_key.serialize_pem()).as_bytes()))
}

/// Puts certificate chain and key (PEM) into their places.
///
/// Key first: a server that reloads in between finds a pair that does not match and keeps what it has.
///
/// # Errors
/// If a file can't be written.
pub fn replace_pair(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<(), IssueError> {
    files::replace(key.0, key.1)?;
    files::replace(certificate.0, certificate.1)?;
    Ok(())
}

/// The same for the same key, so that a renewal needs no parser for the authority's certificate: issuer name and key
/// identifier follow from the key.
fn authority_params(key: &KeyPair) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.der_bytes());
    let short: String = data_encoding::HEXLOWER.encode(digest.as_ref()).chars().take(16).collect();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("Sealcard CA {short}"));
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - BACKDATED, now + CA_LIFETIME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// The names a server is reached by when none are given: this machine's.
#[must_use]
pub fn default_names() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let hostname = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    if let Some(name) = hostname.filter(|name: &String| is_host_name(name) && !names.contains(name)) {
        names.push(name);
    }
    names
}

/// Whether a certificate may carry it: a DNS name (RFC 1123 section 2.1; a leading `*.` allowed) or an IP address.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label_ok)
}

/// Where certificate and key of a new data folder lie.
#[must_use]
pub fn default_pair(data: &Path) -> (PathBuf, PathBuf) {
    (data.join("tls/server.pem"), data.join("tls/server.key"))
}
