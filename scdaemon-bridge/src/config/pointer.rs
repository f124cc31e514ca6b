//! `sealcard.conf` in the GnuPG home: tells a scdaemon that was started with an empty environment where to look.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ConfigError, Paths, files};
use crate::os;

/// The file's name in the GnuPG home.
pub const FILE_NAME: &str = "sealcard.conf";

const HEADER: &str = "# Written by `sealcard setup`; `sealcard setup --remove` removes it.\n";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Pointer {
    config_folder: PathBuf,
    state_folder: PathBuf,
    /// Only where it is another than this system's usual one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    machine_folder: Option<PathBuf>,
}

/// What the pointer in this GnuPG home says; `None` if there is none.
///
/// # Errors
///
/// When it can't be read, is not what [`write()`] writes, or names a relative path.
pub fn read(gnupg_home: &Path) -> Result<Option<Paths>, ConfigError> {
    let path = gnupg_home.join(FILE_NAME);
    let Some(text) = files::read_text(&path)? else { return Ok(None) };
    parse(&text).map(Some).map_err(|reason| ConfigError::invalid(path, reason))
}

/// Reads the file's text.
///
/// # Errors
///
/// What is wrong with it, with the line.
pub fn parse(text: &str) -> Result<Paths, String> {
    let pointer: Pointer = toml::from_str(text).map_err(|error| error.to_string())?;
    let paths = Paths::new(pointer.config_folder, pointer.state_folder);
    match pointer.machine_folder {
        Some(folder) => paths.and_then(|paths| paths.with_machine_folder(folder)),
        None => paths,
    }
    .map_err(|error| error.to_string())
}

/// The file's text. Folders whose names are not UTF-8 can't be written.
///
/// # Errors
///
/// When a folder's name is not UTF-8.
pub fn render(paths: &Paths) -> Result<String, String> {
    let machine = paths.machine_folder();
    let pointer = Pointer {
        config_folder: paths.config_folder().to_owned(),
        state_folder: paths.state_folder().to_owned(),
        machine_folder: (machine != Path::new(os::MACHINE_FOLDER)).then(|| machine.to_owned()),
    };
    let body = toml::to_string(&pointer).map_err(|error| error.to_string())?;
    Ok(format!("{HEADER}{body}"))
}

/// Writes the pointer. Says whether that changed anything.
///
/// # Errors
///
/// When it can't be written.
pub fn write(gnupg_home: &Path, paths: &Paths) -> Result<bool, ConfigError> {
    let path = gnupg_home.join(FILE_NAME);
    let text = render(paths).map_err(|reason| ConfigError::invalid(&path, reason))?;
    if files::read(&path)?.as_deref() == Some(text.as_bytes()) {
        return Ok(false);
    }
    files::write_private(&path, text.as_bytes())?;
    Ok(true)
}

/// Removes the pointer. Says whether there was one.
///
/// # Errors
///
/// When it can't be removed.
pub fn remove(gnupg_home: &Path) -> Result<bool, ConfigError> {
    files::remove(&gnupg_home.join(FILE_NAME))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn writing_twice_changes_nothing_the_second_time() {
        let home = tempfile::tempdir().unwrap();
        let paths = Paths::new("/c".into(), "/s".into()).unwrap();
        assert!(write(home.path(), &paths).unwrap());
        assert!(!write(home.path(), &paths).unwrap());
        assert!(remove(home.path()).unwrap());
        assert_eq!(read(home.path()).unwrap(), None);
    }

    #[test]
    fn an_error_names_the_line() {
        let error = parse("config-folder = \"/c\"\nstate-folder = \"/s\"\ncolour = 1\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("colour"), "{error}");
    }

    proptest! {
        #[test]
        fn any_folders_survive(config in "/\\PC*", state in "/\\PC*") {
            let paths = Paths::new(config.into(), state.into()).unwrap();
            prop_assert_eq!(parse(&render(&paths).unwrap()).unwrap(), paths);
        }

        #[test]
        fn any_text_is_an_error_or_absolute_paths(text: String) {
            if let Ok(paths) = parse(&text) {
                prop_assert!(paths.config_folder().is_absolute() && paths.state_folder().is_absolute());
            }
        }
    }
}
