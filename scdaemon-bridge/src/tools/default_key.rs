//! `default-key` of gpg.conf: which key gpg takes when nobody names one.

use std::path::{Path, PathBuf};

use crate::{
    config::{
        ConfigError,
        block::{self, BlockChange, lines, without_block},
        files,
    },
    gpg::agent_conf::option,
};

/// The setting in one GnuPG home.
#[derive(Debug)]
pub struct DefaultKey {
    file: PathBuf,
}

impl DefaultKey {
    /// Of this GnuPG home.
    #[must_use]
    pub fn of(gnupg_home: &Path) -> Self {
        Self { file: gnupg_home.join("gpg.conf") }
    }

    /// The file that names it.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the person has chosen one.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn is_chosen(&self) -> Result<bool, ConfigError> {
        let own = without_block(&files::read_foreign(&self.file)?.unwrap_or_default());
        Ok(lines(&own).any(|line| option(line) == Some("default-key")))
    }

    /// Makes gpg take this key.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn install(&self, key: &str) -> Result<BlockChange, ConfigError> {
        block::install(&self.file, &format!("default-key {key}\n"), |_| false)
    }

    /// Takes that back.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn remove(&self) -> Result<BlockChange, ConfigError> {
        block::remove(&self.file)
    }
}
