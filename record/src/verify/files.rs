//! Reading exported records and journals, line by line.

use std::io::{self, BufRead, Read};

use sealcard_signer_protocol::journal::{MAX_LINE, parse_line};

use super::{Finding, Verifier};
use crate::{Body, Line, MAX_ENTRY};

/// The longest line of an exported record, in bytes: an entry, and what is around it.
const MAX_RECORD_LINE: usize = MAX_ENTRY + 256;

/// Is told of the bytes of each line that was read.
pub type Progress<'p> = &'p mut dyn FnMut(u64);

/// Why a file could not be verified. What is wrong with its content is a [`Finding`].
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file, or the temporary file, can't be read or written. Retrying may help.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is no line of an exported record. Retrying can't help.
    #[error("line {line} is no entry of an exported record: {error}")]
    NotARecord {
        /// The line, counted from 1.
        line: u64,
        /// Why.
        error: serde_json::Error,
    },
    /// A line is longer than any entry. Retrying can't help.
    #[error("line {0} is longer than any entry")]
    TooLong(u64),
}

/// Takes a record as `sealcard admin record export` writes it: JSON lines of [`Line`].
///
/// # Errors
/// If it can't be read, or is no exported record.
pub fn read_record(verifier: &mut Verifier, file: impl BufRead, progress: Progress<'_>) -> Result<(), FileError> {
    read_record_with(verifier, file, progress, &mut |_| ())
}

/// The same; `each` is given every entry that can be read.
///
/// # Errors
/// As [`read_record`].
pub fn read_record_with(
    verifier: &mut Verifier,
    file: impl BufRead,
    progress: Progress<'_>,
    each: &mut dyn FnMut(&Body),
) -> Result<(), FileError> {
    let mut lines = Lines::new(file, MAX_RECORD_LINE);
    while let Some(text) = lines.next()? {
        let line: Line =
            serde_json::from_slice(text).map_err(|error| FileError::NotARecord { line: lines.number, error })?;
        if let Some(body) = verifier.entry(line.entry.get(), &line.salt, line.hash)? {
            each(&body);
        }
        progress(lines.length);
    }
    Ok(())
}

/// Takes a signer's journal: the file `journal.jsonl` of its folder, or a copy of it. `name` is what findings call it.
///
/// # Errors
/// If it can't be read. A line that is no entry ends the reading and is a finding.
pub fn read_journal(
    verifier: &mut Verifier,
    name: &str,
    file: impl BufRead,
    progress: Progress<'_>,
) -> Result<(), FileError> {
    let mut journal = verifier.journal(name);
    let mut lines = Lines::new(file, MAX_LINE);
    while let Some(text) = lines.next()? {
        match parse_line(text) {
            Ok(entry) => verifier.journal_entry(&mut journal, &entry, false)?,
            Err(error) => {
                let (journal, line) = (name.to_owned(), lines.number);
                verifier.add_finding(Finding::JournalUnreadable { journal, line, error: error.to_string() });
                verifier.expect_no_journal();
                return Ok(());
            }
        }
        progress(lines.length);
    }
    Ok(())
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("line {0} is too long")]
    TooLong(u64),
}

impl From<LineError> for FileError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Io(error) => Self::Io(error),
            LineError::TooLong(line) => Self::TooLong(line),
        }
    }
}

/// The lines of a file, none of them kept longer than it is worked on.
pub(crate) struct Lines<R> {
    file: R,
    max: usize,
    text: Vec<u8>,
    /// Counted from 1.
    number: u64,
    /// Bytes of the last one, line end included.
    length: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(file: R, max: usize) -> Self {
        Self { file, max, text: Vec::new(), number: 0, length: 0 }
    }

    /// The number of the line that was read last, counted from 1.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its end. None at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, LineError> {
        self.text.clear();
        let limit = self.max as u64 + 1;
        self.length = self.file.by_ref().take(limit).read_until(b'\n', &mut self.text)? as u64;
        if self.length == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.text.pop_if(|byte| *byte == b'\n').is_none() && self.length == limit {
            return Err(LineError::TooLong(self.number));
        }
        Ok(Some(&self.text))
    }
}
