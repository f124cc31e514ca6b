//! The daemon's own socket, for the second and every further parallel client.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

use nix::unistd::Uid;
use tokio::net::{UnixListener, UnixStream};

use crate::{
    config::{self, Paths},
    os,
};

/// The name that gpg's own scdaemon uses.
const NAME: &str = "S.scdaemon";

/// A listening socket, removed when dropped.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Listens in the first folder of `folders` where that is possible.
    ///
    /// # Errors
    /// The error of the last folder, if none works.
    pub fn bind(folders: &[PathBuf]) -> io::Result<Self> {
        let mut result = Err(io::ErrorKind::NotFound.into());
        for folder in folders {
            result = Self::bind_in(folder);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn bind_in(folder: &Path) -> io::Result<Self> {
        let own_name = format!("{NAME}.{}", std::process::id());
        let usual = folder.join(NAME);
        let own = folder.join(&own_name);
        if own.as_os_str().as_bytes().len() > os::MAX_SOCKET_PATH {
            return Err(io::Error::other("the path of the socket would be too long"));
        }
        // A file of this process id can only be a dead process's.
        remove_socket(&own)?;
        let listener = UnixListener::bind(&own)?;
        let renamed = fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).and_then(|()| {
            if is_alive(&usual) {
                return Ok(own.clone());
            }
            // Takes the place of a dead socket without a moment in which there is none; never that of another file.
            if usual.symlink_metadata().is_ok_and(|facts| !facts.file_type().is_socket()) {
                return Ok(own.clone());
            }
            fs::rename(&own, &usual).map(|()| usual)
        });
        match renamed.and_then(|path| Ok((fs::symlink_metadata(&path)?.ino(), path))) {
            Ok((inode, path)) => Ok(Self { listener, path, inode }),
            Err(error) => {
                let _ = fs::remove_file(&own);
                Err(error)
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for a client of the same user; others are turned away without a word. Gives its process id too.
    ///
    /// # Errors
    /// If no client can be taken at the moment, such as for want of file descriptors. Retrying later helps.
    pub async fn accept(&self) -> io::Result<(UnixStream, Option<i32>)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if let Ok(peer) = stream.peer_cred()
                && peer.uid() == Uid::effective().as_raw()
            {
                return Ok((stream, peer.pid()));
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A successor may have put its own socket there already.
        if fs::symlink_metadata(&self.path).is_ok_and(|facts| facts.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where gpg-agent's scdaemon has its socket: gpg's socket folder if there is one, the GnuPG home, our own state
/// folder.
#[must_use]
pub fn socket_candidates(homedir: Option<&Path>, paths: Option<&Paths>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let home = homedir.map(Path::to_owned).or_else(|| config::gnupg_home().ok());
    if let Some(home) = home {
        let is_default = config::home().is_ok_and(|user| user.join(".gnupg") == home);
        let base = os::gnupg_socket_folder();
        folders.extend(base.map(|base| if is_default { base } else { base.join(socket_folder_name(&home)) }));
        folders.push(home);
    }
    folders.extend(paths.map(|paths| paths.state_folder().to_owned()));
    folders.retain(|folder| folder.is_absolute());
    folders
}

/// `d.` and 24 characters: how GnuPG names the socket folder of another home (`common/homedir.c`): the first 120 bits
/// of the path's SHA-1 in z-base-32.
fn socket_folder_name(home: &Path) -> String {
    const ALPHABET: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, home.as_os_str().as_bytes());
    let mut name = "d.".to_owned();
    for chunk in digest.as_ref().get(..15).unwrap_or_default().chunks_exact(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for shift in (0..40).step_by(5).rev() {
            let index = usize::try_from(bits >> shift & 31).unwrap_or_default();
            name.extend(ALPHABET.get(index).map(|byte| char::from(*byte)));
        }
    }
    name
}

fn is_alive(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with_runtime<T>(test: impl FnOnce() -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        test()
    }

    #[test]
    fn the_socket_is_private_and_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        with_runtime(|| {
            let listener = Listener::bind(&["/nonexistent".into(), folder.path().to_owned()]).unwrap();
            assert_eq!(listener.path(), folder.path().join(NAME));
            assert_eq!(fs::metadata(listener.path()).unwrap().permissions().mode() & 0o777, 0o600);
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join(NAME);
        // std leaves the file behind when the listener is closed.
        drop(std::os::unix::net::UnixListener::bind(&usual).unwrap());
        with_runtime(|| {
            let first = Listener::bind(&[folder.path().to_owned()]).unwrap();
            assert_eq!(first.path(), usual);
            let second = Listener::bind(&[folder.path().to_owned()]).unwrap();
            assert_ne!(second.path(), usual);
            drop(second);
            assert!(is_alive(&usual));
        });
    }

    #[test]
    fn a_socket_that_a_successor_replaced_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        with_runtime(|| {
            let listener = Listener::bind(&[folder.path().to_owned()]).unwrap();
            let path = listener.path().to_owned();
            fs::remove_file(&path).unwrap();
            fs::write(folder.path().join("keeps the inode number in use"), "").unwrap();
            fs::write(&path, "the successor's").unwrap();
            drop(listener);
            assert!(path.exists());
        });
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(100));
        fs::create_dir(&deep).unwrap();
        with_runtime(|| assert!(Listener::bind(&[deep]).is_err()));
    }
}
