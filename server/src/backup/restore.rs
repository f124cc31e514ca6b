//! Restoring a backup.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{User, chown};

use super::{
    BackedUp, BackupError, DATABASE, MANIFEST, Manifest, OWN_SIGNERS,
    copy::{hash, open, stream},
    failed,
};
use crate::{files, storage::SqliteCopy};

/// A backup whose files are what its manifest says.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
    /// What it has.
    pub manifest: Manifest,
}

/// Where a backup is restored to.
pub struct Targets<'a> {
    /// The data folder: missing or empty.
    pub data: &'a Path,
    /// The folder with the folders of signers that run as users of their own. It must not have those of the backup.
    pub own_signers: &'a Path,
    /// Who gets the files. None: they stay with who restores them.
    pub owners: Option<Owners>,
}

/// The users that server and signers run as.
#[derive(Debug, Clone)]
pub struct Owners {
    server: User,
    signers: User,
}

impl Owners {
    /// The users with these names.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn named(server: &str, signers: &str) -> Result<Self, BackupError> {
        let user =
            |name: &str| User::from_name(name).ok().flatten().ok_or_else(|| BackupError::NoUser(name.to_owned()));
        Ok(Self { server: user(server)?, signers: user(signers)? })
    }
}

impl Backup {
    /// Reads a backup and compares each of its files with the manifest.
    ///
    /// # Errors
    /// If it is not finished or differs from its manifest, or if a newer release made its database.
    pub fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(MANIFEST);
        let Some(file) = open(&path)? else { return Err(BackupError::Unfinished(folder.to_owned())) };
        let mut text = Vec::new();
        // More than any manifest has is refused by the parser.
        file.take(1 << 25).read_to_end(&mut text).map_err(failed("read", &path))?;
        let manifest = Manifest::parse(&text)?;
        for entry in &manifest.files {
            let path = folder.join(&entry.path);
            let file = open(&path)?.ok_or_else(|| BackupError::Changed(entry.path.clone()))?;
            if hash(&path, &file)? != (entry.bytes, entry.sha256.clone()) {
                return Err(BackupError::Changed(entry.path.clone()));
            }
        }
        if manifest.database == BackedUp::Sqlite {
            SqliteCopy::open(&folder.join(DATABASE))?;
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// The names of the signers that run as users of their own.
    #[must_use]
    pub fn own_signers(&self) -> BTreeSet<&str> {
        let paths = self.manifest.files.iter().map(|file| file.path.split('/').collect::<Vec<_>>());
        let paths: Vec<Vec<&str>> = paths.collect();
        let own = paths.iter().filter_map(|parts| match parts.as_slice() {
            [OWN_SIGNERS, name, _] => Some(*name),
            _ => None,
        });
        own.collect()
    }

    /// Puts everything into its place: all of it, or nothing.
    ///
    /// # Errors
    /// If a place is taken or can't be written.
    pub fn restore(&self, targets: &Targets<'_>) -> Result<(), BackupError> {
        let mut moves = vec![(targets.data.to_owned(), String::new())];
        for name in self.own_signers() {
            moves.push((targets.own_signers.join(name), format!("{OWN_SIGNERS}/{name}/")));
        }
        for (target, _) in &moves {
            if !is_free(target)? {
                return Err(BackupError::Exists(target.clone()));
            }
        }
        let mut made = Vec::new();
        let result = self.make(&moves, targets.owners.as_ref(), &mut made);
        if result.is_err() {
            for folder in made {
                let _ = fs::remove_dir_all(folder);
            }
        }
        result
    }

    fn make(
        &self,
        moves: &[(PathBuf, String)],
        owners: Option<&Owners>,
        made: &mut Vec<PathBuf>,
    ) -> Result<(), BackupError> {
        let mut ready = Vec::new();
        for (target, prefix) in moves {
            let building = beside(target);
            if building.exists() {
                fs::remove_dir_all(&building).map_err(failed("remove", &building))?;
            }
            files::make_folder(&building)?;
            made.push(building.clone());
            for entry in &self.manifest.files {
                let own = entry.path.starts_with(OWN_SIGNERS);
                match entry.path.strip_prefix(prefix.as_str()) {
                    Some(place) if own != prefix.is_empty() => {
                        self.copy(&entry.path, &building.join(place), &building)?
                    }
                    _ => {}
                }
            }
            if let Some(owners) = owners {
                give(&building, if prefix.is_empty() { &owners.server } else { &owners.signers })?;
            }
            ready.push((building, target));
        }
        for (building, target) in ready {
            // An empty folder is replaced.
            fs::rename(&building, target).map_err(failed("make", target))?;
            files::sync_entry(target)?;
            made.retain(|folder| *folder != building);
            made.push(target.clone());
        }
        Ok(())
    }

    fn copy(&self, place: &str, to: &Path, root: &Path) -> Result<(), BackupError> {
        let from = self.folder.join(place);
        let file = open(&from)?.ok_or_else(|| BackupError::Changed(place.to_owned()))?;
        let missing: Vec<_> = to.ancestors().skip(1).take_while(|folder| *folder != root).collect();
        for folder in missing.iter().rev().filter(|folder| !folder.is_dir()) {
            files::make_folder(folder)?;
        }
        let mut target =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed("write", to))?;
        stream((&from, &file), u64::MAX, |chunk| target.write_all(chunk).map_err(failed("write", to)))?;
        target.sync_all().map_err(failed("write", to))
    }
}

fn is_free(target: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(target) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(failed("read", target)(error)),
    }
}

/// Where a folder is built before it gets its name.
fn beside(target: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".restoring");
    target.with_file_name(name)
}

/// Gives a folder and all in it to a user.
fn give(path: &Path, user: &User) -> Result<(), BackupError> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(failed("read", path))? {
            give(&entry.map_err(failed("read", path))?.path(), user)?;
        }
    }
    chown(path, Some(user.uid), Some(user.gid)).map_err(|errno| failed("change the owner of", path)(errno.into()))
}
