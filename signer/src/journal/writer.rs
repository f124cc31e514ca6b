//! Writing the journal: one `fdatasync` for all entries that wait, made by a thread of its own or by whoever brought an
//! entry and has nothing else to do.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    path::Path,
    sync::{Arc, OnceLock},
    thread::JoinHandle,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::{Condvar, Mutex};
use sealcard_signer_protocol::{
    JournalEntry, JournalHead, LogHead, SignerError, Stated,
    journal::{entry_hash, format_line},
};
use uuid::Uuid;

use super::{
    Storage,
    opened::OpenJournal,
    reader::{self, Checkpoints, INDEX_STEP, JournalError, Scan},
};
use crate::log::{self, Level};

/// Entries that share one `fdatasync` at most.
const MAX_BATCH: usize = 1024;

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// As [`JournalEntry::operation`].
    pub operation: &'static str,
    /// The component key.
    pub component: Uuid,
    /// What the server stated.
    pub stated: Stated,
    /// What a checkpoint says.
    pub checkpoint: Option<LogHead>,
    /// SHA-256 of what the operation works on; `None` for `generate`, `adopt` and `destroy`.
    pub input_sha256: Option<[u8; 32]>,
}

impl NewEntry {
    /// What works on nothing.
    #[must_use]
    pub const fn without_input(operation: &'static str, component: Uuid, stated: Stated) -> Self {
        Self { operation, component, stated, checkpoint: None, input_sha256: None }
    }
}

/// Told the entry's number once it is durable, or why it is not. Runs on the thread that wrote it, so it must be short.
type OnDurable = Box<dyn FnOnce(Result<u64, SignerError>) + Send>;

/// Told after all entries of one write were.
type AfterWrite = Box<dyn Fn() + Send + Sync>;

/// The open journal. Dropping it writes what waits and ends the thread.
pub struct Journal {
    file: File,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the callers and the thread share.
struct Shared {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    durable: Mutex<Durable>,
    writer: Mutex<Writer>,
    after_write: OnceLock<AfterWrite>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<(NewEntry, OnDurable)>,
    /// No more will come.
    closed: bool,
    /// The thread is to write what waits.
    wanted: bool,
}

/// What has reached the disk.
struct Durable {
    head: JournalHead,
    len: u64,
    index: Vec<u64>,
    checkpoints: Checkpoints,
}

impl Journal {
    /// Verifies the journal's file, cuts a torn tail off (and keeps it in a file beside the journal) and starts the
    /// writing thread.
    ///
    /// # Errors
    /// If the file is missing or broken.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (file, scan) = OpenJournal::open(path)?.into_parts();
        Self::resume(file, scan).map_err(|e| JournalError::File(path.to_owned(), e))
    }

    /// Continues a journal that was verified: `file` is open for reading and appending, and ends where `scan` does.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn resume(file: File, scan: Scan) -> io::Result<Self> {
        let storage = file.try_clone()?;
        Self::with_storage(file, scan, Box::new(storage))
    }

    /// A journal that continues `scan` on any storage; `file` is what is read.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn with_storage(file: File, scan: Scan, storage: Box<dyn Storage>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            durable: Mutex::new(Durable {
                head: scan.head,
                len: scan.len,
                index: scan.index,
                checkpoints: scan.checkpoints,
            }),
            writer: Mutex::new(Writer { storage, dirty: false }),
            after_write: OnceLock::new(),
        });
        let threads = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(move || threads.run())?;
        Ok(Self { file, shared, thread: Some(thread) })
    }

    /// What is called each time that entries were written and whoever waits for them was told. Only the first one
    /// counts.
    pub fn after_each_write(&self, tell: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.after_write.set(Box::new(tell));
    }

    /// Takes an entry in without writing it: [`Journal::flush`] or [`Journal::wake`] must follow. `on_durable` is
    /// called when it is safe, or when it is not.
    pub fn enqueue(&self, entry: NewEntry, on_durable: impl FnOnce(Result<u64, SignerError>) + Send + 'static) {
        self.shared.waiting.lock().entries.push_back((entry, Box::new(on_durable)));
    }

    /// Lets the thread write what waits.
    pub fn wake(&self) {
        self.shared.waiting.lock().wanted = true;
        self.shared.filled.notify_one();
    }

    /// Writes what waits in this thread, which saves waking another one; unless that one is at work, then it does it.
    pub fn flush(&self) {
        match self.shared.writer.try_lock() {
            Some(mut writer) => self.shared.write_waiting(&mut writer),
            None => self.wake(),
        }
    }

    /// Returns when all that was taken in before is durable, or can't be, and whoever waits for it was told.
    pub fn settle(&self) {
        self.shared.write_waiting(&mut self.shared.writer.lock());
    }

    /// The newest durable entry.
    #[must_use]
    pub fn head(&self) -> JournalHead {
        self.shared.durable.lock().head
    }

    /// The last checkpoint of a key that is durable.
    #[must_use]
    pub fn checkpoint(&self, component: Uuid) -> Option<LogHead> {
        self.shared.durable.lock().checkpoints.get(&component).copied()
    }

    /// Durable entries from sequence number `from` on, at most `limit`, with the head that holds for them.
    ///
    /// # Errors
    /// If the file can't be read. Retrying may help.
    pub fn read(&self, from: u64, limit: usize) -> io::Result<(JournalHead, Vec<JournalEntry>)> {
        let (head, len, index) = {
            let durable = self.shared.durable.lock();
            (durable.head, durable.len, durable.index.clone())
        };
        Ok((head, reader::read(&self.file, &index, len, from, limit)?))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.waiting.lock().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The thread.
    fn run(&self) {
        loop {
            let mut waiting = self.waiting.lock();
            while !waiting.wanted && !waiting.closed {
                self.filled.wait(&mut waiting);
            }
            waiting.wanted = false;
            let closed = waiting.closed;
            drop(waiting);
            self.write_waiting(&mut self.writer.lock());
            if closed {
                return;
            }
        }
    }

    fn write_waiting(&self, writer: &mut Writer) {
        loop {
            let batch: Vec<_> = {
                let mut waiting = self.waiting.lock();
                let count = waiting.entries.len().min(MAX_BATCH);
                waiting.entries.drain(..count).collect()
            };
            if batch.is_empty() {
                return;
            }
            let (entries, callbacks): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let outcome = writer.write(&self.durable, entries).map_err(|error| {
                log::event(Level::Error, "journal-write-failed", &[("entries", &callbacks.len()), ("error", &error)]);
                match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        SignerError::JournalFull(error.to_string())
                    }
                    _ => SignerError::Journal(error.to_string()),
                }
            });
            for (number, callback) in (0..).zip(callbacks) {
                callback(outcome.clone().map(|first| first + number));
            }
            if let Some(tell) = self.after_write.get() {
                tell();
            }
        }
    }
}

/// Where the bytes go.
struct Writer {
    storage: Box<dyn Storage>,
    // A write failed: what follows the durable part must go before anything is written again.
    dirty: bool,
}

impl Writer {
    /// Makes all entries durable, or none of them. The number of the first one.
    fn write(&mut self, durable: &Mutex<Durable>, entries: Vec<NewEntry>) -> io::Result<u64> {
        let (mut head, start) = {
            let durable = durable.lock();
            (durable.head, durable.len)
        };
        if self.dirty {
            self.storage.truncate(start)?;
            self.dirty = false;
        }
        let (unix, first) = (unix_now(), head.sequence + 1);
        let mut text = String::with_capacity(entries.len() * 600);
        let (mut index, mut checkpoints) = (Vec::new(), Vec::new());
        for new in entries {
            if head.sequence.is_multiple_of(INDEX_STEP) {
                index.push(start + text.len() as u64);
            }
            let mut entry = JournalEntry {
                sequence: head.sequence + 1,
                unix,
                operation: new.operation.to_owned(),
                component: new.component,
                stated: new.stated,
                checkpoint: new.checkpoint,
                input_sha256: new.input_sha256.map(|hash| hash.to_vec()).unwrap_or_default(),
                hash: [0; 32],
            };
            entry.hash = entry_hash(&head.hash, &entry);
            head = JournalHead { sequence: entry.sequence, hash: entry.hash };
            text.push_str(&format_line(&entry));
            checkpoints.extend(new.checkpoint.map(|checkpoint| (new.component, checkpoint)));
        }
        // Until the end is known to be good, it is taken for bad.
        self.dirty = true;
        self.storage.append(text.as_bytes())?;
        self.storage.sync()?;
        self.dirty = false;
        let mut durable = durable.lock();
        durable.head = head;
        durable.len = start + text.len() as u64;
        durable.index.extend(index);
        durable.checkpoints.extend(checkpoints);
        Ok(first)
    }
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
