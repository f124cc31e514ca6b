//! Files that are only ours: folders 0700, files 0600, replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{Flock, FlockArg},
    unistd::{Gid, Uid, fchown},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{ConfigError, Paths, safe_path};

/// No file of ours is larger, in bytes. A cache of a thousand RSA certificates is about 8 MiB.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Makes a folder with mode 0700, and its parents, where they are missing.
///
/// # Errors
///
/// When the folder can't be made.
pub fn make_private_folder(folder: &Path) -> Result<(), ConfigError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| ConfigError::io("make", folder, error))
}

/// Replaces a file as a whole: at any moment it is the old one or the new one, durable, with mode 0600. Makes its
/// folder.
///
/// # Errors
///
/// When anything can't be written; the old file is then untouched.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), ConfigError> {
    replace(path, content, 0o600)
}

/// Replaces a file that belongs to a login: private if the login is a user's, for the folder's group if it is the
/// machine's.
///
/// # Errors
///
/// As [`write_private`].
pub fn write_login(paths: &Paths, path: &Path, content: &[u8]) -> Result<(), ConfigError> {
    if paths.is_machine() { write_shared(path, content) } else { write_private(path, content) }
}

/// Replaces a file of the machine's folder: mode 0640, with the folder's group. The folder must exist.
fn write_shared(path: &Path, content: &[u8]) -> Result<(), ConfigError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let group = fs::metadata(folder).map_err(|error| ConfigError::io("write", path, error))?.gid();
    replace_as(path, content, |file| {
        // The group comes before the permission for it.
        fchown(&*file, None, Some(Gid::from_raw(group)))?;
        file.set_permissions(fs::Permissions::from_mode(SHARED_MODE))
    })
}

const SHARED_MODE: u32 = 0o640;

/// Makes the machine's folder, or lets this group into it: its members may read what lies there, and nobody else.
/// Without a group, an existing folder stays as it is.
///
/// # Errors
///
/// When the folder can't be made or given to the group.
pub fn make_shared_folder(folder: &Path, group: Option<Gid>) -> Result<(), ConfigError> {
    let failed = |error| ConfigError::io("make", folder, error);
    if !folder.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed)?;
    }
    let Some(group) = group else { return Ok(()) };
    let opened = File::open(folder).map_err(failed)?;
    fchown(&opened, None, Some(group)).map_err(|errno| failed(errno.into()))?;
    let mode = opened.metadata().map_err(failed)?.mode() & 0o777;
    opened.set_permissions(fs::Permissions::from_mode(mode | 0o050)).map_err(failed)
}

/// As [`write_private`], with the mode (permission bits) given.
///
/// # Errors
///
/// As [`write_private`].
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ConfigError> {
    make_private_folder(path.parent().unwrap_or(Path::new(".")))?;
    // The umask may have taken bits away that the caller wants kept.
    replace_as(path, content, |file| file.set_permissions(fs::Permissions::from_mode(mode)))
}

fn replace_as(
    path: &Path,
    content: &[u8],
    give_away: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), ConfigError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, content, give_away).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(ConfigError::io("write", path, error));
    }
    // Without this the rename itself may be lost in a power failure; some file systems refuse to sync folders.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", Uuid::new_v4().simple()));
    path.with_file_name(name)
}

fn write_new(path: &Path, content: &[u8], give_away: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    give_away(&mut file)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a file of ours; `None` if there is none. Such files decide which server is believed, so nobody else may be
/// able to change them.
///
/// # Errors
///
/// When it can't be read, is larger than 64 MiB, or another user could have changed it.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(mut file) = open_shared(path, 0o022)? else { return Ok(None) };
    let mut content = Vec::new();
    read_limited(&mut file, &mut content, path)?;
    Ok(Some(content))
}

/// Reads a file of another program, whoever may change it; `None` if there is none.
///
/// # Errors
///
/// When it can't be read or is larger than 64 MiB.
pub fn read_foreign(path: &Path) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let mut content = Vec::new();
    read_limited(&mut file, &mut content, path)?;
    Ok(Some(content))
}

/// Reads a file of ours as text; `None` if there is none.
///
/// # Errors
///
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path) -> Result<Option<String>, ConfigError> {
    match read(path)? {
        None => Ok(None),
        Some(content) => {
            String::from_utf8(content).map(Some).map_err(|_| ConfigError::invalid(path, "is not UTF-8 text"))
        }
    }
}

/// Reads a file that holds a secret; `None` if there is none.
///
/// # Errors
///
/// As [`read`], and when others may read it or it belongs to another user.
pub fn read_secret(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    // Asked of the open file, so that no other can be put in its place in between.
    let facts = file.metadata().map_err(|error| ConfigError::io("read", path, error))?;
    let mode = facts.mode() & 0o777;
    if facts.uid() != Uid::effective().as_raw() {
        return Err(ConfigError::ForeignOwner { path: path.to_owned(), owner: facts.uid() });
    }
    if mode & 0o077 != 0 {
        return Err(ConfigError::Exposed { path: path.to_owned(), mode });
    }
    safe_path::check(path)?;
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(facts.len().min(MAX_FILE)).unwrap_or(0) + 1));
    read_limited(&mut file, &mut content, path)?;
    Ok(Some(content))
}

/// Reads a file of the machine's folder that holds a secret for its group; `None` if there is none.
///
/// # Errors
///
/// As [`read`], and when another than root (or this user) could have written it, or everybody may read it.
pub fn read_shared_secret(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
    let Some(mut file) = open_shared(path, 0o027)? else { return Ok(None) };
    let mut content = Zeroizing::new(Vec::with_capacity(4096));
    read_limited(&mut file, &mut content, path)?;
    Ok(Some(content))
}

/// Opens a file that somebody else may have written for us, unless one of the permission bits `refused` is set.
fn open_shared(path: &Path, refused: u32) -> Result<Option<File>, ConfigError> {
    let Some(file) = open(path)? else { return Ok(None) };
    // Asked of the open file, so that no other can be put in its place in between.
    let facts = file.metadata().map_err(|error| ConfigError::io("read", path, error))?;
    if facts.uid() != 0 && facts.uid() != Uid::effective().as_raw() {
        return Err(ConfigError::ForeignOwner { path: path.to_owned(), owner: facts.uid() });
    }
    let mode = facts.mode() & 0o777;
    if mode & refused != 0 {
        let path = path.to_owned();
        let is_secret = refused & 0o004 != 0;
        return Err(if is_secret { ConfigError::TooOpen { path, mode } } else { ConfigError::Writable { path, mode } });
    }
    safe_path::check(path)?;
    Ok(Some(file))
}

/// Removes a file; that it was not there is no error. Says whether it was.
///
/// # Errors
///
/// When it is there and can't be removed.
pub fn remove(path: &Path) -> Result<bool, ConfigError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ConfigError::io("remove", path, error)),
    }
}

/// Held while a file is changed; let go when dropped or when the process ends.
#[derive(Debug)]
pub struct FileLock {
    _lock: Flock<File>,
}

impl FileLock {
    /// Takes the lock of this file, which is made if missing and stays. `None` if another process has it and `wait` is
    /// false.
    ///
    /// # Errors
    ///
    /// When the file can't be made or locked.
    pub fn take(path: &Path, wait: bool) -> Result<Option<Self>, ConfigError> {
        if let Some(folder) = path.parent() {
            make_private_folder(folder)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| ConfigError::io("lock", path, error))?;
        let how = if wait { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
        match Flock::lock(file, how) {
            Ok(lock) => Ok(Some(Self { _lock: lock })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(ConfigError::io("lock", path, errno.into())),
        }
    }
}

fn open(path: &Path) -> Result<Option<File>, ConfigError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::io("read", path, error)),
    }
}

fn read_limited(file: &mut File, content: &mut Vec<u8>, path: &Path) -> Result<(), ConfigError> {
    file.take(MAX_FILE + 1).read_to_end(content).map_err(|error| ConfigError::io("read", path, error))?;
    if content.len() as u64 > MAX_FILE {
        return Err(ConfigError::invalid(path, "is larger than 64 MiB"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_is_ours_alone_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/grant");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(read_secret(&path).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_and_the_error_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grant");
        for mode in [0o640, 0o604, 0o666, 0o620] {
            replace(&path, b"secret", mode).unwrap();
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, ConfigError::Exposed { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn file_that_others_can_change_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        for mode in [0o620, 0o602, 0o666] {
            replace(&path, b"server", mode).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains(&format!("chmod go-w {}", path.display())), "{error}");
            assert_eq!(read_foreign(&path).unwrap().unwrap(), b"server");
        }
        replace(&path, b"server", 0o644).unwrap();
        assert!(read(&path).unwrap().is_some());
    }

    #[test]
    fn a_file_in_a_folder_that_others_can_change_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (middle, path) = (folder.path().join("middle"), folder.path().join("middle/inner/config.toml"));
        write_private(&path, b"server").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&middle, &link).unwrap();
        fs::set_permissions(&middle, fs::Permissions::from_mode(0o777)).unwrap();
        for path in [&path, &link.join("inner/config.toml")] {
            let error = read(path).unwrap_err().to_string();
            assert!(error.contains("chmod go-w") && error.contains("middle"), "{error}");
            assert!(read_secret(path).is_err());
        }
        // As /tmp: nobody can replace what others have put there.
        fs::set_permissions(&middle, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(read(&path).unwrap().is_some());
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        assert!(read(&path).unwrap().is_none());
        assert!(read_secret(&path).unwrap().is_none());
        assert!(!remove(&path).unwrap());
    }

    #[test]
    fn a_lock_has_one_holder_and_is_let_go_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grant.lock");
        let held = FileLock::take(&path, false).unwrap().unwrap();
        assert!(FileLock::take(&path, false).unwrap().is_none());
        drop(held);
        assert!(FileLock::take(&path, false).unwrap().is_some());
    }
}
