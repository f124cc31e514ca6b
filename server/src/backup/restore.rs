//! Restoring a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{User, chown};

use super::{
    BackedUp, BackupError, DATABASE, FileEntry, MANIFEST, Manifest, OWN_SIGNERS,
    copy::{open, stream},
    failed,
};
use crate::{files, log::NEW_LOG, storage::SqliteCopy};

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
    /// The server's.
    pub server: User,
    /// Those of signers that run as their own users, by environment.
    pub signers: BTreeMap<String, User>,
}

/// The user with this name.
///
/// # Errors
/// If there is none.
pub fn user(name: &str) -> Result<User, BackupError> {
    User::from_name(name).ok().flatten().ok_or_else(|| BackupError::NoUser(name.to_owned()))
}

impl Backup {
    /// Reads a backup, whose folder is named without links, and compares each of its files with the manifest.
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
            entry.expect(stream((&path, &file), entry.bytes.saturating_add(1), |_| Ok(()))?)?;
        }
        if manifest.database == BackedUp::Sqlite {
            SqliteCopy::open(&folder.join(DATABASE))?;
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// The names of the signers that run as users of their own.
    #[must_use]
    pub fn own_signers(&self) -> BTreeSet<&str> {
        let below =
            self.manifest.files.iter().filter_map(|file| file.path.strip_prefix(OWN_SIGNERS)?.strip_prefix('/'));
        below.filter_map(|path| path.split('/').next()).collect()
    }

    /// Puts everything into its place: all of it, or nothing.
    ///
    /// # Errors
    /// If a place is taken or can't be written.
    pub fn restore(&self, targets: &Targets<'_>) -> Result<(), BackupError> {
        let own = self.own_signers().into_iter().map(|name| Move {
            target: targets.own_signers.join(name),
            building: beside(targets.own_signers, name),
            prefix: format!("{OWN_SIGNERS}/{name}/"),
            signer: Some(name.to_owned()),
        });
        // The data folder comes last: without it nothing looks restored.
        let data = Move {
            target: targets.data.to_owned(),
            building: beside(targets.data, "data"),
            prefix: String::new(),
            signer: None,
        };
        let moves: Vec<Move> = own.chain([data]).collect();
        for Move { target, .. } in &moves {
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

    fn make(&self, moves: &[Move], owners: Option<&Owners>, made: &mut Vec<PathBuf>) -> Result<(), BackupError> {
        for Move { building, prefix, signer, .. } in moves {
            if building.symlink_metadata().is_ok() {
                fs::remove_dir_all(building).map_err(failed("remove", building))?;
            }
            files::make_folder(building)?;
            made.push(building.clone());
            for entry in &self.manifest.files {
                let own = entry.path.starts_with(OWN_SIGNERS);
                match entry.path.strip_prefix(prefix.as_str()) {
                    Some(place) if own != prefix.is_empty() => self.copy(entry, &building.join(place), building)?,
                    _ => {}
                }
            }
            if signer.is_none() {
                // The copy is older than what was signed last, so the log can't go on under its name.
                files::write_new(&building.join(NEW_LOG), b"")?;
            }
            if let Some(owners) = owners {
                let own = signer
                    .as_ref()
                    .map(|name| owners.signers.get(name).ok_or_else(|| BackupError::NoUser(name.clone())));
                give(building, own.transpose()?.unwrap_or(&owners.server))?;
            }
        }
        for Move { building, target, .. } in moves {
            // An empty folder is replaced.
            fs::rename(building, target).map_err(failed("make", target))?;
            made.push(target.clone());
            files::sync_entry(target)?;
        }
        Ok(())
    }

    fn copy(&self, entry: &FileEntry, to: &Path, root: &Path) -> Result<(), BackupError> {
        let from = self.folder.join(&entry.path);
        let file = open(&from)?.ok_or_else(|| BackupError::Changed(entry.path.clone()))?;
        let missing: Vec<_> = to.ancestors().skip(1).take_while(|folder| *folder != root).collect();
        for folder in missing.iter().rev().filter(|folder| !folder.is_dir()) {
            files::make_folder(folder)?;
        }
        let mut target =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed("write", to))?;
        let copied = stream((&from, &file), entry.bytes.saturating_add(1), |chunk| {
            target.write_all(chunk).map_err(failed("write", to))
        })?;
        // It was compared before, and may have been changed since.
        entry.expect(copied)?;
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

/// One folder of a restore.
struct Move {
    target: PathBuf,
    /// Where it is made before it gets its name.
    building: PathBuf,
    /// What the paths of its files begin with in the backup.
    prefix: String,
    /// The signer whose folder it is; the data folder has none.
    signer: Option<String>,
}

/// A new name beside a folder. The folder itself may belong to a user who must not reach what is made.
fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{what}.restoring"))
}

impl FileEntry {
    fn expect(&self, (bytes, sha256): (u64, String)) -> Result<(), BackupError> {
        if (bytes, sha256.as_str()) == (self.bytes, self.sha256.as_str()) {
            Ok(())
        } else {
            Err(BackupError::Changed(self.path.clone()))
        }
    }
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
