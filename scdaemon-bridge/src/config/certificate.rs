//! What a person is shown of a certificate.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sealcard_api::{Timestamp, life};
use serde::Serialize;
use x509_cert::{
    Certificate,
    der::{Decode as _, oid::ObjectIdentifier},
};

use super::CertificateFingerprint;

/// The attribute `commonName` (RFC 4519 section 2.3).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// Whose certificate it is, how it is recognised, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// The subject's common name, or the whole subject if it has none. Foreign text.
    pub name: String,
    /// SHA-256 of the certificate.
    pub sha256: CertificateFingerprint,
    /// The end of its time; absent if the certificate can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(skip)]
    begin: Option<Timestamp>,
}

impl CertificateFacts {
    /// Of a certificate in DER. One that can't be read has a fingerprint all the same.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let sha256 = CertificateFingerprint::of(der);
        let Ok(certificate) = Certificate::from_der(der) else {
            return Self { name: String::new(), sha256, expires: None, begin: None };
        };
        let validity = &certificate.tbs_certificate.validity;
        let [begin, expires] = [validity.not_before, validity.not_after]
            .map(|time| i64::try_from(time.to_unix_duration().as_secs()).ok().map(Timestamp::from_unix));
        Self { name: name_of(&certificate), sha256, expires, begin }
    }

    /// Its end, if that is near.
    #[must_use]
    pub fn near_end(&self, now: Timestamp) -> Option<Timestamp> {
        let (begin, end) = (self.begin?, self.expires?);
        life::certificate_ends_soon(begin, end, now).then_some(end)
    }

    /// Of each certificate in a PEM file.
    #[must_use]
    pub fn all_of(pem: &[u8]) -> Vec<Self> {
        CertificateDer::pem_slice_iter(pem).flatten().map(|certificate| Self::of(&certificate)).collect()
    }
}

fn name_of(certificate: &Certificate) -> String {
    let subject = &certificate.tbs_certificate.subject;
    let mut attributes = subject.0.iter().flat_map(|part| part.0.iter());
    let common = attributes.rfind(|attribute| attribute.oid == COMMON_NAME);
    common.map_or_else(|| subject.to_string(), |name| String::from_utf8_lossy(name.value.value()).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn facts_are_name_fingerprint_and_end() {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "Sealcard CA 12");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let facts = CertificateFacts::of(certificate.der());
        assert_eq!(
            (facts.name.as_str(), facts.sha256),
            ("Sealcard CA 12", CertificateFingerprint::of(certificate.der()))
        );
        assert!(facts.expires.unwrap() > Timestamp::from_unix(0));
        assert_eq!(CertificateFacts::all_of(certificate.pem().repeat(2).as_bytes()), [facts.clone(), facts]);
        assert_eq!(CertificateFacts::of(b"nonsense").expires, None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_facts(bytes: Vec<u8>) {
            let _ = CertificateFacts::of(&bytes);
            let _ = CertificateFacts::all_of(&bytes);
        }
    }
}
