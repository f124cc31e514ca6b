//! Making a backup.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
};
use sealcard_api::{Timestamp, ids::ComponentId};
use sealcard_record::{Event, parse};
use sealcard_signer_protocol::{CHECKPOINT, Certification, JournalEntry};

use super::{
    BackedUp, BackupError, DATABASE, FileEntry, JOURNAL, MANIFEST, Manifest, OWN_FILES, OWN_SIGNERS, RecordHead,
    SIGNER_FILES, SIGNERS, TLS, failed, journal, manifest::is_name,
};
use crate::{files, storage::SqliteCopy};

/// The longest file that is neither a journal nor a database, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// What is backed up.
pub struct Sources<'a> {
    /// The server's data folder, named without links.
    pub data: &'a Path,
    /// The folder with the folders of signers that run as users of their own, if there are any. Without links, too.
    pub own_signers: Option<&'a Path>,
    /// The server's database.
    pub database: BackedUp,
}

/// What was made.
#[derive(Debug)]
pub struct Summary {
    /// What stands in the manifest.
    pub manifest: Manifest,
    /// Files that were seen and are not in the backup: what opens the keys, and what the server does not need.
    pub left_out: Vec<PathBuf>,
}

/// Makes a backup in the new folder `to`, also while the server runs. `note` is told what is done next.
///
/// # Errors
/// See [`BackupError`]. The folder is removed again then.
pub fn make(sources: &Sources<'_>, to: &Path, note: impl Fn(&str)) -> Result<Summary, BackupError> {
    for folder in std::iter::once(sources.data).chain(sources.own_signers) {
        if to.starts_with(folder) {
            return Err(BackupError::Inside(to.to_owned()));
        }
    }
    files::make_folder(to)?;
    let made = Copying { sources, to, files: Vec::new(), left_out: Vec::new() }.run(note);
    if made.is_err() {
        // Half a backup is of no use, and has no manifest.
        let _ = fs::remove_dir_all(to);
    }
    made
}

/// A signer's folder, and how long its journal was before the database was copied.
struct SignerFolder {
    folder: PathBuf,
    /// Its place in the backup.
    place: String,
    journal: Option<(File, u64)>,
}

struct Copying<'a> {
    sources: &'a Sources<'a>,
    to: &'a Path,
    files: Vec<FileEntry>,
    left_out: Vec<PathBuf>,
}

impl Copying<'_> {
    fn run(mut self, note: impl Fn(&str)) -> Result<Summary, BackupError> {
        let created = Timestamp::now();
        let signers = self.signers()?;
        let (mut copy, mut record) = (None, None);
        let data = self.sources.data;
        if self.sources.database == BackedUp::Sqlite {
            let from = data.join(DATABASE);
            let size = fs::metadata(&from).map_err(failed("read", &from))?.len();
            note(&format!("copying the database, {} MiB", size.div_ceil(1 << 20)));
            let database = SqliteCopy::make(&from, &self.to.join(DATABASE))?;
            record =
                database.record_head()?.map(|(sequence, hash)| RecordHead { sequence, hash: HEXLOWER.encode(&hash) });
            copy = Some(database);
            self.hash_database()?;
        }
        note("copying journals and files");
        for signer in signers {
            self.signer(signer, copy.as_ref())?;
        }
        self.own_files()?;
        let manifest = Manifest::new(created, self.sources.database, record, self.files);
        // Last: a folder without it is no backup.
        files::write_new(&self.to.join(MANIFEST), manifest.text().as_bytes())?;
        self.left_out.sort_unstable();
        Ok(Summary { manifest, left_out: self.left_out })
    }

    fn hash_database(&mut self) -> Result<(), BackupError> {
        let path = self.to.join(DATABASE);
        let file = File::open(&path).map_err(failed("read", &path))?;
        let (bytes, sha256) = stream((&path, &file), u64::MAX, |_| Ok(()))?;
        self.files.push(FileEntry { path: DATABASE.to_owned(), bytes, sha256 });
        Ok(())
    }

    /// The signers' folders, with their journals' lengths now.
    fn signers(&self) -> Result<Vec<SignerFolder>, BackupError> {
        let here = (self.sources.data.join(SIGNERS), SIGNERS);
        let own = self.sources.own_signers.map(|folder| (folder.to_owned(), OWN_SIGNERS));
        let mut found = Vec::new();
        for (folder, place) in std::iter::once(here).chain(own) {
            for (name, path) in entries(&folder)? {
                // A name that no environment has is one of a folder that is being made.
                if !is_name(&name) || !is_folder(&path)? {
                    continue;
                }
                let journal = path.join(JOURNAL);
                let journal = match open(&journal)? {
                    Some(file) => {
                        let length = journal::whole_lines(&journal, &file)?;
                        Some((file, length))
                    }
                    None => None,
                };
                found.push(SignerFolder { folder: path, place: format!("{place}/{name}"), journal });
            }
        }
        Ok(found)
    }

    fn signer(&mut self, signer: SignerFolder, copy: Option<&SqliteCopy>) -> Result<(), BackupError> {
        let SignerFolder { folder, place, journal } = signer;
        let path = folder.join(JOURNAL);
        if let Some((file, before)) = journal {
            let end = match copy {
                Some(copy) => journal::cut(&path, &file, before, |entry| is_recorded(copy, entry))?,
                None => journal::whole_lines(&path, &file)?,
            };
            self.copy((&path, &file), &format!("{place}/{JOURNAL}"), end)?;
        }
        for (name, path) in entries(&folder)? {
            if SIGNER_FILES.contains(&name.as_str()) {
                self.copy_file(&path, &format!("{place}/{name}"))?;
            } else if name != JOURNAL && path.is_file() {
                self.left_out.push(path);
            }
        }
        Ok(())
    }

    fn own_files(&mut self) -> Result<(), BackupError> {
        for (name, path) in entries(self.sources.data)? {
            if OWN_FILES.contains(&name.as_str()) {
                self.copy_file(&path, &name)?;
            } else if path.is_file() && !name.starts_with(DATABASE) && name != "sealcard.lock" {
                self.left_out.push(path);
            }
        }
        let tls = self.sources.data.join(TLS);
        if is_folder(&tls)? {
            for (name, path) in entries(&tls)? {
                if is_name(&name) {
                    self.copy_file(&path, &format!("{TLS}/{name}"))?;
                } else {
                    self.left_out.push(path);
                }
            }
        }
        Ok(())
    }

    fn copy_file(&mut self, from: &Path, place: &str) -> Result<(), BackupError> {
        let file = open(from)?.ok_or_else(|| BackupError::NoFile(from.to_owned()))?;
        if file.metadata().map_err(failed("read", from))?.len() > MAX_FILE {
            return Err(BackupError::TooLong(from.to_owned()));
        }
        self.copy((from, &file), place, MAX_FILE)
    }

    /// Copies an open file, but no more than its first bytes, to its place.
    fn copy(&mut self, (from, file): (&Path, &File), place: &str, limit: u64) -> Result<(), BackupError> {
        let to = self.to.join(place);
        for folder in to.ancestors().skip(1).take_while(|folder| *folder != self.to).collect::<Vec<_>>().iter().rev() {
            if !folder.is_dir() {
                files::make_folder(folder)?;
            }
        }
        let mut reader = file;
        reader.seek(SeekFrom::Start(0)).map_err(failed("read", from))?;
        let mut target =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to).map_err(failed("write", &to))?;
        let (bytes, sha256) =
            stream((from, reader), limit, |chunk| target.write_all(chunk).map_err(failed("write", &to)))?;
        target.sync_all().map_err(failed("write", &to))?;
        self.files.push(FileEntry { path: place.to_owned(), bytes, sha256 });
        Ok(())
    }
}

/// Whether the copied record says what a verification expects for this entry.
fn is_recorded(copy: &SqliteCopy, entry: &JournalEntry) -> Result<bool, BackupError> {
    // The record has no entry for each checkpoint.
    if entry.operation == CHECKPOINT {
        return Ok(true);
    }
    let bodies = copy.record_of_request(entry.stated.request)?;
    // What can't be read, the verification names.
    let mut events = bodies.iter().filter_map(|text| parse(text).ok()).map(|body| body.event);
    let has = |components: &[ComponentId]| components.iter().any(|component| component.0 == entry.component);
    Ok(match entry.operation.as_str() {
        Certification::NAME => events.any(|event| match event {
            Event::KeyCertify(one) => has(&[one.component]) && one.input_sha256.0.as_slice() == entry.input_sha256,
            _ => false,
        }),
        "destroy" => events.any(|event| match event {
            Event::KeyDestroyBegun(begun) | Event::KeyDiscardBegun(begun) => has(&begun.components),
            _ => false,
        }),
        "generate" | "import" | "adopt" => events.any(|event| match event {
            Event::KeyBegun(begun) => has(&begun.components),
            Event::LogKeyBegun(begun) => has(&[begun.component]),
            _ => false,
        }),
        _ => events.any(|event| matches!(event, Event::UseIntent(intent) if has(&[intent.component]))),
    })
}

/// Hands the file's first bytes over in pieces. Their number and SHA-256 in the end.
pub(super) fn stream(
    (path, file): (&Path, &File),
    limit: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(u64, String), BackupError> {
    let (mut reader, mut context) = (file.take(limit), Context::new(&SHA256));
    let (mut chunk, mut length) = (vec![0; 1 << 16], 0);
    loop {
        let read = reader.read(&mut chunk).map_err(failed("read", path))?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        context.update(bytes);
        take(bytes)?;
        length += read as u64;
    }
    Ok((length, HEXLOWER.encode(context.finish().as_ref())))
}

/// Opens a regular file. None if there is nothing. No part of the path may be a link, because the folders can belong to
/// a user who may not read what this process can; so the folder they are in has to be given without links.
pub(super) fn open(path: &Path) -> Result<Option<File>, BackupError> {
    // A pipe would keep the process waiting without O_NONBLOCK.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, how).map(File::from) {
        Ok(file) if file.metadata().map_err(failed("read", path))?.is_file() => Ok(Some(file)),
        Ok(_) | Err(Errno::ELOOP) => Err(BackupError::NoFile(path.to_owned())),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(failed("read", path)(errno.into())),
    }
}

/// Whether there is a folder. A link is an error: what it leads to may be somebody else's.
fn is_folder(path: &Path) -> Result<bool, BackupError> {
    match path.symlink_metadata() {
        Ok(file) if file.is_symlink() => Err(BackupError::NoFile(path.to_owned())),
        Ok(file) => Ok(file.is_dir()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// The names in a folder that are UTF-8, sorted.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, BackupError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let entry = entry.map_err(failed("read", folder))?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
