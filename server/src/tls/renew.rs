//! Renewing the server's certificate before it ends, if the data folder's own authority has issued it.

use std::{fs::File, io, path::Path};

use nix::fcntl::{Flock, FlockArg};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use time::{Duration, OffsetDateTime};
use x509_cert::{
    Certificate,
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

use super::{
    CA_FILE, CA_KEY_FILE, IssueError,
    issue::{self, SERVER_LIFETIME},
};
use crate::files;

/// Renewed so long before its end. A renewal that fails leaves time to act before warnings begin.
pub const RENEW_BEFORE: Duration = Duration::days(90);

/// A renewal that gains less is none: the authority itself ends.
const WORTHWHILE: Duration = Duration::days(1);

/// What came of a look at the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It comes from elsewhere, and is renewed there.
    NotOurs,
    /// It lasts.
    NotDue,
    /// There is a new one.
    Renewed {
        /// Its end.
        expires: OffsetDateTime,
    },
    /// The authority ends no later, so that a new certificate would not last longer.
    AuthorityEnds {
        /// The authority's end.
        expires: OffsetDateTime,
    },
}

/// Issues a new certificate for the same names if the present one ends soon. Several servers may do so at once, also
/// with the same files.
///
/// # Errors
/// If files can't be read or written. The certificate and key in use stay as they are.
pub fn renew_if_due(data: &Path, certificate: &Path, key: &Path, now: OffsetDateTime) -> Result<Renewal, IssueError> {
    if let Some(settled) = look(data, certificate)?.settled(now) {
        return Ok(settled);
    }
    let _lock = lock(certificate).map_err(|source| files::failed("lock the folder of", certificate)(source))?;
    // Another server may have been faster.
    let present = look(data, certificate)?;
    if let Some(settled) = present.settled(now) {
        return Ok(settled);
    }
    let Present::Ours { names, authority_expires, .. } = present else { return Ok(Renewal::NotOurs) };
    let until = authority_expires.min(now + SERVER_LIFETIME);
    issue::issue_server_until(data, &names, (certificate, key), (now, until))?;
    Ok(Renewal::Renewed { expires: until })
}

/// The begin and the end of the first certificate in a PEM file.
///
/// # Errors
/// If there is none that can be read.
pub fn validity(certificate: &Path) -> Result<(OffsetDateTime, OffsetDateTime), IssueError> {
    let chain = chain(certificate)?;
    let first = parse(chain.first().ok_or(IssueError::Unreadable)?)?;
    Ok((time_of(&first.tbs_certificate.validity.not_before)?, end_of(&first)?))
}

enum Present {
    NotOurs,
    Ours { expires: OffsetDateTime, authority_expires: OffsetDateTime, names: Vec<String> },
}

impl Present {
    /// What is known without issuing anything; `None` if a new certificate is due.
    fn settled(&self, now: OffsetDateTime) -> Option<Renewal> {
        let Self::Ours { expires, authority_expires, .. } = self else { return Some(Renewal::NotOurs) };
        if *expires - now > RENEW_BEFORE {
            return Some(Renewal::NotDue);
        }
        let gained = *authority_expires - *expires;
        (gained < WORTHWHILE).then_some(Renewal::AuthorityEnds { expires: *authority_expires })
    }
}

fn look(data: &Path, certificate: &Path) -> Result<Present, IssueError> {
    if !data.join(CA_KEY_FILE).is_file() {
        return Ok(Present::NotOurs);
    }
    let (shown, own) = (chain(certificate)?, chain(&data.join(CA_FILE))?);
    let (Some(leaf), Some(authority)) = (shown.first(), own.first()) else { return Ok(Present::NotOurs) };
    if shown.len() != 2 || shown.last() != Some(authority) {
        return Ok(Present::NotOurs);
    }
    let (leaf, authority) = (parse(leaf)?, parse(authority)?);
    if leaf.tbs_certificate.issuer != authority.tbs_certificate.subject {
        return Ok(Present::NotOurs);
    }
    Ok(Present::Ours { expires: end_of(&leaf)?, authority_expires: end_of(&authority)?, names: names_of(&leaf) })
}

/// Its folder: the file itself is replaced.
fn lock(certificate: &Path) -> io::Result<Flock<File>> {
    let folder = certificate.parent().unwrap_or_else(|| Path::new("."));
    Flock::lock(File::open(folder)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, IssueError> {
    let pem = files::read(path)?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| IssueError::Unreadable)
}

fn parse(der: &[u8]) -> Result<Certificate, IssueError> {
    Certificate::from_der(der).map_err(|_| IssueError::Unreadable)
}

fn end_of(certificate: &Certificate) -> Result<OffsetDateTime, IssueError> {
    time_of(&certificate.tbs_certificate.validity.not_after)
}

fn time_of(time: &Time) -> Result<OffsetDateTime, IssueError> {
    let end = time.to_unix_duration().as_secs();
    i64::try_from(end).ok().and_then(|end| OffsetDateTime::from_unix_timestamp(end).ok()).ok_or(IssueError::Unreadable)
}

/// The DNS names and addresses that it was issued for.
fn names_of(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    names.iter().filter_map(name_text).collect()
}

fn name_text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::{fs, path::PathBuf};

    use tempfile::TempDir;

    use super::*;

    const NAMES: [&str; 3] = ["sign.example", "192.0.2.7", "2001:db8::7"];

    struct Place {
        folder: TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("tls")).unwrap();
            super::super::make_authority(folder.path()).unwrap();
            let (certificate, key) = super::super::default_pair(folder.path());
            let names = NAMES.map(str::to_owned);
            super::super::issue_server(folder.path(), &names, &certificate, &key).unwrap();
            Self { folder, certificate, key }
        }

        fn renew_in(&self, days: i64) -> Renewal {
            let now = OffsetDateTime::now_utc() + Duration::days(days);
            renew_if_due(self.folder.path(), &self.certificate, &self.key, now).unwrap()
        }
    }

    #[test]
    fn a_certificate_is_renewed_for_its_names_before_it_ends() {
        let place = Place::new();
        let before = fs::read(&place.certificate).unwrap();
        assert_eq!(place.renew_in(0), Renewal::NotDue);
        assert_eq!(place.renew_in(639), Renewal::NotDue);
        assert_eq!(fs::read(&place.certificate).unwrap(), before);
        let Renewal::Renewed { expires } = place.renew_in(641) else { panic!("it is due") };
        let after = chain(&place.certificate).unwrap();
        assert_ne!(fs::read(&place.certificate).unwrap(), before);
        assert_eq!(after[1], chain(&place.folder.path().join(CA_FILE)).unwrap()[0]);
        assert_eq!(names_of(&parse(&after[0]).unwrap()), NAMES);
        assert_eq!(validity(&place.certificate).unwrap().1.unix_timestamp(), expires.unix_timestamp());
        assert_eq!(place.renew_in(641), Renewal::NotDue);
        super::super::ServerTls::load(place.certificate, place.key).unwrap();
    }

    #[test]
    fn an_expired_certificate_is_renewed() {
        assert!(matches!(Place::new().renew_in(800), Renewal::Renewed { .. }));
    }

    #[test]
    fn a_certificate_does_not_outlast_its_authority() {
        let place = Place::new();
        let Renewal::Renewed { expires } = place.renew_in(3600) else { panic!("it is due") };
        let authority = end_of(&parse(&chain(&place.folder.path().join(CA_FILE)).unwrap()[0]).unwrap()).unwrap();
        assert_eq!(expires, authority);
        assert_eq!(place.renew_in(3601), Renewal::AuthorityEnds { expires: authority });
    }

    #[test]
    fn a_certificate_from_elsewhere_is_left_alone() {
        let (place, other) = (Place::new(), Place::new());
        fs::copy(&other.certificate, &place.certificate).unwrap();
        assert_eq!(place.renew_in(700), Renewal::NotOurs);
        fs::remove_file(other.folder.path().join(CA_KEY_FILE)).unwrap();
        assert_eq!(other.renew_in(700), Renewal::NotOurs);
    }
}
