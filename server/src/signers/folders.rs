//! The signers' folders below `signer/`: each is an environment of this server.

use std::{fs, io, path::Path};

use sealcard_api::admin::EnvironmentKind;

use crate::identity::check_name;

/// The file that makes a folder a sealed store.
const SEAL_FILE: &str = "seal.json";

/// The file that makes a folder a token's.
const TOKEN_FILE: &str = "token.toml";

/// The environments that have a folder here, in the order of their names. What else lies there is left alone.
///
/// # Errors
/// If the folder can't be read.
pub fn discover(folder: &Path) -> io::Result<Vec<(String, EnvironmentKind)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A folder that is being made has a name that none may have.
        if check_name(&name).is_err() || !entry.file_type()?.is_dir() {
            continue;
        }
        let has = |file| entry.path().join(file).is_file();
        match (has(TOKEN_FILE), has(SEAL_FILE)) {
            (true, _) => found.push((name, EnvironmentKind::Pkcs11)),
            (false, true) => found.push((name, EnvironmentKind::Sealed)),
            (false, false) => {}
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_its_files_make_it_and_half_made_ones_are_none() {
        let folder = tempfile::tempdir().unwrap();
        for (name, file) in
            [("default", SEAL_FILE), ("hsm", TOKEN_FILE), (".new.hsm2", TOKEN_FILE), ("empty", "journal")]
        {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(file), "").unwrap();
        }
        fs::write(folder.path().join("file"), "").unwrap();
        let found = discover(folder.path()).unwrap();
        let expected = [("default".to_owned(), EnvironmentKind::Sealed), ("hsm".to_owned(), EnvironmentKind::Pkcs11)];
        assert_eq!(found, expected);
    }
}
