//! A second compilation of the same commit: in another folder, with another target folder and another home of cargo.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Finished, run};
use xtask::{
    cargo::{home, must_succeed, target, workspace},
    output,
};

use super::{Release, check};

const PATIENCE: Duration = Duration::from_secs(300);

/// Builds everything again, and compares it with what is in `out`.
pub(super) fn again(release: &Release, out: &Path) -> Result<()> {
    let changes = git(workspace(), &["status", "--porcelain"])?.text();
    ensure!(
        changes.is_empty(),
        "commit first: the second build has what is committed, and not these changes:\n{changes}"
    );
    output::step("compiling again, in other folders");
    // Beside the first one: /tmp may be too small.
    let folder = tempfile::Builder::new().prefix("again.").tempdir_in(target()?)?;
    let source = clone(folder.path())?;
    let cargo_home = folder.path().join("home-of-cargo");
    fs::create_dir(&cargo_home)?;
    // What was downloaded is the same, under another name. A link would not do: cargo resolves it.
    run(Command::new("cp").arg("--archive").arg(home()?.join("registry")).arg(&cargo_home), PATIENCE)?.success()?;
    let rebuilt = folder.path().join("dist");
    let mut dist = Command::new(env::current_exe()?);
    dist.args(["dist", "--maintainer", &release.maintainer, "--downloads", &release.downloads]);
    dist.arg("--out").arg(&rebuilt).current_dir(&source);
    // This program's workspace is where cargo was called.
    dist.env("CARGO_MANIFEST_DIR", source.join("xtask")).env("CARGO_HOME", &cargo_home);
    dist.env("CARGO_TARGET_DIR", folder.path().join("target")).env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    // Standard output has the folder of the packages, which does not matter here.
    must_succeed(dist.stdout(io::stderr()))?;
    check::same(out, &rebuilt)
}

/// A copy of what is committed.
fn clone(folder: &Path) -> Result<PathBuf> {
    let commit = git(workspace(), &["rev-parse", "HEAD"])?.text();
    let copy = folder.join("source-in-a-folder-with-a-longer-name");
    let path = copy.to_str().context("the name of the target folder is not UTF-8")?;
    git(workspace(), &["clone", "--quiet", "--no-checkout", ".", path])?;
    git(&copy, &["checkout", "--quiet", "--detach", commit.trim()])?;
    Ok(copy)
}

fn git(folder: &Path, arguments: &[&str]) -> Result<Finished> {
    run(Command::new("git").args(arguments).current_dir(folder), PATIENCE)?.success()
}
