//! Finding the two folders, with or without an environment.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};

use super::{Config, ConfigError, GrantStore, pointer};
use crate::os::{self, Place};

/// Where the configuration and the state of this user lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    config_folder: PathBuf,
    state_folder: PathBuf,
    machine_folder: PathBuf,
}

impl Paths {
    /// As `sealcard-scdaemon` looks for them: what `sealcard.conf` in the GnuPG home says, then
    /// `SEALCARD_CONFIG_FOLDER` and `SEALCARD_STATE_FOLDER`, then where this system's programs keep such files (on
    /// Linux the XDG variables, on macOS the Library), in the home folder of the user database if no variable names
    /// one. `homedir` is the GnuPG home if gpg-agent named one.
    ///
    /// # Errors
    ///
    /// When a path is relative, `sealcard.conf` can't be read, or there is no home folder.
    pub fn discover(homedir: Option<&Path>) -> Result<Self, ConfigError> {
        let gnupg_home = match homedir {
            Some(folder) => folder.to_owned(),
            None => gnupg_home()?,
        };
        match pointer::read(&gnupg_home)? {
            Some(paths) => Ok(paths),
            None => Self::from_environment(),
        }
    }

    /// As the `sealcard` command looks for them: `SEALCARD_CONFIG_FOLDER` and `SEALCARD_STATE_FOLDER` come first,
    /// because a person who sets them means them. Otherwise as [`Self::discover`], so that both see the same.
    ///
    /// # Errors
    ///
    /// As [`Self::discover`].
    pub fn for_person() -> Result<Self, ConfigError> {
        if variable(CONFIG_VARIABLE).is_some() || variable(STATE_VARIABLE).is_some() {
            return Self::from_environment();
        }
        Self::discover(None)
    }

    /// From variables and the user database alone.
    ///
    /// # Errors
    ///
    /// When a path is relative or there is no home folder.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Ok(Self {
            config_folder: folder(CONFIG_VARIABLE, os::CONFIG_PLACE)?,
            state_folder: folder(STATE_VARIABLE, os::STATE_PLACE)?,
            machine_folder: machine_folder()?,
        })
    }

    /// These two folders.
    ///
    /// # Errors
    ///
    /// When one is relative.
    pub fn new(config_folder: PathBuf, state_folder: PathBuf) -> Result<Self, ConfigError> {
        Ok(Self {
            config_folder: absolute("the configuration folder", config_folder)?,
            state_folder: absolute("the state folder", state_folder)?,
            machine_folder: machine_folder()?,
        })
    }

    /// The same, with another folder for the machine's login.
    ///
    /// # Errors
    ///
    /// When it is relative.
    pub fn with_machine_folder(self, folder: PathBuf) -> Result<Self, ConfigError> {
        Ok(Self { machine_folder: absolute("the machine's folder", folder)?, ..self })
    }

    /// The login of the whole machine, with this user's own state.
    #[must_use]
    pub fn of_machine(&self) -> Self {
        Self { config_folder: self.machine_folder.clone(), ..self.clone() }
    }

    /// Whether the configuration is that of the whole machine.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.config_folder == self.machine_folder
    }

    /// The login that counts: the user's own, else the machine's if there is one that this user may read.
    #[must_use]
    pub fn in_use(&self) -> Self {
        if self.has_own_login() {
            return self.clone();
        }
        let machine = self.of_machine();
        // A machine without one, or one that this user is not meant to use.
        let readable = machine.config_file().exists() && std::fs::File::open(machine.grant_file()).is_ok();
        if readable { machine } else { self.clone() }
    }

    /// A configuration that can't be read counts too: the user is to hear of it.
    fn has_own_login(&self) -> bool {
        match Config::load(self) {
            Ok(None) => false,
            Ok(Some(config)) => match config.grant_store {
                GrantStore::Nowhere => false,
                GrantStore::File => self.grant_file().exists(),
                GrantStore::Keyring | GrantStore::Machine => true,
            },
            Err(_) => true,
        }
    }

    /// The folder of the machine's login.
    #[must_use]
    pub fn machine_folder(&self) -> &Path {
        &self.machine_folder
    }

    /// The folder of the configuration.
    #[must_use]
    pub fn config_folder(&self) -> &Path {
        &self.config_folder
    }

    /// The folder of the state.
    #[must_use]
    pub fn state_folder(&self) -> &Path {
        &self.state_folder
    }

    /// `config.toml`.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.config_folder.join("config.toml")
    }

    /// The grant, where no keyring holds it.
    #[must_use]
    pub fn grant_file(&self) -> PathBuf {
        self.config_folder.join("grant")
    }

    /// Locked by whoever renews the grant.
    #[must_use]
    pub fn grant_lock_file(&self) -> PathBuf {
        self.config_folder.join("grant.lock")
    }

    /// The CA that `login --ca-file` was given.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.config_folder.join("ca.pem")
    }

    /// The HTTP proxy on the way to the server.
    #[must_use]
    pub fn proxy_file(&self) -> PathBuf {
        self.config_folder.join("proxy.toml")
    }

    /// Which keys are offered to ssh.
    #[must_use]
    pub fn ssh_file(&self) -> PathBuf {
        self.config_folder.join("ssh.toml")
    }

    /// The cache of the cards' public facts.
    #[must_use]
    pub fn cards_file(&self) -> PathBuf {
        self.state_folder.join("cards.json")
    }

    /// Every card ever seen, so that a serial number that stands for two keys is noticed.
    #[must_use]
    pub fn known_cards_file(&self) -> PathBuf {
        self.state_folder.join("known-cards.json")
    }

    /// The newest checkpoint of each server's record that was seen.
    #[must_use]
    pub fn known_log_file(&self) -> PathBuf {
        self.state_folder.join("known-logs.json")
    }

    /// The signers that secrets may be encrypted to.
    #[must_use]
    pub fn known_signers_file(&self) -> PathBuf {
        self.config_folder.join("known-signers.json")
    }

    /// The keys that the person said are theirs.
    #[must_use]
    pub fn trusted_keys_file(&self) -> PathBuf {
        self.config_folder.join("trusted-keys.json")
    }

    /// What `setup --git` changed in git's files.
    #[must_use]
    pub fn git_file(&self) -> PathBuf {
        self.state_folder.join("git.json")
    }

    /// The justification that `sealcard justify` stored.
    #[must_use]
    pub fn justification_file(&self) -> PathBuf {
        self.state_folder.join("justification.json")
    }

    /// Notes of uses that wait for people, a file for each.
    #[must_use]
    pub fn waiting_folder(&self) -> PathBuf {
        self.state_folder.join("waiting")
    }

    /// Signatures of files that an earlier command asked for, a file for each.
    #[must_use]
    pub fn attempts_folder(&self) -> PathBuf {
        self.state_folder.join("attempts")
    }

    /// What the last operation came to.
    #[must_use]
    pub fn last_file(&self) -> PathBuf {
        self.state_folder.join("last.json")
    }

    /// What the scdaemon and the command do, while `sealcard trace` is on.
    #[must_use]
    pub fn trace_file(&self) -> PathBuf {
        self.state_folder.join("trace.log")
    }

    /// Is there while `sealcard trace` is on.
    #[must_use]
    pub fn trace_switch(&self) -> PathBuf {
        self.state_folder.join("trace.on")
    }

    /// The scdaemon's log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.state_folder.join("scdaemon.log")
    }

    /// Locked by a sync and what takes it back.
    #[must_use]
    pub fn sync_lock_file(&self) -> PathBuf {
        self.state_folder.join("sync.lock")
    }

    /// Every file and folder that this release makes in the two folders. Those of the machine's login are not among them.
    #[must_use]
    pub fn own_files(&self) -> Vec<PathBuf> {
        vec![
            self.config_file(),
            self.grant_file(),
            self.grant_lock_file(),
            self.ca_file(),
            self.proxy_file(),
            self.ssh_file(),
            self.known_signers_file(),
            self.trusted_keys_file(),
            self.git_file(),
            self.cards_file(),
            self.known_cards_file(),
            self.known_log_file(),
            self.justification_file(),
            self.waiting_folder(),
            self.attempts_folder(),
            self.last_file(),
            self.trace_file(),
            older(self.trace_file()),
            self.trace_switch(),
            self.log_file(),
            older(self.log_file()),
            self.sync_lock_file(),
        ]
    }
}

/// Where a log goes that became too long.
fn older(mut path: PathBuf) -> PathBuf {
    path.as_mut_os_string().push(".1");
    path
}

const CONFIG_VARIABLE: &str = "SEALCARD_CONFIG_FOLDER";
const STATE_VARIABLE: &str = "SEALCARD_STATE_FOLDER";
const MACHINE_VARIABLE: &str = "SEALCARD_MACHINE_FOLDER";

/// The GnuPG home: `GNUPGHOME`, else `.gnupg` in the home folder.
///
/// # Errors
///
/// When there is no home folder.
pub fn gnupg_home() -> Result<PathBuf, ConfigError> {
    match variable("GNUPGHOME") {
        // gpg takes a relative one as relative to the working folder; here it must survive a change of that folder.
        Some(folder) => {
            std::path::absolute(&folder).map_err(|error| ConfigError::io("find", PathBuf::from(folder), error))
        }
        None => Ok(home()?.join(".gnupg")),
    }
}

/// The home folder: `HOME`, else what the user database says.
///
/// # Errors
///
/// When neither names one.
pub fn home() -> Result<PathBuf, ConfigError> {
    if let Some(home) = variable("HOME") {
        return absolute("HOME", home.into());
    }
    let uid = Uid::effective();
    let user = User::from_uid(uid).ok().flatten().ok_or(ConfigError::NoHome { uid: uid.as_raw() })?;
    absolute("the user database's home folder", user.dir)
}

/// Where this system keeps it, unless `SEALCARD_MACHINE_FOLDER` says otherwise.
fn machine_folder() -> Result<PathBuf, ConfigError> {
    match variable(MACHINE_VARIABLE) {
        Some(folder) => absolute(MACHINE_VARIABLE, folder.into()),
        None => Ok(os::MACHINE_FOLDER.into()),
    }
}

fn folder(variable_name: &str, place: Place) -> Result<PathBuf, ConfigError> {
    if let Some(folder) = variable(variable_name) {
        return absolute(variable_name, folder.into());
    }
    // The XDG base directory specification: relative paths are to be ignored.
    let base = place.base_variable.and_then(variable).map(PathBuf::from).filter(|base| base.is_absolute());
    let base = match base {
        Some(base) => base,
        None => home()?.join(place.base),
    };
    Ok(base.join(place.name))
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn absolute(what: &str, path: PathBuf) -> Result<PathBuf, ConfigError> {
    if path.is_absolute() { Ok(path) } else { Err(ConfigError::Relative { what: what.to_owned(), path }) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_in_the_gnupg_home_comes_before_any_variable() {
        let gnupg_home = tempfile::tempdir().unwrap();
        let paths = Paths::new("/c".into(), "/s".into()).unwrap();
        pointer::write(gnupg_home.path(), &paths).unwrap();
        assert_eq!(Paths::discover(Some(gnupg_home.path())).unwrap(), paths);
    }

    /// A file with an accessor here that the list lacks would stay after `sealcard reset`.
    #[test]
    fn every_file_is_in_the_list_of_own_files() {
        let paths = Paths::new("/c".into(), "/s".into()).unwrap();
        let files = paths.own_files();
        let (code, _) = include_str!("paths.rs").split_once("#[cfg(test)]").unwrap();
        let mut found = 0;
        for (folder, pattern) in [("/c", "self.config_folder.join(\""), ("/s", "self.state_folder.join(\"")] {
            for rest in code.split(pattern).skip(1) {
                let (name, _) = rest.split_once('"').unwrap();
                assert!(files.contains(&Path::new(folder).join(name)), "{name}");
                found += 1;
            }
        }
        assert!(found > 10);
    }

    #[test]
    fn relative_folders_are_refused() {
        let error = Paths::new("config".into(), "/s".into()).unwrap_err();
        assert!(error.to_string().contains("absolute"), "{error}");
    }
}
