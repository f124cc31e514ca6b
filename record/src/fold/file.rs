//! The tables in a file: JSON Lines. The first line says at which entry of the record they were read,
//! `{"sequence": 41, "root": "…"}`, each other one is a [`Row`].

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};

use super::{Difference, Fold, Row};
use crate::{
    Head, Sha256,
    verify::{LineError, Lines},
};

/// The longest line, in bytes: user ids have no other limit.
const MAX_LINE: usize = 1 << 20;

/// The first line of a file of tables: the end of the record when they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablesHead {
    /// The number of the newest entry.
    pub sequence: u64,
    /// The root of the log of all entries up to it.
    pub root: Sha256,
}

impl From<Head> for TablesHead {
    fn from(head: Head) -> Self {
        Self { sequence: head.sequence, root: head.root }
    }
}

/// Why a file of tables can't be read. A fault of the tables is a [`Difference`].
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The file can't be read. Retrying may help.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is none of such a file. Retrying can't help.
    #[error("line {line} is no row of a table: {error}")]
    NotARow {
        /// The line, counted from 1.
        line: u64,
        /// Why.
        error: serde_json::Error,
    },
    /// There is no first line.
    #[error("the file is empty")]
    Empty,
    /// A line is longer than any row. Retrying can't help.
    #[error("line {0} is longer than any row")]
    TooLong(u64),
    /// The record ends before the entry at which the tables were read.
    #[error("the tables were read at entry {tables}, but the record ends with entry {record}: export the record anew")]
    RecordTooShort {
        /// The tables' entry.
        tables: u64,
        /// The last one that was folded.
        record: u64,
    },
}

impl From<LineError> for TablesError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Io(error) => Self::Io(error),
            LineError::TooLong(line) => Self::TooLong(line),
        }
    }
}

/// A file of tables, read line by line.
pub struct TablesFile<R> {
    lines: Lines<R>,
    head: TablesHead,
}

impl<R: BufRead> TablesFile<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// If it can't be read, or is none of such a file.
    pub fn open(file: R) -> Result<Self, TablesError> {
        let mut lines = Lines::new(file, MAX_LINE);
        let head = read_line(&mut lines)?.ok_or(TablesError::Empty)?;
        Ok(Self { lines, head })
    }

    /// At which entry the tables were read. Fold the record up to it: [`Fold::up_to`].
    #[must_use]
    pub const fn head(&self) -> TablesHead {
        self.head
    }

    /// Reads the rows and compares them with those that the record says. `found` is told of each difference.
    ///
    /// # Errors
    /// If a line can't be read or is no row, or if the record ends before the tables.
    pub fn compare(mut self, fold: Fold, mut found: impl FnMut(Difference)) -> Result<(), TablesError> {
        let (tables, record) = (self.head.sequence, fold.sequence());
        if record < tables {
            return Err(TablesError::RecordTooShort { tables, record });
        }
        let mut comparison = fold.compare();
        while let Some(row) = read_line::<R, Row>(&mut self.lines)? {
            comparison.row(&row).into_iter().for_each(&mut found);
        }
        comparison.finish().into_iter().for_each(found);
        Ok(())
    }
}

fn read_line<R: BufRead, T: for<'de> Deserialize<'de>>(lines: &mut Lines<R>) -> Result<Option<T>, TablesError> {
    let read = match lines.next()? {
        Some(text) => serde_json::from_slice(text),
        None => return Ok(None),
    };
    read.map(Some).map_err(|error| TablesError::NotARow { line: lines.number(), error })
}
