//! What the packages do: two builds are the same, the distributions' checks are content, on a system they can be
//! installed, used, upgraded, removed and purged, and the images can be run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use sealcard_tests::{Binaries, Scratch, chroot_folder, run};
use xtask::{cargo::workspace, output, packages::privileged};

use super::homebrew;
use crate::chroot;

/// Enough for a slow machine that does other things besides.
const PATIENCE: Duration = Duration::from_secs(600);

/// Every file of one build must be the same in the other one.
pub(super) fn same(first: &Path, second: &Path) -> Result<()> {
    let names = files(first)?;
    ensure!(names == files(second)?, "{} and {} have other files", first.display(), second.display());
    for name in &names {
        ensure!(fs::read(first.join(name))? == fs::read(second.join(name))?, "two builds of {name} differ");
    }
    output::note(&format!("{} files are the same in both builds", names.len()));
    Ok(())
}

/// Debian's, rpm's and Ruby's own checks. The files in `packaging/` say why some of their findings do not matter.
pub(super) fn lint(out: &Path) -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning"]).args(with_suffix(out, ".deb")?);
    run(&mut lintian, PATIENCE)?.success()?;
    let mut rpmlint = Command::new("rpmlint");
    rpmlint.arg("--strict").arg("--config").arg(workspace().join("packaging/rpm/rpmlint.toml"));
    run(rpmlint.args(with_suffix(out, ".rpm")?), PATIENCE)?.success()?;
    run(Command::new("ruby").args(["-wc"]).arg(out.join(homebrew::FORMULA)), PATIENCE)?.success()?;
    Ok(())
}

/// Debian's check of installing and purging, in a copy of a chroot. The data stays on purpose; apt leaves the other folder
/// there.
pub(super) fn piuparts(suite: &str, out: &Path) -> Result<()> {
    let mut piuparts = privileged("piuparts")?;
    piuparts.args(["--distribution", suite, "--no-upgrade-test", "--mirror", &format!("{} main", chroot::mirror()?)]);
    piuparts.arg("--existing-chroot").arg(chroot_folder(suite));
    for kept in ["^/var/lib/sealcard(-signer)?/$", "^/var/cache/debconf/tmp.ci/$"] {
        piuparts.args(["--ignore-regex", kept]);
    }
    run(piuparts.args(with_suffix(out, ".deb")?), PATIENCE)?.success()?;
    Ok(())
}

/// Runs containers of the images as their users, with read-only files, and makes a signature with a server in one and its
/// signer in another. The workstation's programs are this build's.
pub(super) fn containers(binaries: &Binaries, out: &Path) -> Result<()> {
    let scratch = Scratch::new()?;
    let mut unshare = privileged("unshare")?;
    unshare.args(["--mount", "--net", "--pid", "--mount-proc", "--fork", "--", "env", "-i", "LC_ALL=C.UTF-8"]);
    unshare.arg(format!("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", binaries.folder().display()));
    unshare.args(["sh", "-euxc", concat!(include_str!("check/sign.sh"), include_str!("check/containers.sh")), "sh"]);
    let images = with_suffix(out, ".oci.tar")?;
    let finished = run(unshare.arg(scratch.path()).args(images), PATIENCE)?;
    ensure!(finished.status.success(), "running the images: {}\n{}", finished.text(), finished.stderr);
    Ok(())
}

/// Where packages are installed: this system's files or those of a chroot, with a layer above them that takes all
/// changes and is gone afterwards.
pub(super) enum System {
    Machine,
    Chroot(&'static str),
}

impl System {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Machine => "this machine",
            Self::Chroot(suite) => suite,
        }
    }

    fn root(&self) -> PathBuf {
        match self {
            Self::Machine => "/".into(),
            Self::Chroot(suite) => chroot_folder(suite),
        }
    }

    /// Makes the chroot if it is missing.
    pub(super) fn ensure(&self) -> Result<()> {
        match self {
            Self::Machine => Ok(()),
            Self::Chroot(suite) => chroot::ensure_suite(suite),
        }
    }

    /// Installs Debian packages of an earlier version from a repository, makes signatures with them, upgrades, downgrades,
    /// removes and purges them.
    pub(super) fn check_debs(&self, out: &Path) -> Result<()> {
        self.run(
            out,
            concat!(include_str!("check/common.sh"), include_str!("check/sign.sh"), include_str!("check/deb.sh")),
        )
    }

    /// The same with rpm's packages, which get a package with what Debian has under other names.
    pub(super) fn check_rpms(&self, out: &Path) -> Result<()> {
        self.run(
            out,
            concat!(include_str!("check/common.sh"), include_str!("check/sign.sh"), include_str!("check/rpm.sh")),
        )
    }

    /// Runs a script as root in a copy of the system. It sees the packages in /mnt, no network and no
    /// running systemd.
    fn run(&self, out: &Path, script: &str) -> Result<()> {
        let scratch = Scratch::new()?;
        let mut unshare = privileged("unshare")?;
        unshare.args(["--mount", "--net", "--pid", "--fork", "--", "sh", "-euc", ENTER, "sh"]);
        unshare.arg(self.root()).arg(scratch.path()).arg(out).arg(script);
        let finished = run(&mut unshare, PATIENCE)?;
        if finished.status.success() {
            return Ok(());
        }
        bail!("on {}: {}\n{}", self.name(), finished.text(), finished.stderr)
    }
}

/// Arguments: the system's root, an empty folder, the packages, the script. Nothing stays mounted: the mounts exist in
/// this process's namespace alone.
const ENTER: &str = r#"
root=$1 scratch=$2 packages=$3 script=$4
mount -t tmpfs -o mode=0755 tmpfs "$scratch"
mkdir "$scratch/changes" "$scratch/work" "$scratch/merged" "$scratch/packages"
mount --bind "$packages" "$scratch/packages"
mount -t overlay -o "lowerdir=$root,upperdir=$scratch/changes,workdir=$scratch/work" overlay "$scratch/merged"
mount --rbind /dev "$scratch/merged/dev"
mount -t proc proc "$scratch/merged/proc"
mount -t tmpfs -o mode=0755 tmpfs "$scratch/merged/run"
mount -t tmpfs -o mode=1777 tmpfs "$scratch/merged/tmp"
mount --bind "$scratch/packages" "$scratch/merged/mnt"
ip link set lo up
exec chroot "$scratch/merged" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
    DEBIAN_FRONTEND=noninteractive sh -euxc "$script"
"#;

fn with_suffix(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let names = files(folder)?.into_iter().filter(|name| name.ends_with(suffix));
    Ok(names.map(|name| folder.join(name)).collect())
}

fn files(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn builds_that_differ_in_a_byte_or_a_file_are_refused() {
        let scratch = Scratch::new().unwrap();
        let (first, second) = (scratch.folder("first").unwrap(), scratch.folder("second").unwrap());
        fs::write(first.join("a.deb"), "1").unwrap();
        fs::write(second.join("a.deb"), "1").unwrap();
        same(&first, &second).unwrap();
        fs::write(second.join("a.deb"), "2").unwrap();
        assert!(same(&first, &second).unwrap_err().to_string().contains("a.deb differ"));
        fs::write(second.join("a.deb"), "1").unwrap();
        fs::write(second.join("b.deb"), "1").unwrap();
        assert!(same(&first, &second).is_err());
    }
}
