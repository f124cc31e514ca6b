//! Files and folders of the data folder: 0600 and 0700, durable, never half written.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;
use zeroize::Zeroizing;

/// A file or folder could not be used. Retrying helps once the cause is gone.
#[derive(Debug, Error)]
#[error("can't {action} {}", path.display())]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Names what can't be done with which file.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Makes a folder that only its owner may enter.
///
/// # Errors
/// If it exists or can't be made.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().mode(0o700).create(path).map_err(failed("make the folder", path))
}

/// Writes a file that must not exist, readable by its owner only, and makes it durable.
///
/// # Errors
/// If it exists or can't be written.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.sync_all()?;
        sync_parent(path)
    };
    write().map_err(failed("write", path))
}

/// Puts `content` in the place of a file at once: readers see the old or the new one, whole.
///
/// # Errors
/// If it can't be written.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_new(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path).and_then(|()| sync_parent(path)).map_err(failed("replace", path)));
    if written.is_err() {
        // What is left over of a failed attempt is of no use to anyone.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Reads a file.
///
/// # Errors
/// If it can't be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(failed("read", path))
}

/// Reads a text that must not stay in memory.
///
/// # Errors
/// If it can't be read or is not UTF-8.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let read = || {
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(1 << 20).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(failed("read", path))
}

/// A new or removed name is durable only once its folder is.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Makes the name of a folder's own entry durable.
///
/// # Errors
/// If it can't.
pub(crate) fn sync_entry(path: &Path) -> Result<(), FileError> {
    sync_parent(path).map_err(failed("make durable", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_for_their_owner_and_never_overwritten_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_new(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_new(&path, b"two").is_err());
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }
}
