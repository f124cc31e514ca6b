//! Owner trust: which certificates gpg takes for the person's own.

use std::collections::BTreeMap;

use sealcard_api::Fingerprint;

use super::{Gnupg, GpgError};

/// gpg's name of "unknown": what a key has of which nobody said anything (doc/DETAILS and trustdb.h of GnuPG).
pub const UNKNOWN_TRUST: u8 = 2;

/// gpg's name of "ultimate".
pub const ULTIMATE_TRUST: u8 = 6;

impl Gnupg {
    /// The owner trust of every certificate that has one.
    ///
    /// # Errors
    ///
    /// When gpg refuses.
    pub fn owner_trust(&self) -> Result<BTreeMap<String, u8>, GpgError> {
        // gpg makes the database when it first writes to it, and fails before that.
        if !self.home().join("trustdb.gpg").exists() {
            return Ok(BTreeMap::new());
        }
        let output = self.checked("gpg", &["--batch", "--no-tty", "--export-ownertrust"], None)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let entry = |line: &str| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
        };
        Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(entry).collect())
    }

    /// Sets the owner trust of certificates.
    ///
    /// # Errors
    ///
    /// When gpg refuses.
    pub fn set_owner_trust(&self, trust: &[(Fingerprint, u8)]) -> Result<(), GpgError> {
        let lines: String = trust.iter().map(|(fingerprint, trust)| format!("{fingerprint}:{trust}:\n")).collect();
        self.checked("gpg", &["--batch", "--no-tty", "--import-ownertrust"], Some(lines.as_bytes()))?;
        self.check_trust();
        Ok(())
    }

    /// Lets gpg work out what follows from the owner trust, so that the next verification need not begin with it. That
    /// one repeats what fails here: gpg fails as long as it lacks the certificate of any ultimately trusted key.
    pub fn check_trust(&self) {
        let _ = self.checked("gpg", &["--batch", "--no-tty", "--check-trustdb"], None);
    }

    /// The fingerprints of the certificates for which gpg has a secret key or a stub.
    ///
    /// # Errors
    ///
    /// When gpg refuses.
    pub fn secret_certificates(&self) -> Result<Vec<String>, GpgError> {
        let output = self.checked("gpg", &["--batch", "--no-tty", "--with-colons", "--list-secret-keys"], None)?;
        let text = String::from_utf8_lossy(&output.stdout);
        // The first fpr after each sec is that of the certificate.
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("sec:") || line.starts_with("fpr:")).collect();
        let certificates = lines.windows(2).filter_map(|pair| match pair {
            [sec, fpr] if sec.starts_with("sec:") => fpr.split(':').nth(9).map(ToOwned::to_owned),
            _ => None,
        });
        Ok(certificates.collect())
    }
}
