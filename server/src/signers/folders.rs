//! The folders below `signer/`: each is an environment of this server.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealcard_api::{admin::EnvironmentKind, rules::Name};
use serde::{Deserialize, Serialize};

/// The file that makes a folder a sealed store.
const SEAL_FILE: &str = "seal.json";

/// The file that makes a folder a token's.
const TOKEN_FILE: &str = "token.toml";

/// The file that says that the signer is somebody else's process, with a folder of its own.
pub(crate) const SOCKET_FILE: &str = "socket.toml";

/// An environment that has a folder here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name, which is the folder's.
    pub name: String,
    /// What its keys lie in.
    pub kind: EnvironmentKind,
    /// How its signer is reached.
    pub place: Place,
}

/// How a signer is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The server starts it: this folder is the signer's own.
    Here(PathBuf),
    /// It listens on this socket, as a user of its own.
    Socket(PathBuf),
}

/// The content of `socket.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SocketFile {
    /// What the signer listens on.
    pub(crate) socket: PathBuf,
    /// What the keys lie in.
    pub(crate) kind: EnvironmentKind,
}

/// The environments that have a folder here, in the order of their names. What else lies there is left alone.
///
/// # Errors
/// If the folder, or the description of a socket in it, can't be read.
pub fn discover(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A folder that is being made has a name that none may have.
        if Name::check(&name).is_err() || !entry.file_type()?.is_dir() {
            continue;
        }
        if let Err(error) = fs::read_dir(entry.path()) {
            tracing::error!(environment = name, folder = %entry.path().display(), %error,
                "this environment's folder can't be read: it belongs to the user that the server runs as");
            continue;
        }
        let has = |file| entry.path().join(file).is_file();
        let (kind, place) = if has(SOCKET_FILE) {
            let SocketFile { socket, kind } = read_socket_file(&entry.path().join(SOCKET_FILE))?;
            (kind, Place::Socket(socket))
        } else if has(TOKEN_FILE) {
            (EnvironmentKind::Pkcs11, Place::Here(entry.path()))
        } else if has(SEAL_FILE) {
            (EnvironmentKind::Sealed, Place::Here(entry.path()))
        } else {
            continue;
        };
        found.push(Found { name, kind, place });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn read_socket_file(path: &Path) -> io::Result<SocketFile> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()));
    let file: SocketFile = toml::from_str(&fs::read_to_string(path)?).map_err(|error| invalid(error.to_string()))?;
    if file.socket.is_absolute() { Ok(file) } else { Err(invalid("the socket's path must be absolute".to_owned())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_its_files_make_it_and_half_made_ones_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let socket = "socket = \"/run/signer/release\"\nkind = \"pkcs11\"";
        for (name, file, content) in [
            ("default", SEAL_FILE, ""),
            ("hsm", TOKEN_FILE, ""),
            (".new.hsm2", TOKEN_FILE, ""),
            ("release", SOCKET_FILE, socket),
            ("empty", "journal", ""),
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(file), content).unwrap();
        }
        fs::write(folder.path().join("file"), "").unwrap();
        let here = |name| Place::Here(folder.path().join(name));
        let expected = [
            ("default", EnvironmentKind::Sealed, here("default")),
            ("hsm", EnvironmentKind::Pkcs11, here("hsm")),
            ("release", EnvironmentKind::Pkcs11, Place::Socket("/run/signer/release".into())),
        ];
        let expected = expected.map(|(name, kind, place)| Found { name: name.to_owned(), kind, place });
        assert_eq!(discover(folder.path()).unwrap(), expected);
    }

    #[test]
    fn a_description_of_a_socket_that_makes_no_sense_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("release")).unwrap();
        for content in ["", "socket = 7", "socket = \"relative\"\nkind = \"sealed\"", "kind = \"sealed\""] {
            fs::write(folder.path().join("release").join(SOCKET_FILE), content).unwrap();
            let error = discover(folder.path()).unwrap_err();
            assert!(error.to_string().contains("release/socket.toml"), "{error}");
        }
    }
}
