//! Writing the log into a folder, and adding to it later.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sealcard_transparency::{
    BundleError, Checkpoint, CheckpointError, Hash, Note, NoteError, PartialTiles, Resource, TILE_WIDTH, Tile,
    TreeHead, parse_bundle,
};

use super::{LineError, LogFile, check_line, lines};

/// A folder with the log, to which entries are added.
///
/// Give it the leaves of each tile that [`Export::wanted`] names with [`Export::add`], then publish them with
/// [`Export::finish`]. New files are checked against those in the folder: a log that lost entries, or has others
/// than before, is refused. A file appears whole or not at all, and the checkpoint last: an export that was interrupted
/// is continued by the next one, and readers never see a checkpoint without its files.
#[derive(Debug)]
pub struct Export {
    folder: PathBuf,
    with_entries: bool,
    /// What the folder's checkpoint covers.
    published: TreeHead,
    origin: Option<String>,
    /// With what was added.
    tiles: PartialTiles,
    /// The tile of level 0 that is wanted next.
    next: u64,
    /// Locked as long as this export runs.
    _lock: File,
}

impl Export {
    /// Opens a folder, which is made if it does not exist. `with_entries` writes the entries themselves too, also those
    /// that an earlier export has left out.
    ///
    /// # Errors
    /// If it can't be read or made, another export runs in it, or what it has of the log does not fit together.
    pub fn open(folder: &Path, with_entries: bool) -> Result<Self, ExportError> {
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let lock = File::open(folder).map_err(failed(folder))?;
        lock.try_lock().map_err(|_| ExportError::Busy(folder.to_owned()))?;
        let (published, origin) = match read(&folder.join("checkpoint"))? {
            Some(note) => {
                let note = Note::parse(&note)?;
                let checkpoint = Checkpoint::parse(note.text())?;
                (*checkpoint.tree(), Some(checkpoint.origin().to_owned()))
            }
            None => (TreeHead::EMPTY, None),
        };
        let tiles = PartialTiles::restore(published.size, |tile| {
            let path = folder.join(tile.path());
            let missing = || ExportError::Damaged(format!("{} is missing or damaged", tile.path()));
            read(&path)?.and_then(|bytes| tile.parse(&bytes)).ok_or_else(missing)
        })?;
        if tiles.frontier().map(|frontier| frontier.head()) != Some(published) {
            return Err(ExportError::Damaged("its tiles don't lead to the root of its checkpoint".to_owned()));
        }
        let mut export = Self {
            folder: folder.to_owned(),
            with_entries,
            published,
            origin,
            tiles,
            next: published.size / u64::from(TILE_WIDTH),
            _lock: lock,
        };
        if with_entries {
            export.next = (0..export.next).find(|index| !export.has_entries(*index)).unwrap_or(export.next);
        }
        Ok(export)
    }

    fn has_entries(&self, index: u64) -> bool {
        let full = Tile::new(0, index, TILE_WIDTH);
        full.is_some_and(|tile| self.folder.join(LogFile::Lines(tile).to_string()).is_file())
    }

    /// The name of the log that the folder has. None if it has none yet.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// What the folder's checkpoint covers.
    #[must_use]
    pub const fn published(&self) -> &TreeHead {
        &self.published
    }

    /// Whether a log with this checkpoint may go on where the folder's ends.
    ///
    /// # Errors
    /// If it is another log, or has fewer entries.
    pub fn expect(&self, checkpoint: &Checkpoint) -> Result<(), ExportError> {
        if let Some(origin) = self.origin.as_deref().filter(|origin| *origin != checkpoint.origin()) {
            return Err(ExportError::OtherLog(origin.to_owned()));
        }
        let (has, size) = (self.published.size, checkpoint.tree().size);
        if has > size { Err(ExportError::WentBack { has, size }) } else { Ok(()) }
    }

    /// The tile of level 0 whose leaves are needed next for a log of this size. None if all are there.
    #[must_use]
    pub fn wanted(&self, size: u64) -> Option<Tile> {
        let first = self.next.checked_mul(TILE_WIDTH.into())?;
        let is_there = first >= size || self.tiles.size() >= size && !self.with_entries;
        Tile::in_tree(0, self.next, size).filter(|_| !is_there)
    }

    /// Adds the leaves of the tile that is wanted, and writes what is complete. `entries` are the lines of the entries.
    ///
    /// # Errors
    /// If they are not those of this log, or can't be written.
    pub fn add(&mut self, tile: Tile, bundle: &[u8], entries: Option<&[u8]>) -> Result<(), ExportError> {
        let wrong = |reason: String| ExportError::Wrong(LogFile::leaves(tile).to_string(), reason);
        let leaves = parse_bundle(bundle).map_err(|error: BundleError| wrong(error.to_string()))?;
        if leaves.len() != usize::from(tile.width()) {
            return Err(wrong(format!("it has {} leaves instead of {}", leaves.len(), tile.width())));
        }
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| Hash::leaf(leaf)).collect();
        let first = tile.node(0).index;
        let known = self.known(tile.index())?;
        if !hashes.starts_with(&known) {
            let place = known.iter().zip(&hashes).take_while(|(known, hash)| known == hash).count();
            return Err(ExportError::Rewritten { number: first + place as u64 + 1 });
        }
        if self.with_entries {
            let file = LogFile::Lines(tile);
            let missing = || ExportError::Wrong(file.to_string(), "it is missing".to_owned());
            let entries = entries.ok_or_else(missing)?;
            let wrong = |error: LineError| ExportError::Wrong(file.to_string(), error.to_string());
            let mut count = 0;
            for (line, (number, hash)) in lines(entries).map_err(wrong)?.zip((first + 1..).zip(&hashes)) {
                check_line(line, number, hash)
                    .map_err(|error| ExportError::Wrong(file.to_string(), format!("entry {number}: {error}")))?;
                count += 1;
            }
            if count != hashes.len() || lines(entries).map_err(wrong)?.count() != count {
                return Err(ExportError::Wrong(file.to_string(), "it has another number of lines".to_owned()));
            }
            self.write(file, entries)?;
        }
        for hash in hashes.iter().skip(known.len()) {
            for (full, hashes) in self.tiles.append(*hash) {
                self.write(LogFile::tile(full), &full.encode(&hashes).unwrap_or_default())?;
            }
        }
        if known.len() < hashes.len() {
            self.write(LogFile::leaves(tile), bundle)?;
        }
        self.next += 1;
        Ok(())
    }

    /// The hashes of the tile at this place of level 0 that are known already.
    fn known(&self, index: u64) -> Result<Vec<Hash>, ExportError> {
        if index < self.tiles.size() / u64::from(TILE_WIDTH) {
            let Some(tile) = Tile::new(0, index, TILE_WIDTH) else { return Ok(Vec::new()) };
            let bytes = read(&self.folder.join(tile.path()))?;
            let damaged = || ExportError::Damaged(format!("{} is missing or damaged", tile.path()));
            return bytes.and_then(|bytes| tile.parse(&bytes)).ok_or_else(damaged);
        }
        let partial = self.tiles.partial().find(|(tile, _)| tile.level() == 0);
        Ok(partial.map(|(_, hashes)| hashes.to_vec()).unwrap_or_default())
    }

    /// Publishes a checkpoint that covers what was added: writes the files that it needs, then itself, then removes those
    /// that fuller ones have replaced. The caller has verified its signatures. `keys` is [`super::keys_file`].
    ///
    /// # Errors
    /// If its root is not that of the leaves, or a file can't be written.
    pub fn finish(self, checkpoint: &Note, keys: &str) -> Result<(), ExportError> {
        let covered = Checkpoint::parse(checkpoint.text())?;
        self.expect(&covered)?;
        if self.tiles.frontier().map(|frontier| frontier.head()) != Some(*covered.tree()) {
            return Err(ExportError::Root);
        }
        for (tile, hashes) in self.tiles.partial() {
            self.write(LogFile::tile(tile), &tile.encode(hashes).unwrap_or_default())?;
        }
        self.write(LogFile::Keys, keys.as_bytes())?;
        self.write(LogFile::CHECKPOINT, checkpoint.to_string().as_bytes())?;
        self.clean(covered.tree().size)
    }

    /// Removes partial files whose full ones are there, and those of entries for which there is a longer one.
    fn clean(&self, size: u64) -> Result<(), ExportError> {
        for old in sealcard_transparency::partial_tiles(self.published.size) {
            let now = Tile::in_tree(old.level(), old.index(), size);
            if now.is_some_and(|now| now.is_full()) {
                self.remove_partial(LogFile::tile(old))?;
                if let Some(leaves) = Resource::entries(old) {
                    self.remove_partial(LogFile::Log(leaves))?;
                    self.remove_partial(LogFile::Lines(old))?;
                }
            } else if old.level() == 0 && now != Some(old) {
                remove(&self.folder.join(LogFile::Lines(old).to_string()), |path| fs::remove_file(path))?;
            }
        }
        Ok(())
    }

    /// Removes the folder `<N>.p` that a partial file is in.
    fn remove_partial(&self, file: LogFile) -> Result<(), ExportError> {
        let path = self.folder.join(file.to_string());
        match path.parent() {
            Some(folder) => remove(folder, |folder| fs::remove_dir_all(folder)),
            None => Ok(()),
        }
    }

    /// Puts a file in its place at once. Entries are for whoever exports them, the others for everybody.
    fn write(&self, file: LogFile, content: &[u8]) -> Result<(), ExportError> {
        let path = self.folder.join(file.to_string());
        let (file_mode, folder_mode) = if matches!(file, LogFile::Lines(_)) { (0o600, 0o700) } else { (0o644, 0o755) };
        let write = |path: &Path| {
            let folder = path.parent().unwrap_or(&self.folder);
            make_folder(folder, folder_mode)?;
            let mode = Permissions::from_mode(file_mode);
            let mut written = tempfile::Builder::new().prefix(".new-").permissions(mode).tempfile_in(folder)?;
            written.write_all(content)?;
            written.as_file().sync_all()?;
            written.persist(path)?;
            File::open(folder)?.sync_all()
        };
        write(&path).map_err(failed(&path))
    }
}

fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(mode).create(folder)
}

fn remove(path: &Path, remove: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), ExportError> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

/// A file's content. None if there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ExportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

/// A file or folder can't be used. Retrying helps once the cause is gone.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ExportError {
    move |source| ExportError::File(WriteError { path: path.to_owned(), source })
}

/// Why the log was not written into the folder. What the folder had before is still there.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] WriteError),
    /// Another export runs. Retrying helps when it has ended.
    #[error("{}: another export writes into this folder", .0.display())]
    Busy(PathBuf),
    /// What the folder has does not fit together. Export into a new folder.
    #[error("the folder is damaged: {0}")]
    Damaged(String),
    /// The folder's checkpoint is malformed.
    #[error("the folder's checkpoint: {0}")]
    Note(#[from] NoteError),
    /// A checkpoint is malformed.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The folder has another log. Export into another folder.
    #[error("the folder has another log: {0}")]
    OtherLog(String),
    /// What was given is no part of a log. Retrying can't help.
    #[error("{0}: {1}")]
    Wrong(String, String),
    /// An entry that the folder has is another one now: the log was rewritten. Retrying can't help.
    #[error("entry {number} is not the one that the folder has: the log was rewritten")]
    Rewritten {
        /// The entry.
        number: u64,
    },
    /// The log has fewer entries than the folder. Retrying can't help.
    #[error("the log went back: it has {size} entries, and the folder has {has} already")]
    WentBack {
        /// How many the folder has.
        has: u64,
        /// How many the log has.
        size: u64,
    },
    /// The checkpoint covers other entries. Retrying can't help.
    #[error("the entries don't lead to the root of the checkpoint")]
    Root,
}
