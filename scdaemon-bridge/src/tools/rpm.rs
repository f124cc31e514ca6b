//! rpm's macros of this user: which key signs, and which gpg.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::program;
use crate::config::{
    block::{self, BlockChange, lines, without_block},
    files, home,
};

/// The macros of this user.
#[derive(Debug)]
pub struct Rpm {
    file: PathBuf,
}

impl Rpm {
    /// Asks rpm for the file: `~/.rpmmacros`, or since rpm 4.20 `~/.config/rpm/macros` where that folder exists.
    ///
    /// # Errors
    ///
    /// When there is no home folder.
    pub fn find() -> anyhow::Result<Self> {
        let home = home()?;
        let file = macro_path().and_then(|path| user_file(&path, &home));
        Ok(Self { file: file.unwrap_or_else(|| home.join(".rpmmacros")) })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Makes rpmsign sign with this key, by a gpg that exists: rpm of Debian 12 calls /usr/bin/gpg2, which is often
    /// missing.
    ///
    /// # Errors
    ///
    /// When rpm is not installed or the file can't be written.
    pub fn install(&self, key: &str) -> anyhow::Result<BlockChange> {
        let own = without_block(&files::read_foreign(&self.file)?.unwrap_or_default());
        let gpg = gpg_to_name(&own)?;
        let mut block = format!("%_gpg_name {key}\n");
        if let Some(gpg) = &gpg {
            block.push_str(&format!("%__gpg {}\n", gpg.display()));
        }
        // A definition that goes on in the next line is set aside as a whole.
        let goes_on = Cell::new(false);
        let contradicts = |line: &[u8]| {
            let name = defined(line);
            let named =
                matches!(name, Some("_gpg_name" | "_openpgp_sign_id")) || (gpg.is_some() && name == Some("__gpg"));
            let hit = goes_on.get() || named;
            goes_on.set(hit && line.trim_ascii_end().ends_with(b"\\"));
            hit
        };
        Ok(block::install(&self.file, &block, contradicts)?)
    }

    /// Takes that back.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn remove(&self) -> anyhow::Result<BlockChange> {
        Ok(block::remove(&self.file)?)
    }

    /// The key that we wrote.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let content = files::read_foreign(&self.file).ok().flatten()?;
        block::block_lines(&content)?.iter().find_map(|line| line.strip_prefix("%_gpg_name ").map(ToOwned::to_owned))
    }

    /// The gpg that rpm calls, if it does not exist.
    ///
    /// # Errors
    ///
    /// When rpm is not installed.
    pub fn missing_gpg() -> anyhow::Result<Option<String>> {
        let gpg = program::output("rpm", &["--eval", "%__gpg"], &[])?.trim().to_owned();
        Ok((!exists(&gpg)).then_some(gpg))
    }
}

/// The gpg to name, unless the one that rpm calls without us exists.
fn gpg_to_name(own: &[u8]) -> anyhow::Result<Option<PathBuf>> {
    let own_gpg = lines(own).filter(|line| defined(line) == Some("__gpg")).last();
    let called = match own_gpg.and_then(|line| std::str::from_utf8(line).ok()) {
        Some(line) => line.trim().split_once(char::is_whitespace).map_or("", |(_, gpg)| gpg.trim()).to_owned(),
        // Without this user's macros, which may hold an earlier block of ours.
        None => {
            let nowhere = [("HOME", "/nonexistent"), ("XDG_CONFIG_HOME", "/nonexistent")];
            program::output("rpm", &["--eval", "%__gpg"], &nowhere)?.trim().to_owned()
        }
    };
    if exists(&called) {
        return Ok(None);
    }
    program::search_path("gpg").map(Some).context("gpg is not installed")
}

fn exists(program: &str) -> bool {
    Path::new(program).is_file() || (!program.contains('/') && program::is_installed(program))
}

/// The macro that a line begins to define.
fn defined(line: &[u8]) -> Option<&str> {
    let rest = line.trim_ascii_start().strip_prefix(b"%")?;
    let end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')).unwrap_or(rest.len());
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// The colon-separated list of the files that rpm reads.
fn macro_path() -> Option<String> {
    let text = program::output("rpm", &["--showrc"], &[]).ok()?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Macro path:"))?;
    Some(line.trim().to_owned())
}

/// The last of them is the user's. `None` if its folder does not exist: rpm reads `~/.rpmmacros` then.
fn user_file(macro_path: &str, home: &Path) -> Option<PathBuf> {
    let last = macro_path.rsplit(':').next()?;
    let file = match last.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => PathBuf::from(last),
    };
    (file.is_absolute() && file.parent()?.is_dir()).then_some(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_users_macros_are_the_last_of_rpms_files() {
        let home = tempfile::tempdir().unwrap();
        let path = |last: &str| format!("/usr/lib/rpm/macros:/etc/rpm/macros:{last}");
        assert_eq!(user_file(&path("~/.rpmmacros"), home.path()).unwrap(), home.path().join(".rpmmacros"));
        // A folder that we made would hide an .rpmmacros of later.
        assert_eq!(user_file(&path("~/.config/rpm/macros"), home.path()), None);
        std::fs::create_dir_all(home.path().join(".config/rpm")).unwrap();
        let file = user_file(&path("~/.config/rpm/macros"), home.path()).unwrap();
        assert_eq!(file, home.path().join(".config/rpm/macros"));
    }

    #[test]
    fn definitions_of_macros_are_told_apart() {
        assert_eq!(defined(b"%_gpg_name X"), Some("_gpg_name"));
        assert_eq!(defined(b"  %__gpg\t/usr/bin/gpg"), Some("__gpg"));
        assert_eq!(defined(b"%__gpg_sign_cmd() x"), Some("__gpg_sign_cmd"));
        assert_eq!(defined(b"# %_gpg_name X"), None);
    }

    #[test]
    fn own_macros_are_set_aside_whole_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let rpm = Rpm { file: folder.path().join("macros") };
        let own = "%_topdir /b\n%_gpg_name \\\n  Ada\n%__gpg /nonexistent/gpg2\n%packager Ada\n";
        std::fs::write(rpm.file(), own).unwrap();
        let BlockChange::Written(aside) = rpm.install("93CF").unwrap() else { panic!("nothing was written") };
        assert_eq!(aside, ["%_gpg_name \\", "Ada", "%__gpg /nonexistent/gpg2"]);
        let text = std::fs::read_to_string(rpm.file()).unwrap();
        let gpg = program::search_path("gpg").unwrap();
        assert!(text.contains(&format!("\n%_gpg_name 93CF\n%__gpg {}\n", gpg.display())), "{text}");
        assert_eq!(rpm.key().as_deref(), Some("93CF"));
        assert_eq!(rpm.install("93CF").unwrap(), BlockChange::None);
        rpm.remove().unwrap();
        assert_eq!(std::fs::read_to_string(rpm.file()).unwrap(), own);
    }
}
