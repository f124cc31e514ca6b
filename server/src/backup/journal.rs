//! Copies of journals that fit the copy of the record.
//!
//! A use is recorded before the signer is asked for it, so an entry of the journal has a record to belong to. Journals
//! are read both before and after the database is copied. The copied record has all entries that were there before. Of
//! those that came since, a copy has the ones up to the first that the copied record does not know. No use that
//! is finished in the copied record is behind it: its entry was written before the moment of the copy, and the unknown
//! one after it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use sealcard_signer_protocol::{JournalEntry, journal::parse_line};

use super::{BackupError, failed};

/// The longest line that is read; entries are shorter.
const MAX_LINE: u64 = 4096;

/// The bytes of whole lines in a journal now.
pub(super) fn whole_lines(path: &Path, file: &File) -> Result<u64, BackupError> {
    const BLOCK: u64 = 1 << 16;
    let length = || -> io::Result<u64> {
        let (mut reader, mut end) = (file, file.metadata()?.len());
        let mut block = Vec::new();
        while end > 0 {
            let from = end.saturating_sub(BLOCK);
            block.clear();
            reader.seek(SeekFrom::Start(from))?;
            reader.take(end - from).read_to_end(&mut block)?;
            if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
                return Ok(from + at as u64 + 1);
            }
            end = from;
        }
        Ok(0)
    };
    length().map_err(failed("read", path))
}

/// Where to cut the journal: `from` is how long it was before the database was copied, and `is_recorded` says whether
/// the copied record has the request of an entry.
pub(super) fn cut(
    path: &Path,
    file: &File,
    from: u64,
    mut is_recorded: impl FnMut(&JournalEntry) -> Result<bool, BackupError>,
) -> Result<u64, BackupError> {
    let (mut reader, mut end) = (BufReader::new(file), from);
    reader.seek(SeekFrom::Start(from)).map_err(failed("read", path))?;
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed("read", path))?;
        // A line without its end is being written. A verification names lines that are no entries.
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(end) };
        match parse_line(text) {
            Ok(entry) if !is_recorded(&entry)? => return Ok(end),
            _ => end += line.len() as u64,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use sealcard_signer_protocol::{Stated, journal::format_line};
    use uuid::Uuid;

    use super::*;

    fn line(sequence: u64, request: u128) -> String {
        let (component, request) = (Uuid::from_u128(9), Uuid::from_u128(request));
        let operation = "sign".to_owned();
        format_line(&JournalEntry {
            sequence,
            unix: 0,
            operation,
            component,
            stated: Stated::by_server(request),
            checkpoint: None,
            input_sha256: vec![1; 32],
            hash: [2; 32],
        })
    }

    #[test]
    fn journal_ends_before_the_first_unknown_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        assert_eq!(whole_lines(&path, &file).unwrap(), 0);
        file.write_all(format!("{}{}", line(1, 1), line(2, 2)).as_bytes()).unwrap();
        let before = whole_lines(&path, &file).unwrap();
        assert_eq!(before as usize, line(1, 1).len() + line(2, 2).len());
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(format!("{}{}{}{{\"seq", line(3, 3), line(4, 4), line(5, 3)).as_bytes()).unwrap();
        let whole = whole_lines(&path, &file).unwrap();
        assert_eq!(whole as usize, before as usize + 3 * line(3, 3).len());
        let end = |known: &[u128]| {
            let is_recorded = |entry: &JournalEntry| Ok(known.contains(&entry.stated.request.as_u128()));
            (cut(&path, &file, before, is_recorded).unwrap() - before) as usize / line(3, 3).len()
        };
        // Entries before the copy are never asked about.
        assert_eq!([end(&[]), end(&[3]), end(&[4]), end(&[3, 4])], [0, 1, 0, 3]);
        // A crash can leave a long tail of zeros.
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(&vec![0; 1 << 20]).unwrap();
        assert_eq!(whole_lines(&path, &file).unwrap(), whole);
    }
}
