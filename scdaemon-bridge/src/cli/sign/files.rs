//! Which files are signed, and where their signatures go.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::Arguments;
use crate::openpgp::Form;

/// A file and the place of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) file: PathBuf,
    pub(super) signature: PathBuf,
    pub(super) size: u64,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) jobs: Vec<Job>,
    /// Files whose signature exists.
    pub(super) skipped: usize,
}

/// Looks at every path before anything is signed.
pub(super) fn plan(arguments: &Arguments, form: Form) -> anyhow::Result<Plan> {
    let mut found = Vec::new();
    for path in &arguments.paths {
        walk(path, &mut found)?;
    }
    if arguments.output.is_some() && found.len() != 1 {
        bail!("--output names the signature of one file, but there are {}", found.len());
    }
    let mut plan = Plan::default();
    for (file, size) in found {
        let signature = arguments.output.clone().unwrap_or_else(|| signature_of(&file, form));
        if signature.symlink_metadata().is_err() || arguments.force {
            plan.jobs.push(Job { file, signature, size });
        } else if arguments.missing {
            plan.skipped += 1;
        } else {
            bail!("{} exists; --force replaces such signatures, --missing leaves them", signature.display());
        }
    }
    Ok(plan)
}

/// Adds a file, or all files in a folder and below it that are no signatures, in the order of their names. Symbolic links
/// in folders are not followed.
pub(in crate::cli) fn walk(path: &Path, found: &mut Vec<(PathBuf, u64)>) -> anyhow::Result<()> {
    let cant_read = || format!("can't read {}", path.display());
    let facts = fs::metadata(path).with_context(cant_read)?;
    if !facts.is_dir() {
        found.push((path.to_owned(), facts.len()));
        return Ok(());
    }
    let mut entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).with_context(cant_read)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().with_context(cant_read)?;
        let path = entry.path();
        if kind.is_dir() || (kind.is_file() && !is_signature(&path) && !is_temporary(&path)) {
            walk(&path, found)?;
        }
    }
    Ok(())
}

/// Whether a file's name is that of a signature.
pub(in crate::cli) fn is_signature(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("asc") || extension.eq_ignore_ascii_case("sig"))
}

/// The name of a file's signature.
pub(in crate::cli) fn signature_of(file: &Path, form: Form) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(match form {
        Form::Armored => ".asc",
        Form::Binary => ".sig",
    });
    name.into()
}

const TEMPORARY: &str = ".sealcard-tmp";

/// What a killed command left.
fn is_temporary(path: &Path) -> bool {
    path.extension() == Some(OsStr::new(TEMPORARY.trim_start_matches('.')))
}

/// Writes a file so that it is there as a whole or not at all. Others may read it as the umask allows.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{TEMPORARY}", Uuid::new_v4().simple()));
    let temporary = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_files_in_order_without_signatures_and_links() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "a", "a.asc", "c.SIG", "d.x.sealcard-tmp", "below/e"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let mut found = Vec::new();
        walk(folder.path(), &mut found).unwrap();
        let names: Vec<_> =
            found.iter().map(|(path, _)| path.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, [Path::new("a"), Path::new("b"), Path::new("below/e")]);
    }

    #[test]
    fn a_file_that_can_t_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("folder");
        fs::create_dir(&target).unwrap();
        assert!(write_whole(&target, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_whole(&folder.path().join("file"), b"x").unwrap();
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"x");
    }
}
