//! Public keys, trust in them, and where gpg-agent believes their secret halves to be.

use sealcard_api::Fingerprint;

use super::{Gnupg, GpgError};
use crate::cards::Keygrip;

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportSummary {
    /// Certificates that were new.
    pub new: usize,
    /// Certificates that were known and got something new.
    pub changed: usize,
    /// Certificates that were known as they are.
    pub unchanged: usize,
}

/// Where gpg-agent believes a secret key to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPlace {
    /// It knows none: no stub was made.
    Unknown,
    /// On a card: there is a stub.
    Card,
    /// In a file of its own: a real secret key, which comes before any card.
    File,
}

impl Gnupg {
    /// Imports ASCII-armored certificates.
    ///
    /// # Errors
    ///
    /// When gpg does not take them all.
    pub fn import(&self, certificates: &[&str]) -> Result<ImportSummary, GpgError> {
        let mut summary = ImportSummary::default();
        // One by one: gpg 2.2 reads only the first of several armored blocks in one input.
        for certificate in certificates {
            let arguments = ["--batch", "--no-tty", "--status-fd", "1", "--import"];
            let output = self.checked("gpg", &arguments, Some(certificate.as_bytes()))?;
            let status = String::from_utf8_lossy(&output.stdout);
            let import_ok = status.lines().find_map(|line| line.strip_prefix("[GNUPG:] IMPORT_OK "));
            let flags = import_ok.and_then(|rest| rest.split(' ').next()).and_then(|flags| flags.parse::<u32>().ok());
            match flags {
                Some(0) => summary.unchanged += 1,
                Some(flags) if flags & 1 != 0 => summary.new += 1,
                Some(_) => summary.changed += 1,
                None => {
                    return Err(GpgError::Unexpected {
                        command: "gpg --import".to_owned(),
                        answer: output.last_words(),
                    });
                }
            }
        }
        Ok(summary)
    }

    /// Marks certificates as the person's own: ultimately trusted.
    ///
    /// # Errors
    ///
    /// When gpg refuses.
    pub fn trust_ultimately(&self, fingerprints: &[Fingerprint]) -> Result<(), GpgError> {
        let lines: String = fingerprints.iter().map(|fingerprint| format!("{fingerprint}:6:\n")).collect();
        self.checked("gpg", &["--batch", "--no-tty", "--import-ownertrust"], Some(lines.as_bytes()))?;
        Ok(())
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
        let output = self.run("gpg", &arguments, None)?;
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
        for fingerprint in fingerprints {
            let name = fingerprint.to_string();
            self.checked("gpg", &["--batch", "--no-tty", "--yes", "--delete-keys", &name], None)?;
        }
        Ok(())
    }

    /// Takes the owner trust of certificates back.
    ///
    /// # Errors
    ///
    /// When gpg refuses.
    pub fn forget_trust(&self, fingerprints: &[Fingerprint]) -> Result<(), GpgError> {
        // 2 is "unknown": what a key has that nobody said anything about (doc/DETAILS and trustdb.h of GnuPG).
        let lines: String = fingerprints.iter().map(|fingerprint| format!("{fingerprint}:2:\n")).collect();
        self.checked("gpg", &["--batch", "--no-tty", "--import-ownertrust"], Some(lines.as_bytes()))?;
        Ok(())
    }

    /// Lets gpg look at every card, which makes the missing stubs.
    ///
    /// # Errors
    ///
    /// When gpg sees no card.
    pub fn make_stubs(&self) -> Result<(), GpgError> {
        self.checked("gpg", &["--batch", "--no-tty", "--card-status", "all"], None)?;
        Ok(())
    }

    /// Makes gpg-agent forget stubs. Real secret keys stay: the agent refuses to remove them so.
    ///
    /// # Errors
    ///
    /// When gpg-agent does not answer or refuses.
    pub fn remove_stubs(&self, grips: &[Keygrip]) -> Result<(), GpgError> {
        if grips.is_empty() {
            return Ok(());
        }
        let commands: Vec<String> = grips.iter().map(|grip| format!("DELETE_KEY --stub-only {grip}")).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        match self.ask_agent(&commands)?.into_iter().find(|line| line.starts_with("ERR")) {
            None => Ok(()),
            Some(answer) => {
                Err(GpgError::Unexpected { command: "gpg-connect-agent 'DELETE_KEY --stub-only'".to_owned(), answer })
            }
        }
    }

    /// Where gpg-agent believes each of these keys to be. Starts gpg-agent if need be, but not scdaemon.
    ///
    /// # Errors
    ///
    /// When gpg-agent does not answer.
    pub fn key_places(&self, grips: &[Keygrip]) -> Result<Vec<KeyPlace>, GpgError> {
        if grips.is_empty() {
            return Ok(Vec::new());
        }
        let commands: Vec<String> = grips.iter().map(|grip| format!("KEYINFO {grip}")).collect();
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let lines = self.ask_agent(&commands)?;
        Ok(grips.iter().map(|grip| place(&lines, &grip.to_string())).collect())
    }
}

/// `S KEYINFO <grip> <type> …`: T is a token, D a file (doc/DETAILS of GnuPG, agent/command.c).
fn place(lines: &[String], grip: &str) -> KeyPlace {
    let kind = lines.iter().find_map(|line| {
        let mut words = line.strip_prefix("S KEYINFO ")?.split(' ');
        words.next().filter(|word| word.eq_ignore_ascii_case(grip))?;
        words.next()
    });
    match kind {
        Some("T") => KeyPlace::Card,
        Some("D") => KeyPlace::File,
        _ => KeyPlace::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_answer_tells_stubs_from_secret_keys() {
        let lines: Vec<String> = [
            "S KEYINFO 4757B4EF3A1A3C0478055B331D29D1EC3614AEC6 T D276000124010304FFFE100000010000 OPENPGP.1 - - - - -",
            "OK",
            "ERR 67108891 Not found <GPG Agent>",
            "S KEYINFO EAC16015BD3E2D95CEC3D32E4576D49998D9EF20 D - - - P - - -",
            "OK",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(place(&lines, "4757B4EF3A1A3C0478055B331D29D1EC3614AEC6"), KeyPlace::Card);
        assert_eq!(place(&lines, "eac16015bd3e2d95cec3d32e4576d49998d9ef20"), KeyPlace::File);
        assert_eq!(place(&lines, "53320B93C623F3EB836A18EBCAAC420A5D66729F"), KeyPlace::Unknown);
    }
}
