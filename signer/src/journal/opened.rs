//! The journal's open file and how far it has been verified.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    Storage as _,
    reader::{JournalError, Scan, continue_scan, open_error, scan},
};
use crate::{
    folder,
    log::{self, Level},
};

/// How long to wait for a worker that still holds the file: it ends when its keeper has ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A verified journal, open for reading and appending. The file's lock is shared with whoever is given the descriptor,
/// so that no other signer verifies it while somebody may still append.
pub struct OpenJournal {
    path: PathBuf,
    file: File,
    scan: Scan,
}

impl OpenJournal {
    /// Opens and locks the file, verifies all of it and cuts a torn tail off, which is kept in a file beside the
    /// journal.
    ///
    /// # Errors
    /// If the file is missing, broken or held by another process.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(|e| open_error(path, e))?;
        lock(&file, path)?;
        let scan = scan(path)?;
        let mut journal = Self { path: path.to_owned(), file, scan };
        journal.cut_torn_tail()?;
        Ok(journal)
    }

    /// Verifies what has been appended since, and cuts a torn tail off. Nobody else may be appending.
    ///
    /// # Errors
    /// If what was appended does not continue the chain.
    pub fn catch_up(&mut self) -> Result<(), JournalError> {
        self.scan = continue_scan(&self.file, &self.path, self.scan.clone())?;
        self.cut_torn_tail()
    }

    /// How far it has been verified.
    #[must_use]
    pub const fn scan(&self) -> &Scan {
        &self.scan
    }

    /// The open file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn into_parts(self) -> (File, Scan) {
        (self.file, self.scan)
    }

    fn cut_torn_tail(&mut self) -> Result<(), JournalError> {
        let Some(torn) = self.scan.torn.take() else { return Ok(()) };
        let failed = |e| JournalError::File(self.path.clone(), e);
        let saved = save_tail(&self.path, torn.offset).map_err(failed)?;
        self.file.truncate(self.scan.len).map_err(failed)?;
        log::event(
            Level::Warn,
            "journal-torn-tail",
            &[("bytes", &torn.len), ("after-entry", &self.scan.head.sequence), ("saved-to", &saved.display())],
        );
        Ok(())
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOOK_AGAIN),
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            Err(TryLockError::Error(e)) => return Err(JournalError::File(path.to_owned(), e)),
        }
    }
}

/// Copies what follows `offset` into a new file beside the journal.
fn save_tail(path: &Path, offset: u64) -> io::Result<PathBuf> {
    let mut tail = Vec::new();
    let mut file = File::open(path)?;
    file.seek(io::SeekFrom::Start(offset))?;
    file.read_to_end(&mut tail)?;
    let mut saved = path.as_os_str().to_owned();
    saved.push(format!(".torn-{offset}-{}", Uuid::now_v7()));
    let saved = PathBuf::from(saved);
    folder::write_new(&saved, &tail)?;
    Ok(saved)
}
