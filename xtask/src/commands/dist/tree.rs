//! A folder with the files of one package, as they will be installed.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use sealcard_tests::run;

/// The mode of a program, a script or a folder.
pub(super) const EXECUTABLE: u32 = 0o755;
/// The mode of everything else.
pub(super) const DATA: u32 = 0o644;

/// The folder that stands for `/`.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a folder inside, which is made if it is missing.
    pub(super) fn folder(&self, path: &str) -> Result<PathBuf> {
        let folder = self.root.join(path);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(folder)
    }

    pub(super) fn add(&self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.root.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&file, content).with_context(|| format!("writing {}", file.display()))?;
        Ok(fs::set_permissions(&file, Permissions::from_mode(mode))?)
    }

    /// A symbolic link.
    pub(super) fn link(&self, path: &str, target: impl AsRef<Path>) -> Result<()> {
        let link = self.root.join(path);
        if let Some(folder) = link.parent() {
            fs::create_dir_all(folder)?;
        }
        symlink(target, &link).with_context(|| format!("linking {}", link.display()))
    }

    pub(super) fn copy(&self, source: &Path, path: &str, mode: u32) -> Result<()> {
        self.add(path, mode, fs::read(source).with_context(|| format!("reading {}", source.display()))?)
    }

    /// All files, as paths relative to the root, in a fixed order.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        walk(&self.root, &mut |path, is_folder| {
            if !is_folder {
                files.push(path.strip_prefix(&self.root)?.to_owned());
            }
            Ok(())
        })?;
        files.sort();
        Ok(files)
    }

    /// Gives every folder its mode, and every folder and file the same time, so that nothing depends on when or by whom
    /// the tree was made. Only the executable files keep their mode.
    pub(super) fn finish(&self, time: SystemTime) -> Result<()> {
        walk(&self.root, &mut |path, is_folder| {
            if path.is_symlink() {
                return Ok(());
            }
            let executable = is_folder || fs::metadata(path)?.permissions().mode() & 0o111 != 0;
            fs::set_permissions(path, Permissions::from_mode(if executable { EXECUTABLE } else { DATA }))?;
            Ok(File::open(path)?.set_modified(time)?)
        })
    }
}

/// Calls `visit` with everything in a folder, and with the folder last.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, bool) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() { walk(&path, visit)? } else { visit(&path, false)? }
    }
    visit(folder, true)
}

/// Compresses the files in a folder one by one, without the time in their headers.
pub(super) fn gzip(folder: &Path) -> Result<()> {
    run(Command::new("gzip").args(["-9", "--no-name", "--recursive", "--"]).arg(folder), Duration::from_secs(60))?
        .success()?;
    Ok(())
}
