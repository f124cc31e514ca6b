//! Writing the journal: one thread, one `fdatasync` for all entries that wait.

use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};

use uuid::Uuid;

use super::{
    Storage,
    entry::{entry_hash, format_line},
    reader::{self, INDEX_STEP, JournalError, Scan, scan},
};
use crate::{
    log::{self, Level},
    protocol::{JournalEntry, JournalHead},
};

/// Entries that share one `fdatasync` at most.
const MAX_BATCH: usize = 1024;

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// [`crate::protocol::Operation::name`], or `generate`.
    pub operation: &'static str,
    /// The component key.
    pub component: Uuid,
    /// The server's request.
    pub request: Uuid,
    /// SHA-256 of what the operation works on; `None` for `generate`.
    pub input_sha256: Option<[u8; 32]>,
}

/// Told once the entry is durable, or why it is not. Runs on the journal's thread, so it must be short.
type OnDurable = Box<dyn FnOnce(Result<(), String>) + Send>;

/// The open journal. Dropping it writes what waits and ends the thread.
pub struct Journal {
    path: PathBuf,
    waiting: Option<mpsc::Sender<(NewEntry, OnDurable)>>,
    durable: Arc<Mutex<Durable>>,
    thread: Option<JoinHandle<()>>,
}

/// What has reached the disk.
struct Durable {
    head: JournalHead,
    len: u64,
    index: Vec<u64>,
}

impl Journal {
    /// Verifies the journal's file, cuts a torn tail off (and keeps it in a file beside the journal) and starts the
    /// writing thread.
    ///
    /// # Errors
    /// If the file is missing or broken.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |e| JournalError::File(path.to_owned(), e);
        let scan = scan(path)?;
        let mut file = OpenOptions::new().append(true).mode(0o600).open(path).map_err(failed)?;
        if let Some(torn) = scan.torn {
            let saved = save_tail(path, torn.offset).map_err(failed)?;
            file.truncate(scan.len).map_err(failed)?;
            log::event(
                Level::Warn,
                "journal-torn-tail",
                &[("bytes", &torn.len), ("after-entry", &scan.head.sequence), ("saved-to", &saved.display())],
            );
        }
        Self::with_storage(path, scan, Box::new(file)).map_err(failed)
    }

    /// A journal that continues `scan` on any storage.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn with_storage(path: &Path, scan: Scan, storage: Box<dyn Storage>) -> io::Result<Self> {
        let durable = Arc::new(Mutex::new(Durable { head: scan.head, len: scan.len, index: scan.index }));
        let (waiting, queue) = mpsc::channel();
        let writer = Writer { storage, durable: Arc::clone(&durable), dirty: false };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&queue))?;
        Ok(Self { path: path.to_owned(), waiting: Some(waiting), durable, thread: Some(thread) })
    }

    /// Hands an entry to the writing thread, which calls `on_durable` when it is safe, or when it is not.
    pub fn submit(&self, entry: NewEntry, on_durable: impl FnOnce(Result<(), String>) + Send + 'static) {
        if let Some(waiting) = &self.waiting
            && let Err(mpsc::SendError((_, on_durable))) = waiting.send((entry, Box::new(on_durable)))
        {
            on_durable(Err("the journal's thread is gone".into()));
        }
    }

    /// The newest durable entry.
    #[must_use]
    pub fn head(&self) -> JournalHead {
        self.durable().head
    }

    /// Durable entries from sequence number `from` on, at most `limit`, with the head that holds for them.
    ///
    /// # Errors
    /// If the file can't be read. Retrying may help.
    pub fn read(&self, from: u64, limit: usize) -> io::Result<(JournalHead, Vec<JournalEntry>)> {
        let (head, len, index) = {
            let durable = self.durable();
            (durable.head, durable.len, durable.index.clone())
        };
        Ok((head, reader::read(&self.path, &index, len, from, limit)?))
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, Durable> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies what follows `offset` into a new file beside the journal.
fn save_tail(path: &Path, offset: u64) -> io::Result<PathBuf> {
    use std::io::{Read as _, Seek as _};
    let mut tail = Vec::new();
    let mut file = std::fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(offset))?;
    file.read_to_end(&mut tail)?;
    let mut saved = path.as_os_str().to_owned();
    saved.push(format!(".torn-{offset}-{}", Uuid::now_v7()));
    let saved = PathBuf::from(saved);
    crate::folder::write_new(&saved, &tail)?;
    Ok(saved)
}

/// The thread's side.
struct Writer {
    storage: Box<dyn Storage>,
    durable: Arc<Mutex<Durable>>,
    // A write failed: what follows the durable part must go before anything is written again.
    dirty: bool,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<(NewEntry, OnDurable)>) {
        while let Ok(first) = queue.recv() {
            let (entries, callbacks): (Vec<_>, Vec<_>) =
                std::iter::once(first).chain(queue.try_iter().take(MAX_BATCH - 1)).unzip();
            let outcome = self.write(entries).map_err(|error| {
                log::event(Level::Error, "journal-write-failed", &[("entries", &callbacks.len()), ("error", &error)]);
                error.to_string()
            });
            for callback in callbacks {
                callback(outcome.clone());
            }
        }
    }

    /// Makes all entries durable, or none of them.
    fn write(&mut self, entries: Vec<NewEntry>) -> io::Result<()> {
        let (mut head, start) = {
            let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            (durable.head, durable.len)
        };
        if self.dirty {
            self.storage.truncate(start)?;
            self.dirty = false;
        }
        let unix = unix_now();
        let mut text = String::with_capacity(entries.len() * 400);
        let mut index = Vec::new();
        for new in entries {
            if head.sequence.is_multiple_of(INDEX_STEP) {
                index.push(start + text.len() as u64);
            }
            let mut entry = JournalEntry {
                sequence: head.sequence + 1,
                unix,
                operation: new.operation.to_owned(),
                component: new.component,
                request: new.request,
                input_sha256: new.input_sha256.map(|hash| hash.to_vec()).unwrap_or_default(),
                hash: [0; 32],
            };
            entry.hash = entry_hash(&head.hash, &entry);
            head = JournalHead { sequence: entry.sequence, hash: entry.hash };
            text.push_str(&format_line(&entry));
        }
        // Until the end is known to be good, it is taken for bad.
        self.dirty = true;
        self.storage.append(text.as_bytes())?;
        self.storage.sync()?;
        self.dirty = false;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.head = head;
        durable.len = start + text.len() as u64;
        durable.index.extend(index);
        Ok(())
    }
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
