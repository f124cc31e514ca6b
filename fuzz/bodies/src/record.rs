//! Entries of the record, exported records, and signatures that are looked for in it.

use std::io::Cursor;

use sealcard_bridge::signatures;
use sealcard_record::{
    Event, Line,
    export::{LogFile, check_line, lines},
    fold::{Fold, Row, TablesFile},
    parse,
    verify::{Journals, MEMORY, Options, Verifier, read_record},
};
use sealcard_transparency::Hash;

/// The bytes of an entry.
///
/// # Panics
///
/// When an entry that this version knows is another one after it was written.
pub fn record_entry(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(body) = parse(text) else { return };
    assert_eq!(body.event.kind().is_none(), body.event == Event::Unknown, "every known event has a kind");
    let _ = (body.event.project(), body.event.key(), body.event.principal(), body.event.state());
    if body.event != Event::Unknown {
        let again = serde_json::to_string(&body).ok().map(|text| parse(&text).ok());
        // What is ignored may have made it longer than an entry, never what is known.
        assert_eq!(again, Some(Some(body)), "an entry survives its bytes");
    }
}

/// A file of an exported record.
///
/// # Panics
///
/// When a line changes the entry in it.
pub fn record_lines(data: &[u8]) {
    let options = Options { folder: std::env::temp_dir(), memory: MEMORY, journals: Journals::None };
    let mut verifier = Verifier::new(options);
    let read = read_record(&mut verifier, Cursor::new(data), &mut |_| ());
    if read.is_ok() {
        let _ = verifier.finish();
    }
    if let Ok(lines) = lines(data) {
        for line in lines {
            assert!(check_line(line, 1, &Hash::EMPTY_TREE).is_err(), "no entry has the hash of nothing");
        }
    }
    if let Some(file) = std::str::from_utf8(data).ok().and_then(|text| text.parse::<LogFile>().ok()) {
        assert_eq!(file.to_string().as_bytes(), data, "a path has one form");
    }
    if let Ok(line) = serde_json::from_slice::<Line>(data)
        && let Ok(text) = serde_json::to_string(&line)
    {
        let again = serde_json::from_str::<Line>(&text).ok().map(|line| line.entry.get().to_owned());
        assert_eq!(again.as_deref(), Some(line.entry.get()), "an entry keeps its bytes");
    }
}

/// A file of the database's tables.
///
/// # Panics
///
/// When a row is another one after it was written.
pub fn record_tables(data: &[u8]) {
    let Ok(file) = TablesFile::open(Cursor::new(data)) else { return };
    let _ = file.compare(Fold::new(), |difference| drop(difference.to_string()));
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(row) = serde_json::from_slice::<Row>(line) else { continue };
        let again = serde_json::to_vec(&row).ok().and_then(|text| serde_json::from_slice::<Row>(&text).ok());
        assert_eq!(again.as_ref(), Some(&row), "a row survives its bytes");
    }
}

/// A file with signatures.
pub fn record_signatures(data: &[u8]) {
    let _ = signatures::of(data);
}
