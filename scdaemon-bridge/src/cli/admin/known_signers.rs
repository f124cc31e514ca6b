//! Which signers secrets may be encrypted to. Whoever could swap a signer's key could read what is imported, so it is
//! compared once and remembered.

use std::collections::BTreeMap;

use anyhow::Context as _;
use sealcard_signer_protocol::envelope::KeyFingerprint;
use serde::{Deserialize, Serialize};

use crate::config::{Paths, files};

/// The signers that were trusted here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownSigners {
    /// Server and environment, with a blank between them, and the fingerprint of the signer's key.
    signers: BTreeMap<String, String>,
}

/// What is known of a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignerTrust {
    /// It was trusted before.
    Trusted,
    /// It has another key than the one that was trusted.
    Changed,
    /// It was never met.
    Unknown,
}

impl KnownSigners {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it can't be read or understood.
    pub(super) fn load(paths: &Paths) -> anyhow::Result<Self> {
        let path = paths.known_signers_file();
        let Some(content) = files::read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&content)
            .with_context(|| format!("{} can't be understood; remove it if it is damaged", path.display()))
    }

    /// What is known of the signer of an environment of a server.
    pub(super) fn judge(&self, server: &str, environment: &str, fingerprint: KeyFingerprint) -> SignerTrust {
        match self.signers.get(&name(server, environment)) {
            None => SignerTrust::Unknown,
            Some(known) if *known == fingerprint.to_string() => SignerTrust::Trusted,
            Some(_) => SignerTrust::Changed,
        }
    }

    /// Trusts a signer from now on.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub(super) fn trust(
        &mut self,
        paths: &Paths,
        server: &str,
        environment: &str,
        fingerprint: KeyFingerprint,
    ) -> anyhow::Result<()> {
        self.signers.insert(name(server, environment), fingerprint.to_string());
        Ok(files::write_private(&paths.known_signers_file(), &serde_json::to_vec_pretty(self)?)?)
    }
}

fn name(server: &str, environment: &str) -> String {
    format!("{server} {environment}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_is_trusted_for_its_own_server_and_environment_only() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().to_owned(), folder.path().to_owned()).unwrap();
        let (one, other) = (KeyFingerprint([1; 32]), KeyFingerprint([2; 32]));
        KnownSigners::load(&paths).unwrap().trust(&paths, "https://a", "default", one).unwrap();
        let known = KnownSigners::load(&paths).unwrap();
        assert_eq!(known.judge("https://a", "default", one), SignerTrust::Trusted);
        assert_eq!(known.judge("https://a", "default", other), SignerTrust::Changed);
        assert_eq!(known.judge("https://a", "hsm", one), SignerTrust::Unknown);
        assert_eq!(known.judge("https://b", "default", one), SignerTrust::Unknown);
    }
}
