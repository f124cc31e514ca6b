//! Which files get a signature, and where it is written.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sealcard_openpgp::Form;
use uuid::Uuid;

use super::Arguments;
use crate::cli::selection::{Selection, Skipped, TEMPORARY, repository_around, signature_of};

/// A file and the place of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) file: PathBuf,
    pub(super) signature: PathBuf,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) jobs: Vec<Job>,
    /// Files that have a signature already.
    pub(super) already_signed: usize,
    /// What folders hold that is not signed.
    pub(super) skipped: Skipped,
}

/// Looks at every path before anything is signed.
pub(super) fn plan(arguments: &Arguments, form: Form) -> anyhow::Result<Plan> {
    let Selection { files, skipped } = Selection::of(&arguments.paths, arguments.selection)?;
    if arguments.output.is_some() && files.len() != 1 {
        bail!("--output names the signature of one file, but there are {}", files.len());
    }
    let all = files.len();
    let mut plan = Plan { skipped, ..Plan::default() };
    let mut in_the_way = Vec::new();
    for file in files {
        let signature = arguments.output.clone().unwrap_or_else(|| signature_of(&file.path, form));
        refuse_repository(&signature)?;
        if signature.symlink_metadata().is_err() || arguments.force {
            plan.jobs.push(Job { file: file.path, signature });
        } else {
            in_the_way.push(signature);
        }
    }
    match in_the_way.as_slice() {
        _ if arguments.missing => plan.already_signed = in_the_way.len(),
        [] => {}
        [only] if all == 1 => bail!("{} exists already; --force replaces it", only.display()),
        some => bail!(
            "{} of {all} files have a signature already; --missing signs only the others, --force replaces these",
            some.len()
        ),
    }
    Ok(plan)
}

/// Refuses a signature in a folder of version control.
pub(super) fn refuse_repository(signature: &Path) -> anyhow::Result<()> {
    let folder = match signature.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if let Some(repository) = repository_around(folder) {
        bail!("{} would damage {}, which belongs to version control", signature.display(), repository.display());
    }
    Ok(())
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
    fn a_file_that_can_t_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("folder");
        fs::create_dir(&target).unwrap();
        assert!(write_whole(&target, b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_whole(&folder.path().join("file"), b"x").unwrap();
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"x");
    }

    #[test]
    fn no_signature_is_written_into_a_repository() {
        let folder = tempfile::tempdir().unwrap();
        let heads = folder.path().join(".git/refs/heads");
        fs::create_dir_all(&heads).unwrap();
        assert!(refuse_repository(&heads.join("main.asc")).is_err());
        assert!(refuse_repository(&folder.path().join("main.asc")).is_ok());
    }
}
