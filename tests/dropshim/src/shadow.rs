//! The shadow folder.

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, OnceLock, PoisonError},
};

/// Notes that what `fd` refers to is durable now.
///
/// If the shadow can't be written the process is aborted: a test must never pass on a shadow that lacks something by
/// mistake.
pub(crate) fn synced(fd: i32) {
    static SHADOW: OnceLock<Option<Mutex<Shadow>>> = OnceLock::new();
    let shadow = SHADOW.get_or_init(|| Shadow::from_environment().map(Mutex::new));
    if let Some(shadow) = shadow {
        let shadow = shadow.lock().unwrap_or_else(PoisonError::into_inner);
        if shadow.synced(fd).is_err() {
            process::abort();
        }
    }
}

struct Shadow {
    folder: PathBuf,
    shadow: PathBuf,
}

impl Shadow {
    fn from_environment() -> Option<Self> {
        let folder = PathBuf::from(env::var_os("DROPSHIM_FOLDER")?).canonicalize().ok()?;
        Some(Self { folder, shadow: PathBuf::from(env::var_os("DROPSHIM_SHADOW")?) })
    }

    fn synced(&self, fd: i32) -> io::Result<()> {
        let descriptor = PathBuf::from(format!("/proc/self/fd/{fd}"));
        let path = fs::read_link(&descriptor)?;
        let Ok(relative) = path.strip_prefix(&self.folder) else {
            return Ok(());
        };
        if fs::metadata(&descriptor)?.is_dir() {
            return self.names(&path, &self.shadow.join(relative));
        }
        let content = self.content(fs::metadata(&descriptor)?.ino());
        copy(&descriptor, &content)?;
        // A file that was deleted or replaced meanwhile has no name to make durable.
        if fs::metadata(&path).is_ok_and(|meta| Some(meta.ino()) == fs::metadata(&descriptor).ok().map(|own| own.ino()))
        {
            copy(&content, &self.shadow.join(relative))?;
        }
        Ok(())
    }

    /// Makes the names in a folder durable, each with the content that its file had when that was synced.
    fn names(&self, folder: &Path, shadow: &Path) -> io::Result<()> {
        fs::create_dir_all(shadow)?;
        for entry in fs::read_dir(shadow)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && !folder.join(entry.file_name()).exists() {
                fs::remove_file(entry.path())?;
            }
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let content = self.content(entry.metadata()?.ino());
            if content.exists() {
                copy(&content, &shadow.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    fn content(&self, inode: u64) -> PathBuf {
        // Beside the shadow, so that it can take the folder's place as it is.
        self.shadow.with_extension("inodes").join(inode.to_string())
    }
}

/// Copies a file so that a kill in between leaves the old copy.
fn copy(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let partial = target.with_file_name(format!(".partial-{}-{name}", process::id()));
    fs::copy(source, &partial)?;
    fs::rename(partial, target)
}
