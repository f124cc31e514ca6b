//! What gpg says about signatures.

use anyhow::{Result, bail};

use crate::{Finished, Workstation};

/// The kinds of signature that gpg makes over data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureKind {
    /// `--detach-sign`: in a file of its own.
    Detached,
    /// `--sign`: with the data in it, compressed.
    Inline,
    /// `--clear-sign`: text with a signature below.
    Clear,
}

impl SignatureKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Detached, Self::Inline, Self::Clear];

    /// gpg's option.
    #[must_use]
    pub const fn option(self) -> &'static str {
        match self {
            Self::Detached => "--detach-sign",
            Self::Inline => "--sign",
            Self::Clear => "--clear-sign",
        }
    }
}

/// How many good signatures by this key (its primary key's fingerprint) gpg reports on the status lines of `verify`.
#[must_use]
pub fn good_signatures(status: &str, fingerprint: &str) -> usize {
    let valid = |line: &&str| line.starts_with("[GNUPG:] VALIDSIG ") && line.trim_end().ends_with(fingerprint);
    let bad = |line: &str| line.starts_with("[GNUPG:] BADSIG") || line.starts_with("[GNUPG:] ERRSIG");
    if status.lines().any(bad) { 0 } else { status.lines().filter(valid).count() }
}

impl Workstation {
    /// Signs a file and gives the signature's path.
    ///
    /// # Errors
    /// gpg failed.
    pub fn sign(&self, kind: SignatureKind, fingerprint: &str, file: &str, more: &[&str]) -> Result<String> {
        let output = format!("{file}.{}", kind.option().trim_start_matches('-'));
        let arguments = ["-q", "-u", fingerprint, "-o", &output, kind.option(), file];
        self.gpg(&[more, arguments.as_slice()].concat())?;
        Ok(output)
    }

    /// Verifies a signature that must be good and made by this key.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, kind: SignatureKind, fingerprint: &str, signature: &str, file: &str) -> Result<()> {
        let detached = [signature, file];
        let files = if kind == SignatureKind::Detached { detached.as_slice() } else { &[signature] };
        let finished = self.gpg(&[&["--status-fd", "1", "--verify"], files].concat())?;
        expect_good(&finished, fingerprint, 1)
    }

    /// A detached signature, which is tried whatever comes of it.
    ///
    /// # Errors
    /// gpg hung.
    pub fn try_sign(&self, fingerprint: &str) -> Result<Finished> {
        let file = self.write("to-sign", "something\n")?;
        let output = format!("{file}.sig");
        self.try_gpg(&["-q", "-u", fingerprint, "-o", &output, "--detach-sign", &file])
    }
}

fn expect_good(finished: &Finished, fingerprint: &str, count: usize) -> Result<()> {
    let found = good_signatures(&finished.text(), fingerprint);
    if found == count { Ok(()) } else { bail!("{found} good signatures of {count}: {}", finished.description()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_signatures_of_the_right_key_count() {
        let valid = "[GNUPG:] GOODSIG 11 a\n[GNUPG:] VALIDSIG 22 2026-11-22 0 0 4 0 1 10 00 AABB\n";
        assert_eq!(good_signatures(valid, "AABB"), 1);
        assert_eq!(good_signatures(valid, "AACC"), 0);
        assert_eq!(good_signatures(&format!("{valid}[GNUPG:] BADSIG 33 b\n"), "AABB"), 0);
        assert_eq!(good_signatures("", "AABB"), 0);
    }
}
