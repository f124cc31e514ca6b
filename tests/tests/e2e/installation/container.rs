//! A Debian system in which systemd is the first process, in namespaces of its own. What it changes is gone afterwards.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use sealcard_tests::{Daemon, Scratch, chroot_folder, run, wait_until};

use crate::support::terminal::Terminal;

/// A system needs some time to start and to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// Programs that a shell in the system finds.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A system that runs until this value is dropped.
pub(super) struct Container {
    daemon: Daemon,
    /// Its systemd, as this system sees it.
    init: i32,
    scratch: Scratch,
}

impl Container {
    /// Boots the chroot of a Debian suite, with a layer above it that takes all changes. It sees `packages` in /mnt and no
    /// network.
    pub(super) fn boot(suite: &str, packages: &Path) -> Result<Self> {
        Self::boot_at(&chroot_folder(suite), packages, "multi-user.target")
    }

    /// The same with this machine's files, which have other programs that a test needs. None of its services is started.
    pub(super) fn boot_machine(packages: &Path) -> Result<Self> {
        Self::boot_at(Path::new("/"), packages, "basic.target")
    }

    fn boot_at(root: &Path, packages: &Path, target: &str) -> Result<Self> {
        ensure!(geteuid().is_root(), "only root can boot a system in namespaces");
        ensure!(
            root.join("usr/lib/systemd/systemd").is_file(),
            "{} is missing: cargo xtask test makes it",
            root.display()
        );
        let scratch = Scratch::new()?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-euc", BOOT, "sh"])
            .arg(root)
            .arg(scratch.path())
            .arg(packages)
            .arg(target);
        // The machine may offer only the older hierarchy of cgroups, which newer releases of systemd refuse.
        command.arg(format!("sealcard-{}", std::process::id())).env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        let mut daemon = Daemon::spawn(&command, &scratch.path().join("log"))?;
        let init = wait_until("the first process of the system", PATIENCE, || {
            ensure!(daemon.ended()?.is_none(), "the system did not start:\n{}", daemon.log());
            first_child(daemon.pid())
        })?;
        let container = Self { daemon, init, scratch };
        wait_until("a system that has started", PATIENCE, || {
            let state = container.run("systemctl is-system-running 2>/dev/null")?.text();
            Ok(matches!(state.trim(), "running" | "degraded").then_some(()))
        })
        .with_context(|| container.daemon.log())?;
        Ok(container)
    }

    /// Runs a script as root inside.
    pub(super) fn run(&self, script: &str) -> Result<sealcard_tests::Finished> {
        let mut command = self.enter("root", "/root");
        run(command.args(["sh", "-euc", script]), PATIENCE)
    }

    /// A terminal inside, of a user who has a home folder.
    pub(super) fn terminal(&self, user: &str, home: &str) -> Result<Terminal> {
        let mut terminal = Terminal::open(self.scratch.path(), Path::new("/usr/bin"))?;
        let mut shell = self.enter(user, home);
        shell.args(["PS1=$ ", "TERM=dumb", "SHELL=/bin/sh", "sh", "-i"]);
        let words = std::iter::once(shell.get_program()).chain(shell.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().replace('\'', "'\\''")).collect();
        terminal.play(&format!("exec '{}'", words.join("' '")), &mut |_, _| None)?;
        Ok(terminal)
    }

    /// What is put before a program so that it runs inside.
    fn enter(&self, user: &str, home: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--all", "--"]);
        command.args(["runuser", "-u", user, "--", "env", "-i", "-C", home]);
        command.args([format!("HOME={home}"), format!("PATH={PATH}"), format!("USER={user}")]);
        command.args(["LANG=C.UTF-8", "PAGER=cat", "SYSTEMD_PAGER=cat"]);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // systemd(1): SIGRTMIN+4 powers the machine off.
        let power_off = nix::libc::SIGRTMIN() + 4;
        let sent = Command::new("kill").args([format!("-{power_off}"), self.init.to_string()]).status();
        let mut ended = || wait_until("the end of the system", PATIENCE, || self.daemon.ended());
        if !sent.is_ok_and(|status| status.success()) || ended().is_err() {
            kill(Pid::from_raw(self.init), Signal::SIGKILL).ok();
        }
    }
}

/// The first child of the process that `unshare` has become.
fn first_child(process: u32) -> Result<Option<i32>> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    let Some(child) = children.split_whitespace().next() else { return Ok(None) };
    // Before it runs systemd it is a copy of its parent.
    let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
    Ok(if name.trim() == "systemd" { Some(child.parse()?) } else { None })
}

/// Arguments: the system's root, an empty folder, the packages, what systemd starts, the machine's name. nspawn keeps calls for Landlock away
/// unless told otherwise.
const BOOT: &str = r#"
root=$1 scratch=$2 packages=$3 target=$4 name=$5
mount -t tmpfs -o mode=0755 tmpfs "$scratch"
mkdir "$scratch/changes" "$scratch/work" "$scratch/merged"
mount -t overlay -o "lowerdir=$root,upperdir=$scratch/changes,workdir=$scratch/work" overlay "$scratch/merged"
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$scratch/merged" --machine="$name" \
    --hostname=sign --resolv-conf=off --bind-ro="$packages:/mnt" --link-journal=no \
    --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' \
    --console=pipe /usr/lib/systemd/systemd --unit="$target"
"#;
