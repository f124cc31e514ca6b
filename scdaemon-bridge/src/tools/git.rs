//! git's configuration. git itself writes it; what was there before is remembered, so that it can be given back.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::program;
use crate::config::{Paths, block::replace_keeping_mode, files, home};

/// The setting that names the key.
const SIGNING_KEY: &str = "user.signingkey";

/// Which of git's configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The one of all repositories of this user.
    Global,
    /// The one of the repository that the working folder is in.
    Local,
}

impl Scope {
    /// The file that git writes to for this scope.
    ///
    /// # Errors
    ///
    /// When there is no home folder, or the working folder is in no repository.
    pub fn file(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Global => global_file(),
            Self::Local => local_file(),
        }
    }
}

/// `GIT_CONFIG_GLOBAL`, else `~/.gitconfig` unless only the file of the XDG folder exists (git-config(1), FILES).
fn global_file() -> anyhow::Result<PathBuf> {
    if let Some(file) = env::var_os("GIT_CONFIG_GLOBAL").filter(|file| !file.is_empty()) {
        return Ok(std::path::absolute(file)?);
    }
    let home = home()?;
    let (usual, xdg) = (home.join(".gitconfig"), xdg_folder(&home).join("git/config"));
    Ok(if !usual.exists() && xdg.exists() { xdg } else { usual })
}

/// `XDG_CONFIG_HOME`, else `~/.config`.
pub(super) fn xdg_folder(home: &Path) -> PathBuf {
    let named = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    named.unwrap_or_else(|| home.join(".config"))
}

fn local_file() -> anyhow::Result<PathBuf> {
    let output = program::run("git", &["rev-parse", "--git-common-dir"])?;
    if !output.status.success() {
        bail!("this folder is in no git repository: leave --local out to set git up for all your repositories");
    }
    let folder = String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned();
    Ok(std::path::absolute(folder)?.join("config"))
}

/// The key that git would sign with in the working folder, and the file that says so.
///
/// # Errors
///
/// When git can't be started.
pub fn signing_key() -> anyhow::Result<Option<(String, String)>> {
    effective(SIGNING_KEY)
}

/// The value that counts in the working folder, and where it comes from.
fn effective(name: &str) -> anyhow::Result<Option<(String, String)>> {
    let output = program::run("git", &["config", "-z", "--show-origin", "--get", name])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut fields = text.split('\0');
    match (output.status.success(), fields.next(), fields.next()) {
        (true, Some(origin), Some(value)) => {
            let origin = origin.strip_prefix("file:").unwrap_or(origin);
            Ok(Some((value.to_owned(), origin.to_owned())))
        }
        _ => Ok(None),
    }
}

/// What was changed in git's files, with what was there before.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Git {
    files: Vec<ChangedFile>,
}

/// What [`Git::install`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum GitChange {
    /// Nothing: it was so already.
    None,
    /// The file was written. These settings had other values before.
    Written(Vec<(String, String)>),
}

/// What [`Git::remove`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Undone {
    /// The file.
    pub file: PathBuf,
    /// Settings that somebody else has changed since: they stay.
    pub left: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangedFile {
    file: PathBuf,
    /// Whether the file did not exist before.
    made: bool,
    settings: Vec<Setting>,
    /// Missing if the process ended between noting and writing.
    edit: Option<Edit>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    name: String,
    value: String,
    before: Vec<String>,
}

impl Git {
    /// Reads what was noted.
    ///
    /// # Errors
    ///
    /// When the file can't be read or understood.
    pub fn load(paths: &Paths) -> anyhow::Result<Self> {
        let path = paths.git_file();
        let Some(content) = files::read(&path)? else { return Ok(Self::default()) };
        serde_json::from_slice(&content)
            .with_context(|| format!("{} can't be understood; remove it if it is damaged", path.display()))
    }

    fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        if self.files.is_empty() {
            files::remove(&paths.git_file())?;
            return Ok(());
        }
        Ok(files::write_private(&paths.git_file(), &serde_json::to_vec_pretty(self)?)?)
    }

    /// The keys that were written, each with its file.
    pub fn signing_keys(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.files.iter().filter_map(|changed| {
            let setting = changed.settings.iter().find(|setting| setting.name == SIGNING_KEY)?;
            Some((setting.value.as_str(), changed.file.as_path()))
        })
    }

    /// Makes git sign with this key, and with OpenPGP; `more` are further settings of ours.
    ///
    /// # Errors
    ///
    /// When git can't write the file.
    pub fn install(
        &mut self,
        paths: &Paths,
        file: &Path,
        key: &str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<GitChange> {
        let mut wanted = vec![(SIGNING_KEY, key)];
        if self.wants_format(file)? {
            wanted.push(("gpg.format", "openpgp"));
        }
        wanted.extend_from_slice(more);
        if self.is_done(file, &wanted)? {
            return Ok(GitChange::None);
        }
        // What is noted is always what was there before the first change.
        self.undo(paths, |changed| changed.file == file)?;
        let before = files::read_foreign(file)?;
        let mut settings = Vec::new();
        for (name, value) in wanted {
            let before = values(file, name)?;
            settings.push(Setting { name: name.to_owned(), value: value.to_owned(), before });
        }
        let replaced = settings.iter().filter_map(|setting| {
            let before = setting.before.last().filter(|before| **before != setting.value)?;
            Some((setting.name.clone(), before.clone()))
        });
        let replaced = replaced.collect();
        self.files.push(ChangedFile { file: file.to_owned(), made: before.is_none(), settings, edit: None });
        self.save(paths)?;
        if let Some(changed) = self.files.last_mut() {
            for Setting { name, value, .. } in &changed.settings {
                config(file, &["--replace-all", name, value])?;
            }
            let after = files::read_foreign(file)?.unwrap_or_default();
            changed.edit = Some(Edit::between(before.as_deref().unwrap_or_default(), &after));
        }
        self.save(paths)?;
        Ok(GitChange::Written(replaced))
    }

    /// Gives every file back as it was. What others have changed since stays.
    ///
    /// # Errors
    ///
    /// When git can't write a file.
    pub fn remove(&mut self, paths: &Paths) -> anyhow::Result<Vec<Undone>> {
        self.undo(paths, |_| true)
    }

    fn undo(&mut self, paths: &Paths, which: impl Fn(&ChangedFile) -> bool) -> anyhow::Result<Vec<Undone>> {
        let mut undone = Vec::new();
        while let Some(index) = self.files.iter().position(&which) {
            if let Some(changed) = self.files.get(index) {
                undone.push(Undone { left: changed.undo()?, file: changed.file.clone() });
            }
            self.files.remove(index);
            self.save(paths)?;
        }
        Ok(undone)
    }

    /// Whether git would sign by something else than OpenPGP, but for what we wrote.
    fn wants_format(&self, file: &Path) -> anyhow::Result<bool> {
        let ours = self.files.iter().filter(|changed| changed.file == file);
        if ours.flat_map(|changed| &changed.settings).any(|setting| setting.name == "gpg.format") {
            return Ok(true);
        }
        Ok(effective("gpg.format")?.is_some_and(|(format, _)| format != "openpgp"))
    }

    fn is_done(&self, file: &Path, wanted: &[(&str, &str)]) -> anyhow::Result<bool> {
        let Some(changed) = self.files.iter().find(|changed| changed.file == file) else { return Ok(false) };
        let noted = changed.settings.iter().map(|setting| (setting.name.as_str(), setting.value.as_str()));
        if !noted.eq(wanted.iter().copied()) {
            return Ok(false);
        }
        for (name, value) in wanted {
            if values(file, name)? != [*value] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl ChangedFile {
    /// Gives the settings that stay.
    fn undo(&self) -> anyhow::Result<Vec<String>> {
        let Some(content) = files::read_foreign(&self.file)? else { return Ok(Vec::new()) };
        let original = self.edit.as_ref().and_then(|edit| edit.revert(&content));
        let mut left = Vec::new();
        if let Some(original) = original {
            replace_keeping_mode(&self.file, &original)?;
        } else {
            for Setting { name, value, before } in &self.settings {
                if values(&self.file, name)? != [value.as_str()] {
                    left.push(name.clone());
                    continue;
                }
                config(&self.file, &["--unset-all", name])?;
                for value in before {
                    config(&self.file, &["--add", name, value])?;
                }
            }
        }
        if self.made && files::read_foreign(&self.file)?.is_some_and(|content| content.trim_ascii().is_empty()) {
            files::remove(&self.file)?;
        }
        Ok(left)
    }
}

/// All values of a setting in one file.
fn values(file: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let file = file.to_str().context("a path that is not UTF-8")?;
    let output = program::run("git", &["config", "--file", file, "-z", "--get-all", name])?;
    match output.status.code() {
        // 1: there is none.
        Some(0 | 1) => {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(text.split_terminator('\0').map(ToOwned::to_owned).collect())
        }
        _ => bail!("git can't read {file}: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

fn config(file: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let file = file.to_str().context("a path that is not UTF-8")?;
    program::output("git", &[&["config", "--file", file], arguments].concat(), &[])?;
    Ok(())
}

/// How a file differs from what it was: the bytes between what both begin and end with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    offset: usize,
    removed: Vec<u8>,
    inserted: usize,
    /// SHA-256 of the file after the edit.
    after: Vec<u8>,
}

impl Edit {
    fn between(before: &[u8], after: &[u8]) -> Self {
        let same = |(a, b): &(&u8, &u8)| a == b;
        let offset = before.iter().zip(after).take_while(same).count();
        let most = before.len().min(after.len()) - offset;
        let end = before.iter().rev().zip(after.iter().rev()).take(most).take_while(same).count();
        let removed = before.get(offset..before.len() - end).unwrap_or_default().to_vec();
        Self { offset, removed, inserted: after.len() - end - offset, after: sha256(after) }
    }

    /// The file before the edit; `None` if it has been changed since.
    fn revert(&self, after: &[u8]) -> Option<Vec<u8>> {
        if sha256(after) != self.after {
            return None;
        }
        let rest = self.offset.checked_add(self.inserted)?;
        Some([after.get(..self.offset)?, &self.removed, after.get(rest..)?].concat())
    }
}

fn sha256(content: &[u8]) -> Vec<u8> {
    digest(&SHA256, content).as_ref().to_vec()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "93CF000000000000000000000000000000000001";
    const OTHER: &str = "93CF000000000000000000000000000000000002";

    struct Home(tempfile::TempDir);

    impl Home {
        fn new(config: Option<&str>) -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            if let Some(config) = config {
                std::fs::write(home.file(), config).unwrap();
            }
            home
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("gitconfig")
        }

        fn text(&self) -> Option<String> {
            std::fs::read_to_string(self.file()).ok()
        }

        fn paths(&self) -> Paths {
            Paths::new(self.0.path().join("c"), self.0.path().join("s")).unwrap()
        }

        fn install(&self, key: &str, more: &[(&str, &str)]) -> GitChange {
            Git::load(&self.paths()).unwrap().install(&self.paths(), &self.file(), key, more).unwrap()
        }

        fn remove(&self) -> Vec<Undone> {
            Git::load(&self.paths()).unwrap().remove(&self.paths()).unwrap()
        }
    }

    #[test]
    fn removing_gives_back_every_byte_of_gitconfig() {
        for own in [
            None,
            Some(""),
            Some("[core]\n\teditor = vi"),
            Some("[user]\n  signingkey=ABCD ; mine\n  name = Ada\n"),
            Some("[user]\n\tsigningkey = A\n\tsigningkey = B\n"),
        ] {
            let home = Home::new(own);
            assert!(matches!(home.install(KEY, &[("tag.gpgSign", "true")]), GitChange::Written(_)));
            assert_eq!(values(&home.file(), SIGNING_KEY).unwrap(), [KEY]);
            assert_eq!(values(&home.file(), "tag.gpgsign").unwrap(), ["true"]);
            assert_eq!(home.install(KEY, &[("tag.gpgSign", "true")]), GitChange::None);
            assert!(matches!(home.install(OTHER, &[]), GitChange::Written(_)));
            assert_eq!(values(&home.file(), SIGNING_KEY).unwrap(), [OTHER]);
            assert_eq!(home.remove().len(), 1);
            assert_eq!(home.text().as_deref(), own);
            assert!(!home.paths().git_file().exists());
        }
    }

    #[test]
    fn a_signing_key_that_was_there_is_named() {
        let home = Home::new(Some("[user]\n\tsigningkey = ABCD\n"));
        let named = vec![(SIGNING_KEY.to_owned(), "ABCD".to_owned())];
        assert_eq!(home.install(KEY, &[]), GitChange::Written(named));
    }

    #[test]
    fn settings_of_others_survive_removal() {
        let home = Home::new(Some("[user]\n\tsigningkey = ABCD\n"));
        home.install(KEY, &[]);
        config(&home.file(), &["user.email", "ada@example.org"]).unwrap();
        assert_eq!(home.remove().first().unwrap().left, Vec::<String>::new());
        assert_eq!(values(&home.file(), SIGNING_KEY).unwrap(), ["ABCD"]);
        assert_eq!(values(&home.file(), "user.email").unwrap(), ["ada@example.org"]);
    }

    #[test]
    fn a_key_that_was_changed_since_stays() {
        let home = Home::new(None);
        home.install(KEY, &[]);
        config(&home.file(), &[SIGNING_KEY, OTHER]).unwrap();
        assert_eq!(home.remove().first().unwrap().left, [SIGNING_KEY]);
        assert_eq!(values(&home.file(), SIGNING_KEY).unwrap(), [OTHER]);
    }

    #[test]
    fn a_file_that_vanished_is_not_made_again() {
        let home = Home::new(None);
        home.install(KEY, &[]);
        std::fs::remove_file(home.file()).unwrap();
        home.remove();
        assert_eq!(home.text(), None);
    }

    proptest! {
        #[test]
        fn an_edit_is_reverted_from_its_result_only(before: Vec<u8>, after: Vec<u8>, other: Vec<u8>) {
            let edit = Edit::between(&before, &after);
            prop_assert_eq!(edit.revert(&after), Some(before));
            prop_assert!(other == after || edit.revert(&other).is_none());
        }
    }
}
