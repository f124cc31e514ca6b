//! Archives that are the same whoever makes them, and whenever.

use std::{
    env::consts::{ARCH, OS},
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use sealcard_tests::run;
use xtask::cargo::workspace;

use super::{
    Job, Release,
    package::TARBALL,
    tree::{DATA, Tree},
};

const PATIENCE: Duration = Duration::from_secs(300);

const DOCUMENTS: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Builds an archive of the workstation's programs, for systems without packages of ours, and returns where it is.
pub(super) fn programs(job: &Job) -> Result<PathBuf> {
    let Job { release, package, binaries, scratch, out, .. } = *job;
    let name = format!("{}-{}-{ARCH}-{OS}", package.name, release.version);
    let folder = scratch.folder("tarball")?;
    let tree = Tree::new(folder.join(&name))?;
    package.stage(binaries, &TARBALL, &tree)?;
    for document in DOCUMENTS {
        tree.copy(&workspace().join(document), document, DATA)?;
    }
    tree.add("THIRD-PARTY", DATA, job.notices)?;
    tree.finish(release.time())?;
    let file = scratch.path().join(format!("{name}.tar"));
    run(pack(release, &folder, &file).arg(&name), PATIENCE)?.success()?;
    compress(release, &file, out)
}

/// Builds an archive of all files of the commit, with its time, and returns where it is.
pub(super) fn source(release: &Release, scratch: &Path, out: &Path) -> Result<PathBuf> {
    let name = format!("sealcard-{}", release.version);
    let file = scratch.join(format!("{name}.tar"));
    let mut git = release.command("git");
    git.args(["-c", "tar.umask=0022", "archive", "--format=tar"]);
    git.args([&format!("--prefix={name}/"), "--output"]);
    run(git.arg(&file).arg("HEAD").current_dir(workspace()), PATIENCE)?.success()?;
    compress(release, &file, out)
}

/// A command that packs files of a folder, as root's and with the time of the release. It lacks the files' names.
pub(super) fn pack(release: &Release, folder: &Path, file: &Path) -> Command {
    let mut tar = release.command("tar");
    tar.args(["--create", "--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", release.epoch)).arg("--file").arg(file).arg("--directory").arg(folder);
    tar
}

/// Replaces a file by a compressed one in another folder, and returns where that is.
pub(super) fn compress(release: &Release, file: &Path, out: &Path) -> Result<PathBuf> {
    let level = if release.fast { "-1" } else { "-9" };
    run(release.command("gzip").args(["--no-name", level, "--"]).arg(file), PATIENCE)?.success()?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(OsStr::new(".gz"));
    let compressed = out.join(&name);
    // The two may be on different file systems.
    std::fs::copy(file.with_file_name(&name), &compressed)?;
    Ok(compressed)
}
