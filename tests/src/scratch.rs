//! Temporary folders with short paths.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A folder that vanishes with this value. Directly below `/tmp`: GnuPG's sockets lie in it, and a socket's path has
/// less than 108 bytes.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new, empty folder, open to its owner only.
    ///
    /// # Errors
    /// `/tmp` can't be written.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("sealcard.").tempdir_in("/tmp").context("making a folder in /tmp")?))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes a folder inside, open to its owner only.
    ///
    /// # Errors
    /// It can't be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        Ok(path)
    }

    /// Writes a file inside, open to its owner only.
    ///
    /// # Errors
    /// It can't be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(path)
    }
}
