//! Small systems beside the machine's own: Debian with newer versions of GnuPG, and Ubuntu.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sealcard_tests::{Flavour, chroot_folder, run};
use xtask::packages::privileged;

const PACKAGES: &str = "ca-certificates,git,gnupg,gpg,gpg-agent,openssh-client,procps,rpm,scdaemon,systemd";
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian 12, where the handbook's installation is followed; the machine's own system is not an empty one.
const EMPTY: &str = "bookworm";

/// Ubuntu 24.04.
pub(crate) const UBUNTU: &str = "noble";

/// The package with Ubuntu's keys, on its own mirrors: Debian has none. The digest is what makes it trustworthy.
const UBUNTU_KEYRING: (&str, &str) = (
    "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb",
    "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8",
);

/// Makes the chroots of Debian that are missing, one after the other: about a minute each, mostly unpacking. Nothing stays
/// mounted.
pub(crate) fn ensure() -> Result<()> {
    Flavour::ALL.into_iter().filter_map(Flavour::suite).chain([EMPTY]).try_for_each(ensure_suite)
}

/// Runs a program in a container, as the test of the installation does with systemd.
///
/// # Errors
/// If this machine does not allow it.
pub(crate) fn can_run_containers() -> Result<()> {
    let mut nspawn = privileged("systemd-nspawn")?;
    nspawn.args(["--quiet", "--register=no", "--keep-unit", "--private-network", "--read-only"]);
    nspawn.arg(format!("--machine=sealcard-try-{}", std::process::id()));
    nspawn.arg("--directory").arg(chroot_folder(EMPTY)).arg("true").env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
    run(&mut nspawn, Duration::from_secs(60))?.success()?;
    Ok(())
}

/// Makes the chroot of one suite if it is missing.
pub(crate) fn ensure_suite(suite: &str) -> Result<()> {
    let folder = chroot_folder(suite);
    if is_complete(&folder) {
        return Ok(());
    }
    let parent = folder.parent().context("the chroot's folder has no parent")?;
    fs::create_dir_all(parent)?;
    let lock = File::options().create(true).append(true).open(parent.join("chroot.lock"))?;
    // Someone else may be making it: wait, then look again.
    lock.lock()?;
    if !is_complete(&folder) {
        make(suite, &folder)?;
    }
    Ok(())
}

/// Whether it is there with all the packages that are wanted now.
fn is_complete(folder: &Path) -> bool {
    let packages = fs::read_to_string(folder.with_extension("packages")).unwrap_or_default();
    let packages: Vec<&str> = packages.split(',').collect();
    // Checkouts share the chroots. One that wants less must not make them again.
    PACKAGES.split(',').all(|wanted| packages.contains(&wanted)) && folder.join("usr/bin/gpg").exists()
}

fn make(suite: &str, folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    let log = folder.with_extension("log");
    // Left over from a run that was interrupted, or made for an older list of packages.
    remove(&partial)?;
    let (mirror, keyring, newest) = match suite {
        UBUNTU => {
            let (mirror, keyring) = ubuntu(folder)?;
            (mirror, keyring, "gutsy")
        }
        _ => (mirror()?, PathBuf::from(KEYRING), "sid"),
    };
    let scripts = Path::new("/usr/share/debootstrap/scripts");
    // debootstrap has no script for suites newer than itself; the one of the distribution serves all of them.
    let script = scripts.join(if scripts.join(suite).exists() { suite } else { newest });
    let mut debootstrap = privileged("debootstrap")?;
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
    debootstrap.arg(format!("--keyring={}", keyring.display()));
    if suite == UBUNTU {
        // rpm is not in main.
        debootstrap.arg("--components=main,universe");
    }
    debootstrap.arg(suite).arg(&partial).arg(mirror).arg(script);
    let output = File::create(&log)?;
    let status = debootstrap.stdout(output.try_clone()?).stderr(output).status().context("starting debootstrap")?;
    if !status.success() {
        bail!("making the chroot of {suite} failed; {} says why", log.display());
    }
    remove(folder)?;
    let renamed = run(privileged("mv")?.arg("-T").arg(&partial).arg(folder), Duration::from_secs(60))?;
    renamed.success()?;
    // Written last: it says that the chroot is complete.
    fs::write(folder.with_extension("packages"), PACKAGES).context("noting which packages the chroot has")
}

fn remove(folder: &Path) -> Result<()> {
    // debootstrap leaves /proc mounted if it is killed.
    let proc = folder.join("proc");
    let mounts = fs::read_to_string("/proc/self/mounts").context("what is mounted")?;
    if mounts.lines().any(|line| line.split(' ').nth(1).map(Path::new) == Some(&proc)) {
        run(privileged("umount")?.arg(&proc), Duration::from_secs(60))?.success()?;
    }
    let mut command = privileged("rm")?;
    run(command.args(["-rf", "--one-file-system", "--"]).arg(folder), Duration::from_secs(120))?.success()?;
    Ok(())
}

/// A mirror of Ubuntu, beside the one of Debian or else Ubuntu's own, and the keys of Ubuntu's archive.
fn ubuntu(folder: &Path) -> Result<(String, PathBuf)> {
    let beside = mirror()?.trim_end_matches('/').strip_suffix("/debian").map(|host| format!("{host}/ubuntu"));
    let (package, keys) = (folder.with_extension("keyring.deb"), folder.with_extension("keyring"));
    let (path, digest) = UBUNTU_KEYRING;
    let download = |mirror: &String| {
        let mut helper = Command::new("/usr/lib/apt/apt-helper");
        helper.arg("download-file").arg(format!("{mirror}/{path}")).arg(&package).arg(format!("SHA256:{digest}"));
        run(&mut helper, Duration::from_secs(60)).is_ok_and(|finished| finished.status.success())
    };
    let mut mirrors = beside.into_iter().chain(["http://archive.ubuntu.com/ubuntu".to_owned()]);
    let mirror = mirrors.find(download).context("no mirror of Ubuntu can be reached")?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&keys), Duration::from_secs(60))?.success()?;
    Ok((mirror, keys.join("usr/share/keyrings/ubuntu-archive-keyring.gpg")))
}

/// The Debian mirror that this machine's apt uses.
pub(crate) fn mirror() -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"]);
    let answer = run(&mut command, Duration::from_secs(30))?.text();
    let repositories = answer.lines().filter_map(|line| line.strip_prefix("Debian|Debian|"));
    // Before the first `apt-get update` origin and label are not known: then go by the address.
    let by_address = answer.lines().filter_map(|line| line.rsplit('|').next());
    let by_address = by_address.filter(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    let found = repositories.chain(by_address).next().map(str::to_owned);
    found.context("apt names no Debian mirror; add one to its sources and run `apt-get update`")
}
