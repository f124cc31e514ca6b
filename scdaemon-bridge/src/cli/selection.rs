//! Which files `sealcard sign` and `sealcard verify` take from the paths that they are given.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use super::output::count;
use sealcard_openpgp::Form;

/// What folders give.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Options {
    /// Take files and folders whose name begins with a dot, too
    #[arg(long)]
    pub(super) hidden: bool,
    /// Accept folders that hold no files
    #[arg(long)]
    pub(super) allow_empty: bool,
}

/// The files, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) files: Vec<File>,
    pub(super) skipped: Skipped,
}

/// A file that is to be signed or verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// What folders hold that is not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Skipped {
    /// Names that begin with a dot.
    pub(super) hidden: usize,
    /// Folders of version control, and the files that point to them.
    pub(super) version_control: usize,
    /// Symbolic links.
    pub(super) links: usize,
}

/// Folders of version control, and files of the same names that point to such a folder. Git takes a file below
/// `.git/refs` for a branch: a signature there damages the repository.
const VERSION_CONTROL: [&str; 8] = [".git", ".hg", ".svn", ".bzr", "_darcs", ".jj", ".pijul", ".sl"];

impl Selection {
    /// The files that these paths name, and those in the folders that they name and below them. A named file is always
    /// taken, whatever its name; a named symbolic link is followed.
    pub(super) fn of(paths: &[PathBuf], options: Options) -> anyhow::Result<Self> {
        let mut selection = Self::default();
        for path in paths {
            let facts = fs::metadata(path).with_context(|| format!("can't read {}", path.display()))?;
            if facts.is_dir() {
                selection.add_named_folder(path, options)?;
            } else {
                selection.files.push(File { path: path.clone(), size: facts.len() });
            }
        }
        Ok(selection)
    }

    fn add_named_folder(&mut self, folder: &Path, options: Options) -> anyhow::Result<()> {
        if let Some(repository) = repository_around(folder) {
            bail!("{} belongs to version control, which signatures would damage", repository.display());
        }
        let (before, skipped) = (self.files.len(), self.skipped);
        self.add_folder(folder, options)?;
        if self.files.len() > before || options.allow_empty {
            return Ok(());
        }
        let hidden = self.skipped.hidden - skipped.hidden;
        let links = self.skipped.links - skipped.links;
        let why = match (hidden, links) {
            (1.., _) => format!(" but hidden ones ({hidden}), which --hidden takes"),
            (0, 1..) => " but symbolic links, which are not followed".to_owned(),
            (0, 0) => String::new(),
        };
        bail!("there are no files in {}{why}; --allow-empty accepts that", folder.display())
    }

    fn add_folder(&mut self, folder: &Path, options: Options) -> anyhow::Result<()> {
        let cant_read = || format!("can't read {}", folder.display());
        let mut entries =
            fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).with_context(cant_read)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type().with_context(cant_read)?;
            let (path, name) = (entry.path(), entry.file_name());
            if is_version_control(&path) || (kind.is_dir() && is_bare_repository(&path)) {
                self.skipped.version_control += 1;
            } else if name.as_encoded_bytes().starts_with(b".") && !options.hidden {
                self.skipped.hidden += 1;
            } else if kind.is_symlink() {
                self.skipped.links += 1;
            } else if kind.is_dir() {
                self.add_folder(&path, options)?;
            } else if kind.is_file() && !is_signature(&path) && !is_temporary(&path) {
                let size = entry.metadata().with_context(cant_read)?.len();
                self.files.push(File { path, size });
            }
        }
        Ok(())
    }
}

impl Skipped {
    /// For a person; `None` if nothing was skipped that would be missed.
    pub(super) fn description(self) -> Option<String> {
        let mut parts = Vec::new();
        if self.hidden > 0 {
            parts.push(format!("{} (--hidden)", count(self.hidden, "hidden name")));
        }
        if self.links > 0 {
            parts.push(count(self.links, "symbolic link"));
        }
        (!parts.is_empty()).then(|| format!("Skipped {}.", parts.join(" and ")))
    }
}

/// The version-control folder that a path is, or is in.
pub(super) fn repository_around(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    path.ancestors().find(|folder| is_version_control(folder) || is_bare_repository(folder)).map(Path::to_owned)
}

fn is_version_control(path: &Path) -> bool {
    path.file_name().is_some_and(|name| VERSION_CONTROL.iter().any(|known| name == *known))
}

/// Whether this is a repository without a work tree, of git or of Subversion's server.
fn is_bare_repository(folder: &Path) -> bool {
    let has = |folders: &[&str], file: &str| {
        folder.join(file).is_file() && folders.iter().all(|below| folder.join(below).is_dir())
    };
    has(&["objects", "refs"], "HEAD") || has(&["db", "hooks", "conf"], "format")
}

/// Whether a file's name is that of a signature.
pub(super) fn is_signature(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("asc") || extension.eq_ignore_ascii_case("sig"))
}

/// The name of a file's signature.
pub(super) fn signature_of(file: &Path, form: Form) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(match form {
        Form::Armored => ".asc",
        Form::Binary => ".sig",
    });
    name.into()
}

/// The end of the name of a signature that is not whole yet.
pub(super) const TEMPORARY: &str = ".sealcard-tmp";

/// What a killed command left.
fn is_temporary(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == TEMPORARY.trim_start_matches('.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            if name.ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, name).unwrap();
            }
        }
        folder
    }

    fn names(folder: &Path, options: Options) -> Vec<String> {
        let selection = Selection::of(&[folder.to_owned()], options).unwrap();
        let name = |file: &File| file.path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        selection.files.iter().map(name).collect()
    }

    fn refusal(path: PathBuf) -> String {
        Selection::of(&[path], Options::default()).unwrap_err().to_string()
    }

    #[test]
    fn folder_gives_its_files_in_order_without_signatures() {
        let folder = folder(&["b", "a", "a.asc", "c.SIG", "d.x.sealcard-tmp", "below/e"]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("folder-link")).unwrap();
        assert_eq!(names(folder.path(), Options::default()), ["a", "b", "below/e"]);
        let selection = Selection::of(&[folder.path().to_owned()], Options::default()).unwrap();
        assert_eq!(selection.skipped, Skipped { links: 2, ..Skipped::default() });
    }

    #[test]
    fn hidden_names_are_taken_only_when_asked_for() {
        let folder = folder(&["a", ".hidden", ".folder/b"]);
        assert_eq!(names(folder.path(), Options::default()), ["a"]);
        let options = Options { hidden: true, ..Options::default() };
        assert_eq!(names(folder.path(), options), [".folder/b", ".hidden", "a"]);
        let named = Selection::of(&[folder.path().join(".hidden")], Options::default()).unwrap();
        assert_eq!(named.files.len(), 1);
    }

    #[test]
    fn version_control_is_never_taken() {
        let folder = folder(&[
            "a",
            ".git/HEAD",
            ".hg/x",
            ".svn/x",
            ".bzr/x",
            "_darcs/x",
            "worktree/.git",
            "worktree/b",
            "mirror.git/HEAD",
            "mirror.git/objects/",
            "mirror.git/refs/heads/main",
            "svn/format",
            "svn/db/",
            "svn/hooks/",
            "svn/conf/",
        ]);
        let options = Options { hidden: true, ..Options::default() };
        assert_eq!(names(folder.path(), options), ["a", "worktree/b"]);
        for named in [".git", "_darcs", "mirror.git", "mirror.git/refs/heads"] {
            let refusal = refusal(folder.path().join(named));
            assert!(refusal.contains("belongs to version control"), "{refusal}");
        }
    }

    #[test]
    fn a_folder_without_files_is_refused_unless_allowed() {
        let folder = folder(&["empty/", "hidden/.a", "signatures/a.asc"]);
        for name in ["empty", "hidden", "signatures"] {
            let refusal = refusal(folder.path().join(name));
            assert!(refusal.contains("no files in") && refusal.contains("--allow-empty"), "{refusal}");
            assert_eq!(refusal.contains("--hidden"), name == "hidden", "{refusal}");
            let options = Options { allow_empty: true, ..Options::default() };
            assert!(names(&folder.path().join(name), options).is_empty());
        }
    }
}
