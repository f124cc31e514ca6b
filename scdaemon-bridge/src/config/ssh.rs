//! `ssh.toml`: which keys gpg-agent offers to ssh. An ssh server ends a login after a few keys that it does not know.

use sealcard_api::Fingerprint;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Paths, files};

const HEADER: &str = "# Written by `sealcard ssh`. Only these keys are offered to ssh.\n";

/// Which keys are offered to ssh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SshKeys {
    /// Each that can authenticate.
    #[default]
    All,
    /// Those of these certificates.
    Only(Vec<Fingerprint>),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Stored {
    keys: Vec<Fingerprint>,
}

impl SshKeys {
    /// Reads the choice; all if there is none.
    ///
    /// # Errors
    ///
    /// When the file can't be read or understood.
    pub fn load(paths: &Paths) -> Result<Self, ConfigError> {
        let path = paths.ssh_file();
        let Some(text) = files::read_text(&path)? else { return Ok(Self::All) };
        let stored: Stored = toml::from_str(&text).map_err(|error| ConfigError::invalid(path, error))?;
        Ok(Self::Only(stored.keys))
    }

    /// Writes the choice.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn save(&self, paths: &Paths) -> Result<(), ConfigError> {
        let path = paths.ssh_file();
        match self {
            Self::All => files::remove(&path).map(drop),
            Self::Only(keys) => {
                let stored = Stored { keys: keys.clone() };
                let body = toml::to_string(&stored).map_err(|error| ConfigError::invalid(&path, error))?;
                files::write_private(&path, format!("{HEADER}{body}").as_bytes())
            }
        }
    }

    /// Whether the key of this certificate is offered.
    #[must_use]
    pub fn offers(&self, certificate: &Fingerprint) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(certificate),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_ssh_keys_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("c"), folder.path().join("s")).unwrap();
        assert_eq!(SshKeys::load(&paths).unwrap(), SshKeys::All);
        for choice in [SshKeys::Only(vec![Fingerprint([1; 20])]), SshKeys::Only(Vec::new()), SshKeys::All] {
            choice.save(&paths).unwrap();
            assert_eq!(SshKeys::load(&paths).unwrap(), choice);
        }
    }
}
