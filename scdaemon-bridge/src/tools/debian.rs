//! Debian's tools: `DEBSIGN_KEYID` of debsign, `sign-keyid` of dpkg-buildpackage.

use std::path::{Path, PathBuf};

use super::git::xdg_folder;
use crate::config::{
    block::{self, BlockChange},
    files, home,
};

/// The two files.
#[derive(Debug)]
pub struct Debian {
    devscripts: PathBuf,
    buildpackage: PathBuf,
}

const DEBSIGN: &str = "DEBSIGN_KEYID";
const BUILDPACKAGE: &str = "sign-keyid";

impl Debian {
    /// Where they are, or will be.
    ///
    /// # Errors
    ///
    /// When there is no home folder.
    pub fn find() -> anyhow::Result<Self> {
        let home = home()?;
        let buildpackage = xdg_folder(&home).join("dpkg/buildpackage.conf");
        Ok(Self { devscripts: home.join(".devscripts"), buildpackage })
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> [&Path; 2] {
        [&self.devscripts, &self.buildpackage]
    }

    /// Makes both sign with this key.
    ///
    /// # Errors
    ///
    /// When a file can't be written.
    pub fn install(&self, key: &str) -> anyhow::Result<[BlockChange; 2]> {
        let is_debsign = |line: &[u8]| {
            let line = line.trim_ascii_start();
            line.strip_prefix(b"export ").unwrap_or(line).trim_ascii_start().starts_with(b"DEBSIGN_KEYID=")
        };
        // dpkg allows dashes in front of an option, and takes blanks for the sign of equality.
        let is_buildpackage = |line: &[u8]| {
            let line = line.trim_ascii_start();
            let line = line.strip_prefix(b"--").unwrap_or(line);
            let rest = line.strip_prefix(BUILDPACKAGE.as_bytes());
            rest.is_some_and(|rest| rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'='))
        };
        Ok([
            block::install(&self.devscripts, &format!("{DEBSIGN}={key}\n"), is_debsign)?,
            block::install(&self.buildpackage, &format!("{BUILDPACKAGE}={key}\n"), is_buildpackage)?,
        ])
    }

    /// Takes that back.
    ///
    /// # Errors
    ///
    /// When a file can't be written.
    pub fn remove(&self) -> anyhow::Result<[BlockChange; 2]> {
        let [devscripts, buildpackage] = self.files();
        let changes = [block::remove(devscripts)?, block::remove(buildpackage)?];
        if let Some(folder) = self.buildpackage.parent().filter(|_| changes.contains(&BlockChange::Restored)) {
            // Only if it is empty; an empty one means the same as none.
            let _ = std::fs::remove_dir(folder);
        }
        Ok(changes)
    }

    /// The key that we wrote for debsign.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let content = files::read_foreign(&self.devscripts).ok().flatten()?;
        let prefix = format!("{DEBSIGN}=");
        block::block_lines(&content)?.iter().find_map(|line| line.strip_prefix(&prefix).map(ToOwned::to_owned))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn own_key_ids_are_set_aside_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let debian = Debian {
            devscripts: folder.path().join("devscripts"),
            buildpackage: folder.path().join("dpkg/buildpackage.conf"),
        };
        let own = "DEBUILD_LINTIAN=no\nexport DEBSIGN_KEYID=ABCD\n";
        std::fs::write(&debian.devscripts, own).unwrap();
        let [devscripts, _] = debian.install("93CF").unwrap();
        assert_eq!(devscripts, BlockChange::Written(vec!["export DEBSIGN_KEYID=ABCD".to_owned()]));
        assert_eq!(debian.key().as_deref(), Some("93CF"));
        assert_eq!(debian.install("93CF").unwrap(), [BlockChange::None, BlockChange::None]);
        debian.remove().unwrap();
        assert_eq!(std::fs::read_to_string(&debian.devscripts).unwrap(), own);
        assert!(!folder.path().join("dpkg").exists());
    }
}
