//! Whether another user could put another file in the place of ours.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{Gid, Group, Uid, User};

use super::{ConfigError, home};

/// Looks at the folders above a file, up to the home folder if the file is in there, as sshd does. Links are followed;
/// what holds them is looked at too.
///
/// # Errors
///
/// When another user can change one of them.
pub(super) fn check(path: &Path) -> Result<(), ConfigError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let failed = |error| ConfigError::io("read", folder, error);
    let real = folder.canonicalize().map_err(failed)?;
    let home = home().ok().and_then(|home| home.canonicalize().ok());
    for folder in above(&real, home.as_deref()).chain(above(folder, home.as_deref())) {
        let facts = fs::metadata(&folder).map_err(|error| ConfigError::io("read", &folder, error))?;
        if facts.uid() != 0 && facts.uid() != Uid::effective().as_raw() {
            return Err(ConfigError::ForeignOwner { path: folder, owner: facts.uid() });
        }
        let writable = facts.mode() & if is_own_group(facts.gid()) { 0o002 } else { 0o022 };
        // In a sticky folder such as /tmp nobody can replace what is another's.
        if writable != 0 && facts.mode() & STICKY == 0 {
            return Err(ConfigError::Writable { path: folder, mode: facts.mode() & 0o777 });
        }
    }
    Ok(())
}

const STICKY: u32 = 0o1000;

/// The folder and those above it, the last of which is the home folder or the root.
fn above(folder: &Path, home: Option<&Path>) -> impl Iterator<Item = PathBuf> {
    let ends = home.filter(|home| folder.starts_with(home)).map_or(0, |home| home.components().count());
    folder.ancestors().filter(move |folder| folder.components().count() >= ends).map(Path::to_owned)
}

/// Many systems give each user a group alone, and let it write what its user makes.
fn is_own_group(gid: u32) -> bool {
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let Some(user) = user.filter(|user| user.gid.as_raw() == gid) else { return false };
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.is_some_and(|group| group.name == user.name && group.mem.iter().all(|member| *member == user.name))
}
