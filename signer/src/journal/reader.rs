//! Reading and verifying the journal's file.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use sealcard_signer_protocol::{
    JournalEntry, JournalHead, LogHead,
    journal::{LineError, MAX_LINE, entry_hash, parse_line},
};
use uuid::Uuid;

/// The chain before its first entry.
pub(super) const EMPTY: JournalHead = JournalHead { sequence: 0, hash: [0; 32] };

/// The last checkpoint that each key has signed, or was to sign.
pub type Checkpoints = BTreeMap<Uuid, LogHead>;

/// An offset is remembered for every so many entries.
pub(super) const INDEX_STEP: u64 = 1024;

/// What one write that a crash interrupted can leave behind at most, in bytes.
pub(super) const MAX_TORN: u64 = 1024 * 1024;

/// Why the journal can't be used. Retrying can't help: somebody must look at the file.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// `init` makes it, so it was lost.
    #[error(
        "{} is missing; restore it from a backup, or accept the loss by creating an empty file with mode 0600",
        .0.display()
    )]
    Missing(PathBuf),
    /// It can't be read or written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A line is not an entry.
    #[error("{} is broken at line {line}", .path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with the line.
        #[source]
        error: LineError,
    },
    /// Another process holds it: a worker that has not ended yet. Retrying helps.
    #[error("{} is held by another signer", .0.display())]
    InUse(PathBuf),
    /// An entry was changed, removed, added or moved.
    #[error("{} is broken at line {line}: the chain of hashes does not continue there", .path.display())]
    BrokenChain {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
}

/// The remains of a write that a crash interrupted: it was never durable, so nothing that belongs to it left the
/// signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// A verified journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The last good entry.
    pub head: JournalHead,
    /// What follows it, if a crash left something.
    pub torn: Option<TornTail>,
    /// Length of the good part in bytes.
    pub len: u64,
    /// Where the entries 1, 1 + 1024, 1 + 2048, … begin.
    pub(crate) index: Vec<u64>,
    /// The last checkpoint of each key.
    pub checkpoints: Checkpoints,
}

impl Scan {
    /// An empty journal's.
    const EMPTY: Self = Self { head: EMPTY, torn: None, len: 0, index: Vec::new(), checkpoints: BTreeMap::new() };
}

/// Reads the whole journal and verifies its chain.
///
/// # Errors
/// If it can't be read or is broken anywhere but at its torn end.
pub fn scan(path: &Path) -> Result<Scan, JournalError> {
    let file = File::open(path).map_err(|e| open_error(path, e))?;
    continue_scan(&file, path, Scan::EMPTY)
}

pub(super) fn open_error(path: &Path, error: io::Error) -> JournalError {
    match error.kind() {
        io::ErrorKind::NotFound => JournalError::Missing(path.to_owned()),
        _ => JournalError::File(path.to_owned(), error),
    }
}

/// Reads what follows the part that `scan` has verified, and verifies that too.
pub(super) fn continue_scan(file: &File, path: &Path, mut scan: Scan) -> Result<Scan, JournalError> {
    let failed = |e| JournalError::File(path.to_owned(), e);
    let total = file.metadata().map_err(failed)?.len();
    if total < scan.len {
        // What was verified before is gone.
        return Err(JournalError::BrokenChain { path: path.to_owned(), line: scan.head.sequence });
    }
    let mut reader = BufReader::with_capacity(64 * 1024, At { file, offset: scan.len });
    let mut line = Vec::with_capacity(MAX_LINE);
    loop {
        line.clear();
        (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(failed)?;
        if line.is_empty() {
            return Ok(scan);
        }
        let number = scan.head.sequence + 1;
        match check_line(&line, &scan.head) {
            Ok(entry) => {
                if scan.head.sequence.is_multiple_of(INDEX_STEP) {
                    scan.index.push(scan.len);
                }
                scan.head = JournalHead { sequence: entry.sequence, hash: entry.hash };
                scan.len += line.len() as u64;
                if let Some(checkpoint) = entry.checkpoint {
                    scan.checkpoints.insert(entry.component, checkpoint);
                }
            }
            Err(error) => {
                let rest = total.saturating_sub(scan.len);
                // A write that was cut short has no line end. Blocks that were never written read as zeros, which no
                // entry holds.
                let cut_short = !line.ends_with(b"\n") && rest == line.len() as u64;
                let never_written = line.contains(&0) && rest <= MAX_TORN;
                if cut_short || never_written {
                    scan.torn = Some(TornTail { offset: scan.len, len: rest });
                    return Ok(scan);
                }
                return Err(match error {
                    Some(error) => JournalError::BadLine { path: path.to_owned(), line: number, error },
                    None => JournalError::BrokenChain { path: path.to_owned(), line: number },
                });
            }
        }
    }
}

/// An open file from an offset on. Whoever else has the same open file is not disturbed, as it would be by seeking.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}

/// The entry that continues the chain in this line; an error without a cause is a broken chain.
fn check_line(line: &[u8], head: &JournalHead) -> Result<JournalEntry, Option<LineError>> {
    let text = line.strip_suffix(b"\n").ok_or(Some(LineError::NotCanonical))?;
    let entry = parse_line(text).map_err(Some)?;
    let continues = entry.sequence == head.sequence + 1 && entry.hash == entry_hash(&head.hash, &entry);
    continues.then_some(entry).ok_or(None)
}

/// Reads entries `from`, `from + 1`, … of the first `len` bytes, at most `limit`.
pub(super) fn read(file: &File, index: &[u64], len: u64, from: u64, limit: usize) -> io::Result<Vec<JournalEntry>> {
    let from = from.max(1);
    let Some(slot) = usize::try_from((from - 1) / INDEX_STEP).ok() else {
        return Ok(Vec::new());
    };
    let Some(&offset) = index.get(slot) else {
        return Ok(Vec::new());
    };
    let mut reader = BufReader::new(At { file, offset }.take(len.saturating_sub(offset)));
    let mut entries = Vec::new();
    let mut line = Vec::with_capacity(MAX_LINE);
    while entries.len() < limit {
        line.clear();
        if (&mut reader).take(MAX_LINE as u64).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let entry = parse_line(text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        if entry.sequence >= from {
            entries.push(entry);
        }
    }
    Ok(entries)
}
