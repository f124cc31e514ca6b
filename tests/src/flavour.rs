//! Which GnuPG a workstation has: the machine's own, or a newer one in a chroot.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::{Uid, getgid, getuid};

/// Which GnuPG is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// What is installed on the machine (Debian 12: 2.2).
    Machine,
    /// GnuPG 2.4.7 of Debian 13, in a chroot that `cargo xtask test` makes.
    Trixie,
    /// GnuPG 2.4.9 or newer of Debian 14, in another one.
    Forky,
}

impl Flavour {
    /// Every flavour.
    pub const ALL: [Self; 3] = [Self::Machine, Self::Trixie, Self::Forky];

    /// The Debian suite in its chroot, if it has one.
    #[must_use]
    pub const fn suite(self) -> Option<&'static str> {
        match self {
            Self::Machine => None,
            Self::Trixie => Some("trixie"),
            Self::Forky => Some("forky"),
        }
    }

    /// Where the programs under test are seen by commands of this flavour.
    #[must_use]
    pub fn binaries(self, binaries: &Path) -> &Path {
        match self {
            Self::Machine => binaries,
            Self::Trixie | Self::Forky => Path::new(CHROOT_BINARIES),
        }
    }

    /// A command of this flavour. `scratch` is visible at the same path inside and outside.
    ///
    /// The chroot sees the scratch folder and the programs through bind mounts that exist in a mount namespace of the
    /// command alone: nothing stays mounted, whatever happens.
    #[must_use]
    pub fn command(self, scratch: &Path, binaries: &Path, folder: &Path, program: &OsStr) -> Command {
        let Some(suite) = self.suite() else {
            let mut command = Command::new(program);
            command.current_dir(folder);
            return command;
        };
        let mut command = if Uid::effective().is_root() {
            Command::new("unshare")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["--non-interactive", "--preserve-env", "unshare"]);
            sudo
        };
        command.args(["--mount", "--", "sh", "-euc", ENTER_CHROOT, "sh"]);
        command.arg(chroot_folder(suite)).arg(scratch).arg(binaries).arg(folder);
        command.arg(format!("{}:{}", getuid(), getgid())).arg(program);
        command
    }
}

const CHROOT_BINARIES: &str = "/opt/sealcard";

/// Arguments: root, scratch folder, binaries, working folder, user:group, program and its arguments.
const ENTER_CHROOT: &str = r#"
root=$1 scratch=$2 binaries=$3 folder=$4 user=$5; shift 5
mount --rbind /dev "$root/dev"
mount --bind /proc "$root/proc"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root$scratch" "$root/opt/sealcard"
mount --bind "$scratch" "$root$scratch"
mount --bind "$binaries" "$root/opt/sealcard"
exec chroot --userspec="$user" "$root" sh -c 'cd "$1"; shift; exec "$@"' sh "$folder" "$@"
"#;

/// Where the chroot of a Debian suite lies: in the folder `SEALCARD_CHROOTS`, else in the user's cache folder.
#[must_use]
pub fn chroot_folder(suite: &str) -> PathBuf {
    env::var_os("SEALCARD_CHROOTS").map_or_else(cache_folder, PathBuf::from).join(suite)
}

/// Where this project keeps what is costly to make again, in the user's cache folder.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    base.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache"))
        .join("sealcard")
}
