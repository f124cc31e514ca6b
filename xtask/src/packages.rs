//! Debian packages that the commands call, installed when they are missing.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;
use sealcard_tests::run;

use crate::{cargo::must_succeed, output};

/// What the demo needs: GnuPG and git.
pub const DEMO: &[&str] = &["ca-certificates", "git", "gnupg", "gpg-agent", "procps"];

/// What the measurements need besides: rpm's own tools.
pub const BENCH: &[&str] = &["rpm"];

/// What the end-to-end tests need besides: the tools that sign packages and repositories, an ssh server, reverse
/// proxies, software tokens, Prometheus, Go with its implementation of transparency logs, and what makes the chroot.
pub const TEST: &[&str] = &[
    "apt-utils",
    "ca-certificates",
    "certbot",
    "createrepo-c",
    "curl",
    "dbus",
    "debootstrap",
    "debsigs",
    "devscripts",
    "dnf",
    "dpkg-dev",
    "faketime",
    "fish",
    "git",
    "gnome-keyring",
    "gnupg",
    "gnupg2",
    "golang-go",
    "golang-golang-x-mod-dev",
    "gpg-agent",
    "groff-base",
    "haproxy",
    "libnginx-mod-stream",
    "nginx",
    "opensc",
    "openssh-client",
    "openssh-server",
    "p11-kit",
    "p11-kit-modules",
    "pebble",
    "procps",
    "prometheus",
    "python3",
    "python3-aiosmtpd",
    "rpm",
    "rsyslog",
    "rsyslog-gnutls",
    "scdaemon",
    "softhsm2",
    "sqlite3",
    "systemd",
    "systemd-container",
    "util-linux",
    "zsh",
];

/// What a playground with keys in SoftHSM needs besides.
pub const SOFTHSM: &[&str] = &["softhsm2"];

/// What building kryoptic and making a token with it needs: its libraries, what makes bindings of their headers, and
/// the tool that initializes tokens.
pub const KRYOPTIC: &[&str] =
    &["clang", "gcc", "libc6-dev", "libclang-dev", "libsqlite3-dev", "libssl-dev", "opensc", "pkg-config"];

/// What the link check for macOS needs besides what it keeps in the cache folder: a linker for build scripts, and
/// Python.
pub const CROSS: &[&str] = &["ca-certificates", "gcc", "libc6-dev", "python3", "python3-venv"];

/// What building packages needs: Debian's and rpm's own tools, and Python, which installs zig.
pub const DIST: &[&str] =
    &["binutils", "dpkg-dev", "git", "gzip", "mmdebstrap", "python3", "python3-venv", "rpm", "tar", "xz-utils"];

/// What checking the packages needs besides.
pub const DIST_CHECK: &[&str] = &[
    "debootstrap",
    "dnf",
    "gpg",
    "gpg-agent",
    "iproute2",
    "lintian",
    "piuparts",
    "rpmlint",
    "ruby",
    "runc",
    "scdaemon",
    "systemd",
    "umoci",
    "util-linux",
];

/// What signing packages and making repositories needs besides. Debian's rpm calls gpg2.
pub const DIST_SIGN: &[&str] = &["apt-utils", "createrepo-c", "debsigs", "gnupg", "gnupg2", "gpg-agent"];

/// What tests and playgrounds on PostgreSQL need: its server programs. Each makes a cluster of its own.
pub const POSTGRES: &[&str] = &["postgresql"];

/// Installs those of `packages` that are missing. On other systems than Debian's that is left to the person.
pub fn ensure(packages: &[&str]) -> Result<()> {
    if !has_command("apt-get") {
        output::note(&format!(
            "no apt-get here: what these Debian packages hold must be there: {}",
            packages.join(" ")
        ));
        return Ok(());
    }
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    output::step(&format!("installing packages: {}", missing.join(" ")));
    if missing.iter().any(|package| POSTGRES.contains(package)) {
        no_main_cluster()?;
    }
    must_succeed(privileged("apt-get")?.args(["-qq", "update"]))?;
    let mut install = privileged("env")?;
    install.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "--yes", "--no-install-recommends"]);
    // apt talks to standard output, which is not ours to use.
    must_succeed(install.args(&missing).stdout(std::io::stderr()))
        .with_context(|| format!("these packages are needed: {}", missing.join(" ")))
}

/// The packages that installing `packages` would bring to this machine: themselves and what they need and it lacks.
pub fn simulated_install(packages: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new("apt-get");
    command.args(["--simulate", "--no-install-recommends", "install"]).args(packages);
    let answer = run(&mut command, Duration::from_secs(60))?.success()?.text();
    let lines = answer.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_once(' '));
    // "Inst NAME (VERSION …)"; with "[OLD VERSION]" after the name it would be an upgrade, which can wait.
    Ok(lines.filter(|(_, rest)| !rest.starts_with('[')).map(|(name, _)| name.to_owned()).collect())
}

/// Debian's package starts a cluster for the whole machine, which nobody here needs, unless it is told not to.
fn no_main_cluster() -> Result<()> {
    let script = "test -e /etc/postgresql-common/createcluster.conf || { mkdir -p /etc/postgresql-common && \
                  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; }";
    must_succeed(privileged("sh")?.args(["-c", script]))
}

/// A command that is run as root, through sudo where needed.
pub fn privileged(program: &str) -> Result<Command> {
    if Uid::effective().is_root() {
        return Ok(Command::new(program));
    }
    if !has_command("sudo") {
        bail!("this needs root, and there is no sudo: run it as root once");
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// Whether a program is on the PATH.
pub fn has_command(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}

fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Package} ${db:Status-Status}\n", "--"]).args(packages);
    // It fails when one is unknown, and lists the others all the same.
    let answer = run(&mut query, Duration::from_secs(30))?.text();
    let installed: Vec<&str> = answer.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    Ok(packages.iter().copied().filter(|package| !installed.contains(package)).collect())
}
