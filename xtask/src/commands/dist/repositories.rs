//! Repositories of the packages for apt and dnf, signed.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use sealcard_tests::run;

use super::{Release, deb, sign::Signer};

const PATIENCE: Duration = Duration::from_secs(120);

/// The folders, and the public key beside them.
pub(super) const APT: &str = "apt";
pub(super) const RPM: &str = "rpm";
pub(super) const KEY: &str = "sealcard.asc";

/// What apt calls the repository in `dists`.
const SUITE: &str = "stable";

/// Makes both repositories of the packages among `files`, and exports the public key.
pub(super) fn build(release: &Release, signer: &Signer, files: &[&PathBuf], out: &Path) -> Result<()> {
    for folder in [APT, RPM].map(|name| out.join(name)) {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    build_apt(release, signer, &with_suffix(files, "deb"), &out.join(APT))?;
    build_rpm(release, signer, &with_suffix(files, "rpm"), &out.join(RPM))?;
    signer.export(&out.join(KEY))
}

fn with_suffix<'a>(files: &[&'a PathBuf], suffix: &str) -> Vec<&'a Path> {
    files
        .iter()
        .map(|file| file.as_path())
        .filter(|file| file.extension().is_some_and(|found| found == suffix))
        .collect()
}

fn build_apt(release: &Release, signer: &Signer, packages: &[&Path], folder: &Path) -> Result<()> {
    let architecture = deb::architecture(release)?;
    let dist = folder.join("dists").join(SUITE);
    let index = dist.join("main").join(format!("binary-{architecture}"));
    fs::create_dir_all(&index)?;
    copy(packages, &folder.join("pool"))?;
    let packages = ftparchive(folder, &[], "packages", "pool")?;
    fs::write(index.join("Packages"), packages)?;
    run(release.command("xz").arg("--keep").arg(index.join("Packages")), PATIENCE)?.success()?;
    let facts = [
        "Origin=Sealcard".to_owned(),
        "Label=Sealcard".to_owned(),
        format!("Suite={SUITE}"),
        format!("Codename={SUITE}"),
        "Components=main".to_owned(),
        format!("Architectures={architecture}"),
    ];
    let facts = facts.map(|fact| format!("APT::FTPArchive::Release::{fact}"));
    fs::write(dist.join("Release"), ftparchive(&dist, &facts, "release", ".")?)?;
    signer.sign_file(&dist.join("Release"), "--clear-sign", &dist.join("InRelease"))?;
    signer.sign_file(&dist.join("Release"), "--detach-sign", &dist.join("Release.gpg"))
}

/// What apt-ftparchive writes. Its digests are those that apt trusts.
fn ftparchive(folder: &Path, facts: &[String], verb: &str, path: &str) -> Result<Vec<u8>> {
    let mut command = Command::new("apt-ftparchive");
    // Not the release's command: the time is that of the signature, which apt does not let go back.
    for option in ["APT::FTPArchive::MD5=false", "APT::FTPArchive::SHA1=false"] {
        command.args(["-o", option]);
    }
    command.args(facts.iter().flat_map(|fact| ["-o", fact])).args([verb, path]);
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    Ok(run(&mut command, PATIENCE)?.success()?.stdout)
}

fn build_rpm(release: &Release, signer: &Signer, packages: &[&Path], folder: &Path) -> Result<()> {
    let packages_folder = folder.join(ARCH);
    copy(packages, &packages_folder)?;
    let mut createrepo = release.command("createrepo_c");
    run(createrepo.args(["--quiet", "--no-database"]).arg(folder), PATIENCE)?.success()?;
    let index = folder.join("repodata/repomd.xml");
    signer.sign_file(&index, "--detach-sign", &folder.join("repodata/repomd.xml.asc"))
}

fn copy(packages: &[&Path], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for package in packages {
        let copy = folder.join(package.file_name().context("a package without a name")?);
        fs::copy(package, &copy).with_context(|| format!("writing {}", copy.display()))?;
    }
    Ok(())
}
