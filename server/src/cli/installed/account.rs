//! Acting as another user for a while.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid, User, chown, getegid, geteuid, getgid, getuid, setegid, seteuid, setgroups};

/// Until it is dropped, files are made and opened as another user. The whole process changes, so keep no other threads.
#[derive(Debug)]
pub(in crate::cli) struct Acting {
    before: (Uid, Gid),
}

impl Acting {
    /// Begins to act as the user of this name; only root can.
    ///
    /// # Errors
    /// If there is no such user, or the system refuses.
    pub(in crate::cli) fn begin(name: &str) -> anyhow::Result<Self> {
        Self::as_user(&find(name)?)
    }

    /// As [`Self::begin`], as the user with this number.
    ///
    /// # Errors
    /// As there.
    pub(in crate::cli) fn begin_as(uid: u32) -> anyhow::Result<Self> {
        let user = User::from_uid(Uid::from_raw(uid)).with_context(|| format!("can't look the user {uid} up"))?;
        Self::as_user(&user.with_context(|| format!("there is no user with the number {uid}"))?)
    }

    /// As [`Self::begin`], as a user who was looked up.
    ///
    /// # Errors
    /// As there.
    pub(super) fn as_user(user: &User) -> anyhow::Result<Self> {
        let acting = Self { before: (geteuid(), getegid()) };
        setgroups(&[user.gid]).context("can't leave root's groups")?;
        setegid(user.gid).with_context(|| format!("can't act in the group of {}", user.name))?;
        seteuid(user.uid).with_context(|| format!("can't act as {}", user.name))?;
        Ok(acting)
    }
}

/// Does something as root in between, if root acts as another user.
///
/// # Errors
/// If the system refuses, or the work fails.
pub(in crate::cli) fn as_root<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (uid, gid) = (geteuid(), getegid());
    if !getuid().is_root() || uid.is_root() {
        return work();
    }
    seteuid(getuid()).and_then(|()| setegid(getgid())).context("can't act as root again")?;
    let done = work();
    setegid(gid).and_then(|()| seteuid(uid)).context("can't act as the server's user again")?;
    done
}

impl Drop for Acting {
    fn drop(&mut self) {
        let (uid, gid) = self.before;
        // Root's own identity is always given back; if it were not, what follows would fail for lack of rights.
        let _ = seteuid(uid).and_then(|()| setegid(gid)).and_then(|()| setgroups(&[gid]));
    }
}

/// The user of this name.
///
/// # Errors
/// If there is none.
pub(super) fn find(name: &str) -> anyhow::Result<User> {
    match User::from_name(name).with_context(|| format!("can't look the user {name} up"))? {
        Some(user) => Ok(user),
        None => bail!("there is no user {name}: install the package, or run systemd-sysusers"),
    }
}

/// Copies the files of a data folder but for its database into a folder of another user's.
///
/// # Errors
/// If there is no such user, or a file can't be copied.
pub(in crate::cli) fn copy_for(name: &str, from: &Path, to: &Path) -> anyhow::Result<()> {
    let user = find(name)?;
    copy_all(&user, from, to).with_context(|| format!("can't copy {}", from.display()))
}

fn copy_all(user: &User, from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&target)?;
            copy_all(user, &entry.path(), &target)?;
        } else if kind.is_file() && !entry.file_name().as_encoded_bytes().starts_with(b"sealcard.db") {
            // The mode is copied too.
            fs::copy(entry.path(), &target)?;
            chown(&target, Some(user.uid), Some(user.gid))?;
        }
    }
    chown(to, Some(user.uid), Some(user.gid))?;
    Ok(())
}
