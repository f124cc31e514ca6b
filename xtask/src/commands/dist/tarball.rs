//! The workstation's programs in an archive, for systems without packages of ours.

use std::{
    env::consts::{ARCH, OS},
    path::PathBuf,
    time::Duration,
};

use anyhow::Result;
use sealcard_tests::run;
use xtask::cargo::workspace;

use super::{
    Job,
    package::TARBALL,
    tree::{DATA, Tree},
};

const DOCUMENTS: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Builds the archive and returns where it is.
pub(super) fn build(job: &Job) -> Result<PathBuf> {
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
    let file = out.join(format!("{name}.tar.gz"));
    let mut tar = release.command("tar");
    tar.args(["--create", "--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--use-compress-program=gzip --no-name {}", if release.fast { "-1" } else { "-9" }));
    tar.arg("--file").arg(&file).arg("--directory").arg(&folder).arg(&name);
    run(&mut tar, Duration::from_secs(300))?.success()?;
    Ok(file)
}
