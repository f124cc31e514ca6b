//! Public keys and trust in them.

use std::time::Duration;

use sealcard_api::Fingerprint;

use super::{Gnupg, GpgError};
use crate::program::{Output, TIME_LIMIT};

/// What became of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// It was new.
    New,
    /// It was known and got something new.
    Changed,
    /// It was known as it is.
    Unchanged,
    /// gpg does not take it.
    Refused {
        /// What gpg says.
        reason: String,
    },
}

/// What a person's `gpg.conf` may say that keeps certificates out: `import-options merge-only`, `weak-digest SHA1`, and
/// a clock that is behind the server's.
const AGAINST_GPG_CONF: [&str; 5] =
    ["--import-options", "no-merge-only", "--allow-weak-digest-algos", "--ignore-time-conflict", "--ignore-valid-from"];

impl Gnupg {
    /// Imports certificates, each in its binary form. One that gpg refuses does not stop the others. The result is in
    /// their order.
    ///
    /// # Errors
    ///
    /// When gpg can't be run.
    pub fn import(&self, certificates: &[(Fingerprint, Vec<u8>)]) -> Result<Vec<Imported>, GpgError> {
        if certificates.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<u8> = certificates.iter().flat_map(|(_, certificate)| certificate.iter().copied()).collect();
        let output = self.run_import(&all, certificates.len())?;
        let status = output.text();
        let judge = |(fingerprint, certificate): &(Fingerprint, Vec<u8>)| match imported(&status, fingerprint) {
            Some(imported) => Ok(imported),
            // Alone, so that what gpg says is about this one. gpg may also have stopped before it.
            None => self.import_alone(fingerprint, certificate),
        };
        certificates.iter().map(judge).collect()
    }

    fn import_alone(&self, fingerprint: &Fingerprint, certificate: &[u8]) -> Result<Imported, GpgError> {
        let output = self.run_import(certificate, 1)?;
        Ok(imported(&output.text(), fingerprint).unwrap_or_else(|| Imported::Refused { reason: refusal(&output) }))
    }

    fn run_import(&self, certificates: &[u8], number: usize) -> Result<Output, GpgError> {
        let mut arguments = vec!["--batch", "--no-tty", "--no-auto-check-trustdb", "--status-fd", "1"];
        arguments.extend(AGAINST_GPG_CONF);
        arguments.push("--import");
        Ok(self.program("gpg", &arguments, Some(certificates)).limit(limit_for(number)).run()?)
    }

    /// Which of these certificates are in the keyring.
    ///
    /// # Errors
    ///
    /// When gpg is not installed.
    pub fn public_keys(&self, fingerprints: &[Fingerprint]) -> Result<Vec<Fingerprint>, GpgError> {
        if fingerprints.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["--batch", "--no-tty", "--no-auto-check-trustdb", "--with-colons", "--list-keys"];
        arguments.extend(names.iter().map(String::as_str));
        // It fails when one is missing, and lists the others all the same.
        let output = self.program("gpg", &arguments, None).limit(limit_for(names.len())).run()?;
        let listed = String::from_utf8_lossy(&output.stdout);
        let listed: Vec<&str> =
            listed.lines().filter_map(|line| line.strip_prefix("fpr:")?.split(':').nth(8)).collect();
        Ok(fingerprints
            .iter()
            .zip(&names)
            .filter(|(_, name)| listed.iter().any(|listed| listed.eq_ignore_ascii_case(name)))
            .map(|(fingerprint, _)| *fingerprint)
            .collect())
    }

    /// Removes certificates from the keyring. Those with a secret key or stub stay: gpg refuses.
    ///
    /// # Errors
    ///
    /// When gpg refuses.
    pub fn delete_public_keys(&self, fingerprints: &[Fingerprint]) -> Result<(), GpgError> {
        if fingerprints.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["--batch", "--no-tty", "--yes", "--delete-keys"];
        arguments.extend(names.iter().map(String::as_str));
        self.program("gpg", &arguments, None).limit(limit_for(names.len())).checked()?;
        Ok(())
    }
}

/// How long a tool may take that looks at so many keys.
pub(super) fn limit_for(number: usize) -> Duration {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    TIME_LIMIT.saturating_add(Duration::from_millis(200).saturating_mul(number))
}

/// What the status lines say of a certificate (doc/DETAILS of GnuPG). `None` if gpg did not take it.
fn imported(status: &str, fingerprint: &Fingerprint) -> Option<Imported> {
    let name = fingerprint.to_string();
    let flags = status.lines().find_map(|line| {
        let (flags, of) = line.strip_prefix("[GNUPG:] IMPORT_OK ")?.split_once(' ')?;
        of.trim().eq_ignore_ascii_case(&name).then(|| flags.parse::<u32>().ok())?
    })?;
    Some(match flags {
        0 => Imported::Unchanged,
        flags if flags & 1 != 0 => Imported::New,
        _ => Imported::Changed,
    })
}

/// What gpg says of the certificate, without its totals.
fn refusal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("gpg: key ")?.split_once(' '))
        .map(|(_, said)| said.trim())
        .collect();
    lines.dedup();
    if lines.is_empty() { output.last_words() } else { lines.join("; ") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    /// Makes a key in a home that is gone afterwards. Gives its certificate.
    fn certificate(options: &[&str]) -> (Fingerprint, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let gnupg = Gnupg::new(folder.path().to_owned());
        let made = ["--batch", "--no-tty", "--passphrase", "", "--quick-gen-key"];
        let what = ["Jane <jane@example.org>", "ed25519", "sign", "1y"];
        gnupg.checked("gpg", &[options, &made, &what].concat(), None).unwrap();
        let list = gnupg.checked("gpg", &["--batch", "--with-colons", "--list-keys"], None).unwrap().text();
        let fingerprint = list.lines().find_map(|line| line.strip_prefix("fpr:")?.split(':').nth(8)).unwrap();
        let exported = gnupg.checked("gpg", &["--batch", "--export"], None).unwrap();
        gnupg.stop_agent().unwrap();
        (fingerprint.parse().unwrap(), exported.stdout)
    }

    #[test]
    fn a_refused_certificate_does_not_stop_the_others() {
        let [first, mut cut, last] = [certificate(&[]), certificate(&[]), certificate(&[])];
        // Only its first packet, the key: gpg wants a user id.
        cut.1.truncate(2 + usize::from(*cut.1.get(1).unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let gnupg = Gnupg::new(folder.path().to_owned());
        let certificates = [first, cut, last];
        let imported = gnupg.import(&certificates).unwrap();
        let [Imported::New, Imported::Refused { reason }, Imported::New] = imported.as_slice() else {
            panic!("{imported:?}")
        };
        assert!(reason.contains("user ID"), "{reason}");
        let again = gnupg.import(&certificates).unwrap();
        assert!(matches!(again.as_slice(), [Imported::Unchanged, Imported::Refused { .. }, Imported::Unchanged]));
    }

    #[test]
    fn a_persons_gpg_conf_does_not_keep_certificates_out() {
        for (options, gpg_conf) in [
            (&["--faked-system-time", "20260101T000100"][..], "faked-system-time 20260101T000000"),
            (&["--cert-digest-algo", "SHA1"], "weak-digest SHA1"),
            (&[], "import-options merge-only"),
        ] {
            let certificate = certificate(options);
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("gpg.conf"), gpg_conf).unwrap();
            let imported = Gnupg::new(folder.path().to_owned()).import(&[certificate]).unwrap();
            assert_eq!(imported, [Imported::New], "{gpg_conf}");
        }
    }

    #[test]
    fn status_lines_tell_what_became_of_each_certificate() {
        let status = "[GNUPG:] IMPORT_OK 1 0101010101010101010101010101010101010101\n\
                      [GNUPG:] IMPORT_OK 0 0202020202020202020202020202020202020202\n\
                      [GNUPG:] IMPORT_OK 4 0303030303030303030303030303030303030303\n";
        let of = |byte| imported(status, &Fingerprint([byte; 20]));
        assert_eq!(of(1), Some(Imported::New));
        assert_eq!(of(2), Some(Imported::Unchanged));
        assert_eq!(of(3), Some(Imported::Changed));
        assert_eq!(of(4), None);
    }
}
