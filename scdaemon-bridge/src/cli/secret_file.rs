//! A new file for a secret that is shown only once: made before the server is asked, so that the secret is not lost.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use anyhow::Context as _;
use zeroize::Zeroizing;

/// Removed again when it is dropped without a secret.
pub(super) struct SecretFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl SecretFile {
    /// Makes the file, which must not exist, with mode 0600.
    pub(super) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("can't make the file {}", path.display()))?;
        Ok(Self { path, file, written: false })
    }

    /// Writes the secret as the only line, and gives the path for a message.
    pub(super) fn write(mut self, secret: &str) -> anyhow::Result<PathBuf> {
        let line = Zeroizing::new(format!("{secret}\n"));
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
        written.with_context(|| format!("can't write {}", self.path.display()))?;
        self.written = true;
        Ok(self.path.clone())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.written {
            // An empty file would only be in the way of the next attempt.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secret_file_is_private_and_new_and_gone_without_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        drop(SecretFile::create(path.clone()).unwrap());
        assert!(!path.exists());
        SecretFile::create(path.clone()).unwrap().write("secret").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SecretFile::create(path).is_err());
    }
}
